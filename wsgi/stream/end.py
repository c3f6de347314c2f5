"""The end of a stream, and the line of the log that tells it."""

import logging

import msgspec

from wsgi.errors import ApiError, PlainAnswer, as_api_error
from wsgi.stream.context import Outcome, StreamContext
from wsgi.stream.log import LogLine

logger = logging.getLogger("sluice.stream")

_MAX_TEXT_LENGTH = 256
"""Of a field; a model's name may be as long as a request's body."""


class StreamEnd(msgspec.Struct, frozen=True):
    """How a stream ended.

    error: that it was told, or refused with
    reason: why its client is gone, if it is
    events, byte_count, keepalives: how many were written; byte_count None where nothing is
    first_event_seconds, total_seconds: from the start; the former None if there was no event
    """

    context: StreamContext
    error: Exception | None
    reason: str | None
    events: int
    byte_count: int | None
    keepalives: int
    first_event_seconds: float | None
    total_seconds: float

    @property
    def code(self) -> str | None:
        # A plain answer is the upstream's refusal, passed on as it came.
        if isinstance(self.error, PlainAnswer) or (self.error is None and self.context.failure):
            return "upstream_error"
        return None if self.error is None else as_api_error(self.error).code

    @property
    def status(self) -> object:
        """The response's; None where this was none, or the client left before there was one."""
        if self.byte_count is None:
            return None
        if self.context.is_committed:
            return 200
        if self.byte_count == 0:
            if isinstance(self.error, ApiError | PlainAnswer):
                return self.error.status
            if self.context.outcome is Outcome.CANCELLED:
                return None
        return self.context.notes.get("upstream_status") or 200

    def log(self, message: str) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        context = self.context
        why = self.reason or context.failure or (str(self.error) if self.error else None)
        first = self.first_event_seconds
        fields = {
            "request_id": context.request_id,
            **context.notes,
            "status": self.status,
            "outcome": context.outcome,
            "code": self.code,
            "reason": why,
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
        # Not ``logger.info``, which looks through the stack for who calls it: a sixth of the line's cost.
        logger.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 0, line, (), None))
