"""The report as JSON, and as JUnit's XML for CI systems."""

import json
from typing import Any
from xml.etree import ElementTree

from flask_sluice.doctor.report import Check, Report, Verdict

_NOT_IN_XML = {code: 0xFFFD for code in range(0x20) if code not in (9, 10, 13)}


def as_json(report: Report) -> str:
    """Return the report as a JSON document."""
    document: dict[str, Any] = {
        "url": report.url,
        "preset": report.preset,
        "exit_code": report.exit_code,
        "sentence": report.sentence,
        "problem": report.problem,
        "request_count": report.request_count,
        "seconds": round(report.seconds, 2),
        "checks": [_check(check) for check in report.checks],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _check(check: Check) -> dict[str, Any]:
    return {
        "group": check.group,
        "name": check.name,
        "verdict": check.verdict.value,
        "evidence": check.evidence,
        "numbers": dict(check.numbers),
        "remedies": [{"where": remedy.where, "line": remedy.line} for remedy in check.remedies],
    }


def as_junit(report: Report) -> str:
    """Return the report as a JUnit test suite: a fault is a failure, a warning is written to a passed test's output."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"sluice doctor {report.url}",
        tests=str(len(report.checks) or 1),
        failures=str(len(report.faults)),
        errors=str(int(bool(report.problem))),
        skipped=str(sum(check.verdict is Verdict.SKIPPED for check in report.checks)),
        time=f"{report.seconds:.3f}",
    )
    if report.problem:
        case = ElementTree.SubElement(suite, "testcase", classname="doctor", name="examination")
        ElementTree.SubElement(case, "error", message=_printable(report.problem))
    for check in report.checks:
        _add_case(suite, check)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"doctor.{check.group}", name=check.name
    )
    evidence = _printable(check.evidence)
    if check.verdict is Verdict.FAULT:
        failure = ElementTree.SubElement(case, "failure", message=evidence)
        failure.text = _printable(
            "\n\n".join(f"{remedy.where}:\n{remedy.line}" for remedy in check.remedies)
        )
    elif check.verdict is Verdict.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=evidence)
    else:
        output = ElementTree.SubElement(case, "system-out")
        output.text = f"{check.verdict.value}: {evidence}"


def _printable(text: str) -> str:
    return text.translate(_NOT_IN_XML)
