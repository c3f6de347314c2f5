"""The account of one stream: its place among the worker's streams, its counters, and the report of its end."""

import time
from collections.abc import Sequence

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.tracing.spans import Span
from flask_sluice.observe.write_stats import WriteStats
from flask_sluice.stream import registry
from flask_sluice.stream.admission import Admitted
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import PlainAnswer, as_api_error
from flask_sluice.stream.feeds.encode_items import is_foreseen, log_unforeseen


class StreamAccount:
    """Counts one stream from its start to its end, for an EventStream or for a generation without a reader.

    error: the one that the client was sent, or refused with
    has_response: whether the stream is written to a client
    spans: the request's, which end with the stream
    """

    __slots__ = ("_context", "_started_at", "error", "has_response", "spans", "written")

    def __init__(self, context: StreamContext, *, has_response: bool = True) -> None:
        self._context = context
        self._started_at = 0.0
        self.has_response = has_response
        self.written = WriteStats()
        self.error: Exception | None = None
        self.spans: Sequence[Span] = ()

    def open(self, stream: Admitted, now: float) -> None:
        """Take a place among the worker's streams, or in the context's pool. Raises TooManyStreamsError if all are taken."""
        registry.admission().enter(stream, self._context.pool)
        registry.stats().begin(self._context.notes)
        self._started_at = now

    def withdraw(self, stream: Admitted) -> None:
        """The stream could not be started after all: it counts as if it had not been."""
        registry.admission().leave(stream)
        registry.stats().withdraw(self._context.notes)

    def discard(self) -> None:
        """The stream is closed without having begun."""
        for span in self.spans:
            span.close(None)

    def tell(self, error: Exception) -> None:
        """The client is told of the error by an event; error trackers and tracing have to be told, too."""
        self.error = error
        log_unforeseen(error, self._context)
        if not is_foreseen(error):
            for span in self.spans:
                span.record_error(error)

    def report_progress(self, event_count: int) -> None:
        """Add to the worker's counters what was written since the last time."""
        is_streamed = bool(self._context.notes.get("stream", True))
        registry.stats().add_written(self.written, event_count, is_streamed=is_streamed)

    def close(self, stream: Admitted, message: str, *, events: int, reason: str | None) -> None:
        """Give the place back, count the end and report it. See ``settle``."""
        self.report(self.settle(stream, events=events, reason=reason), message)

    def report(self, end: StreamEnd, message: str) -> None:
        """Log the end, and tell it to what traces the request. Either may block."""
        end.log(message)
        for span in self.spans:
            span.close(end)

    def settle(self, stream: Admitted, *, events: int, reason: str | None) -> StreamEnd:
        """Give the place back, and count the end, which is returned.

        events: how many there were
        reason: why the client is gone, if it is
        """
        registry.admission().leave(stream)
        context, written, stats = self._context, self.written, registry.stats()
        if self.has_response:
            self.report_progress(events)
        first_event_at = written.first_event_at
        end = StreamEnd(
            request_id=context.request_id,
            notes=context.notes,
            outcome=context.outcome,
            status=self._status() if self.has_response else None,
            code=self._code(),
            reason=reason or context.failure or (str(self.error) if self.error else None),
            events=events,
            byte_count=written.byte_count if self.has_response else None,
            keepalives=written.keepalive_count,
            first_event_seconds=None
            if first_event_at is None
            else first_event_at - self._started_at,
            total_seconds=time.monotonic() - self._started_at,
        )
        stats.end(end)
        return end

    def _code(self) -> str | None:
        # A plain answer is the upstream's refusal, passed on as it came.
        if isinstance(self.error, PlainAnswer) or (self.error is None and self._context.failure):
            return "upstream_error"
        return None if self.error is None else as_api_error(self.error).code

    def _status(self) -> object:
        """The response's status; None where the client left before there was one."""
        context = self._context
        if context.is_committed:
            return 200
        if self.written.byte_count == 0:
            if isinstance(self.error, PlainAnswer):
                return self.error.status
            if self.error is not None:
                return as_api_error(self.error).status
            if context.outcome is Outcome.CANCELLED:
                return None
        return context.notes.get("upstream_status") or 200
