"""The judge of the scenarios in which Redis fails finds what a reader must not receive."""

import pytest

from tests.support.judged_streams.judgement import Reading, faults_of_log

LAST_ID = 11


def reading(*received):
    """A reading of these: numbers of events, and words."""
    made = Reading("a")
    for each in received:
        if each in ("done", "error"):
            made.add_end(each, LAST_ID)
        elif isinstance(each, str) and each.startswith("reset"):
            made.add_reset(int(each.removeprefix("reset to ")))
        elif isinstance(each, str):
            made.add(each)
            made.is_done = True
        else:
            made.add_number(each)
    return made


@pytest.mark.parametrize(
    ("received", "outcome"),
    [
        ((*range(1, 11), "done"), "exact"),
        ((*range(1, 6), "reset to 8", *range(8, 11), "done"), "reset"),
        (("reset to 8", *range(8, 11), "done"), "reset"),
        ((*range(1, 6), "reset to 11", "done"), "reset"),
        # Told again what it was told when it left before it had the next event.
        ((1, "reset to 4", "reset to 4", 4, *range(5, 11), "done"), "reset"),
        ((1, "reset to 3", "reset to 4", 4, 5, *range(6, 11), "done"), "reset"),
        ((*range(1, 6), "error"), "error"),
        ((*range(1, 6), "invalid_request"), "invalid_request"),
        (("not_found",), "not_found"),
    ],
)
def test_what_a_reader_may_receive_is_no_fault(received, outcome):
    made = reading(*received)
    assert made.faults(LAST_ID) == []
    assert made.outcome == outcome


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        ((1, 2, 4, *range(5, 11), "done"), "3 to 3 are missing"),
        ((2, *range(3, 11), "done"), "1 to 1 are missing"),
        ((*range(1, 10), "done"), "10 to 10 are missing"),
        (("done",), "1 to 10 are missing"),
        ((1, 2, 2, *range(3, 11), "done"), "2 came again after 2"),
        ((*range(1, 6), "reset to 4", *range(4, 11), "done"), "a reset to 4 after 5"),
        ((*range(1, 6), "reset to 8", *range(9, 11), "done"), "8 to 8 are missing"),
        ((*range(1, 11), "reset to 11", "done"), "a reset to 11 after 10"),
        ((*range(1, 11), -11, "done"), "another event has number 11"),
        ((*range(1, 11), "done", "done"), "its end is ['done', 'done']"),
        ((*range(1, 11), "done", 12), "its end is ['done']"),
        ((*range(1, 11),), "is not done"),
        ((1, "ended without a terminal event"), "ended without a terminal event"),
    ],
)
def test_what_a_reader_must_not_receive_is_a_fault(received, fault):
    assert fault in reading(*received).faults(LAST_ID)


def test_a_terminal_event_with_the_wrong_number_is_a_fault():
    assert reading(*range(1, 11), "done").faults(12) == ["the terminal event has number 11, not 12"]


def test_the_end_of_a_producer_that_could_not_write_it_is_a_fault():
    assert reading(*range(1, 11), "done").faults(None) != []
    assert reading(*range(1, 11), "error").faults(None) == []


REFUSED = "Redis cannot be reached: Connection refused"
READONLY = "Redis still fails: READONLY"
OVER = "Redis is reached again"


@pytest.mark.parametrize("lines", [[], [REFUSED, OVER], [REFUSED, READONLY, OVER]])
def test_a_problem_that_is_told_at_its_beginning_and_at_its_end_is_no_fault(lines):
    assert faults_of_log(lines) == []


@pytest.mark.parametrize(
    "lines",
    [
        [REFUSED],
        [OVER],
        [REFUSED, REFUSED, OVER],
        [REFUSED, OVER, REFUSED, OVER],
        [REFUSED, READONLY, READONLY, OVER],
        [REFUSED, OVER, READONLY],
        [REFUSED, OVER, "reading the history of a stream failed"],
    ],
)
def test_a_problem_that_is_told_otherwise_is_a_fault(lines):
    assert faults_of_log(lines) != []
