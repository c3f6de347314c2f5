"""Lets a project's tests hold its own deployment to sound streams."""

from collections.abc import Iterable
from typing import Any

from flask_sluice.doctor.examining import examine
from flask_sluice.doctor.report import Check, Report


def assert_streams_well(url: str, *, allow: Iterable[str] = (), **options: Any) -> Report:
    """Examine the stream, and raise AssertionError with what is wrong and how to mend it, unless it is sound.

    url: the stream, or an OpenAI-compatible server
    allow: full names of checks whose faults and warnings are accepted, such as "headers.caching"
    options: those of ``examine``

    A stream that cannot be examined is not sound either. Returns the report. Raises ValueError for wrong arguments, and for a
    name in ``allow`` that no check of this report has.

    In a pytest suite::

        def test_our_stream():
            assert_streams_well("https://staging.example.org/events", allow={"headers.caching"})
    """
    allowed = set(allow)
    report = examine(url, **options)
    if report.problem:
        raise AssertionError(report.sentence)
    made = {check.full_name for check in report.checks}
    if unknown := allowed - made:
        raise ValueError(f"no check has the name {', '.join(sorted(unknown))}")
    found = [
        check for check in (*report.faults, *report.warnings) if check.full_name not in allowed
    ]
    if found:
        raise AssertionError("\n".join([report.sentence, *(_lines(check) for check in found)]))
    return report


def _lines(check: Check) -> str:
    shown = [f"{check.verdict.value} {check.full_name}: {check.evidence}"]
    shown += (f"    {remedy.where}: {remedy.line}" for remedy in check.remedies[:3])
    return "\n".join(shown)
