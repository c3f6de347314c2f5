"""Each stack of the zoo is examined by the doctor, which says of it exactly what is to be said."""

from collections.abc import Iterator

import pytest

from flask_sluice.doctor import Report, Verdict, examine
from tests.doctor.zoo.stack import Stack
from tests.doctor.zoo.stacks import STACKS, sound
from tests.unit.test_doctor_docs import names_of_checks

QUICK = {
    "the content type is text/plain",
    "caches may keep the stream",
    "the origin sends all tokens at once",
    "the body begins with two byte order marks",
    "[DONE] comes twice",
    "a completion is whole",
    "nginx asks with HTTP/1.0, and makes a proper end of a cut one",
    "Last-Event-ID is ignored",
    "nothing is at the path",
}
"""One or two of each kind, which take less than a second."""


def each_stack() -> Iterator[object]:
    assert STACKS.keys() >= QUICK
    for sentence, stack in STACKS.items():
        marks = () if sentence in QUICK else (pytest.mark.slow,)
        yield pytest.param(stack, id=sentence, marks=marks)


@pytest.mark.parametrize("stack", list(each_stack()))
def test_the_doctor_says_of_each_stack_exactly_what_is_to_be_said(stack: Stack):
    with stack.start() as arguments:
        report = examine(**arguments)
    assert stack.problem in report.problem
    assert bool(report.problem) == bool(stack.problem)
    assert found(report) == stack.expected, "\n".join(
        f"{check.full_name} {check.verdict.value}: {check.evidence}" for check in report.checks
    )


def found(report: Report) -> dict[str, str]:
    """All verdicts but those that are ok."""
    return {
        check.full_name: check.verdict.value
        for check in report.checks
        if check.verdict is not Verdict.OK
    }


# What the zoo has.

ONLY_TOLD = {"delivery.gaps", "headers.software"}
"""Checks that report numbers and names, and find no fault."""
OVER_A_MINUTE = {"delivery.first-byte", "silence.survives"}
"""Checks that wait so long before they find one; their own tests have shorter times."""
NEVER_OK = {"end.error-after"}
"""Is skipped where there was no error."""


def test_the_zoo_has_thirty_stacks_with_faults_and_ten_sound_ones():
    wrong = [stack for stack in STACKS.values() if "fault" in stack.verdicts.values()]
    assert len(wrong) >= 30
    assert len(sound.STACKS) >= 10
    for stack in sound.STACKS.values():
        assert not {"fault", "warning"} & set(stack.verdicts.values())


@pytest.mark.parametrize("check", sorted(names_of_checks()))
def test_each_check_has_a_stack_that_trips_it_and_one_that_does_not(check: str):
    group = check.partition(".")[0]
    verdicts = {
        stack.expected.get(check, "ok")
        for stack in STACKS.values()
        if group in stack.groups.split(",") and not stack.problem
    }
    assert verdicts & {"fault", "warning"} or check in ONLY_TOLD | OVER_A_MINUTE
    assert "ok" in verdicts or check in NEVER_OK
