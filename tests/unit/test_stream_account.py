"""The end of a stream, as its account sees it."""

import time

import pytest

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.stream.accounting import StreamAccount
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, PlainAnswer

TIMEOUT = ApiError(504, "upstream_timeout", "")


@pytest.fixture
def end_of(monkeypatch):
    """Ends a stream; returns what is logged of it."""

    def end_of(
        outcome=Outcome.COMPLETE, error=None, byte_count=100, failure=None, **notes
    ) -> StreamEnd:
        context = StreamContext()
        context.notes.update(notes)
        account = StreamAccount(context, has_response=byte_count is not None)
        stream = object()
        account.open(stream, time.monotonic())
        account.error = error
        account.written.byte_count = byte_count or 0
        if failure is not None:
            context.fail(failure)
        context.outcome = outcome
        logged = []
        monkeypatch.setattr(StreamEnd, "log", lambda end, _message: logged.append(end))
        account.close(stream, "stream ended", events=3, reason=None)
        (end,) = logged
        return end

    return end_of


def test_an_upstreams_error_event_is_an_error(end_of):
    assert end_of(Outcome.ERROR, failure="upstream: out of memory").code == "upstream_error"


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (200, {}),
        (429, {"upstream_status": 429}),
        (504, {"outcome": Outcome.ERROR, "error": TIMEOUT, "byte_count": 0}),
        (400, {"outcome": Outcome.ERROR, "error": PlainAnswer(400, {}, b"{}"), "byte_count": 0}),
        (200, {"outcome": Outcome.ERROR, "error": TIMEOUT}),
        (None, {"outcome": Outcome.CANCELLED, "byte_count": 0}),
        (None, {"byte_count": None}),
    ],
    ids=["whole", "passed-on", "refused", "plain", "in-stream", "left", "no-response"],
)
def test_the_status_is_the_one_that_the_client_got(end_of, status, end):
    assert end_of(**end).status == status
