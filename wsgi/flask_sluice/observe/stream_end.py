"""The end of a stream: its numbers, and the log line that reports it."""

import logging
from collections.abc import Mapping

import msgspec

from flask_sluice.observe.json_log import LogLine
from flask_sluice.observe.outcome import Outcome

logger = logging.getLogger("sluice.stream")

_MAX_TEXT_LENGTH = 256
"""The longest text in a field; a client may send a model's name that is as long as a request's body."""


class StreamEnd(msgspec.Struct, frozen=True):
    """How a stream ended.

    request_id: the request's
    notes: what else the log line shows. Metrics use "route", "model", "stream" (False: the answer is one JSON
        document), "upstream" and "upstream_status"
    outcome: complete, error or cancelled
    status: the HTTP status; None if there was no response, or the client left before it
    code: the code of the error that the client was sent; None if there was no error
    reason: why the stream did not complete; None if it did
    events, byte_count, keepalives: how many were written; byte_count None if there was no response
    first_event_seconds: from the start to the first event; None if there was no event
    total_seconds: from the start to the end
    """

    request_id: str
    notes: Mapping[str, object]
    outcome: Outcome | None
    status: object
    code: str | None
    reason: str | None
    events: int
    byte_count: int | None
    keepalives: int
    first_event_seconds: float | None
    total_seconds: float

    def log(self, message: str) -> None:
        """Write one line of JSON at level INFO."""
        if not logger.isEnabledFor(logging.INFO):
            return
        first = self.first_event_seconds
        fields = {
            "request_id": self.request_id,
            **self.notes,
            "status": self.status,
            "outcome": self.outcome,
            "code": self.code,
            "reason": self.reason,
            "events": self.events,
            "bytes": self.byte_count,
            "keepalives": self.keepalives,
            "first_event_ms": None if first is None else round(first * 1000, 1),
            "total_ms": round(self.total_seconds * 1000, 1),
        }
        for name, value in fields.items():
            if isinstance(value, str) and len(value) > _MAX_TEXT_LENGTH:
                fields[name] = value[:_MAX_TEXT_LENGTH] + "..."
        line = LogLine(message, fields)
        # logger.info would search the stack for its caller, which is a sixth of the line's cost.
        logger.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 0, line, (), None))
