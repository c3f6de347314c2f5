"""When the error event of an EventSource route asks its reader to come back."""

import pytest

from flask_sluice.sse import EventParser
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import error_for_event_source


def retry_of(code: str, **options: bool) -> int | None:
    (event,) = EventParser().feed(error_for_event_source(ApiError(503, code, "m"), **options))
    assert event.event == "error"
    return event.retry


@pytest.mark.parametrize("code", ["draining", "redis_unreachable"])
def test_a_reader_whose_answer_goes_on_without_it_is_asked_to_come_back(code):
    retry = retry_of(code)
    assert retry is not None
    assert 1000 <= retry <= 5000


@pytest.mark.parametrize("code", ["draining", "redis_unreachable"])
def test_a_reader_whose_answer_has_ended_is_not_asked_to_come_back(code):
    assert retry_of(code, may_resume=False) is None


def test_an_error_of_the_answer_itself_does_not_ask_its_reader_to_come_back():
    assert retry_of("upstream_truncated") is None
