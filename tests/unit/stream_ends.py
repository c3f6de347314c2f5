"""Ends of streams for the tests of what counts them."""

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd


def end_of(outcome=Outcome.COMPLETE, code=None, **notes) -> StreamEnd:
    return StreamEnd(
        request_id="r",
        notes={"route": "/chat", "model": "m", **notes},
        outcome=outcome,
        status=200,
        code=code,
        reason=None,
        events=3,
        byte_count=100,
        keepalives=0,
        first_event_seconds=0.2,
        total_seconds=2.0,
    )
