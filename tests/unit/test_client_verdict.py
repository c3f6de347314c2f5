"""What the end of a client says of it, case by case."""

import pytest

from flask_sluice.testing.examining.cases import CASES, TEXT
from flask_sluice.testing.examining.verdict import Run, Verdict, judge

BY_NAME = {case.name: case for case in CASES}
WHOLE = f"Answer: {TEXT}\n"


def judged(name, exit_code, output=WHOLE, *, requests=1, shows_text=True):
    run = Run(exit_code, output, 1.0, requests, (1.0,) * (requests - 1))
    return judge(BY_NAME[name], run, shows_text=shows_text)


@pytest.mark.parametrize("name", ["truncated", "error-event", "malformed", "cut", "reset", "stall"])
def test_an_answer_that_broke_off_has_to_be_noticed(name):
    assert judged(name, 1, "half").verdict is Verdict.OK
    taken = judged(name, 0, "half")
    assert (taken.verdict, taken.sentence) == (Verdict.FAULT, "it took this for success")


@pytest.mark.parametrize("name", ["whole", "heartbeat", "split-character"])
def test_what_breaks_nothing_may_not_be_taken_for_a_failure_or_change_the_text(name):
    assert judged(name, 0).verdict is Verdict.OK
    assert judged(name, 1, "").verdict is Verdict.FAULT
    assert judged(name, 0, "another text").verdict is Verdict.FAULT


def test_line_ends_that_the_client_puts_in_change_no_text():
    assert judged("heartbeat", 0, TEXT.replace(" ", "\n")).verdict is Verdict.OK


@pytest.mark.parametrize("name", ["no-terminal-event", "duplicate"])
def test_what_few_can_notice_may_end_either_way(name):
    assert judged(name, 0).verdict is Verdict.OK
    assert judged(name, 1, "").verdict is Verdict.OK
    assert judged(name, 0, "a text with a piece twice").verdict is Verdict.WARNING


def test_a_client_that_does_not_end_is_at_fault():
    stalled = judged("stall", None, "half")
    assert (stalled.verdict, stalled.sentence) == (Verdict.FAULT, "it still waited after 1 s")


def test_a_client_that_asks_again_and_has_the_whole_answer_is_right():
    again = judged("overloaded-once", 0, requests=2)
    assert again.verdict is Verdict.OK
    assert again.sentence == "it asked again, and has the whole answer; 2 requests, 1.0 s apart"
    assert judged("cut", 0, requests=2).verdict is Verdict.OK


def test_a_client_that_asks_again_without_an_answer_took_the_failure_for_success():
    assert judged("rate-limited", 0, "", requests=3).verdict is Verdict.FAULT


def test_of_a_client_that_does_not_show_the_answer_its_exit_code_alone_is_judged():
    assert judged("heartbeat", 0, "", shows_text=False).verdict is Verdict.OK
    assert judged("cut", 0, "", shows_text=False).verdict is Verdict.FAULT
    assert judged("overloaded-once", 0, "", requests=2, shows_text=False).verdict is Verdict.OK


def test_each_case_has_a_name_of_its_own_and_is_in_the_documentation():
    assert len(BY_NAME) == len(CASES)
