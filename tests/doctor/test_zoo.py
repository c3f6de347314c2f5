"""Each stack of the zoo is examined by the doctor, which says of it exactly what is to be said."""

import pytest

from flask_sluice.doctor import Report, Verdict, examine
from tests.doctor.zoo.stack import Stack
from tests.doctor.zoo.stacks import STACKS


def found(report: Report) -> dict[str, str]:
    """All verdicts but those that are ok."""
    return {
        check.full_name: check.verdict.value
        for check in report.checks
        if check.verdict is not Verdict.OK
    }


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_doctor_says_of_a_stack_what_is_to_be_said(stack: Stack):
    with stack.start() as arguments:
        report = examine(**arguments)
    if stack.problem:
        assert stack.problem in report.problem
        return
    assert report.problem == ""
    assert found(report) == stack.expected, [
        f"{check.full_name} {check.verdict.value}: {check.evidence}"
        for check in report.checks
        if check.verdict is not Verdict.OK
    ]
