"""What a reader's response takes from a follower, on servers of either kind."""

from collections.abc import Callable

from flask_sluice.journal.errors import PRODUCER_LOST
from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.reading.told_error import error_in
from flask_sluice.journal.window import numbered
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import RenderError

Follow = Callable[[Callable[[], None]], Follower]
"""Begins to read; takes the function that wakes the reader. May block. Raises what ``Journal.follow`` raises."""

_OWN_CODES = frozenset(
    {
        *("upstream_error", "upstream_invalid", "upstream_timeout", "upstream_truncated"),
        *("upstream_unreachable", "stream_timeout", "internal_error", "overloaded"),
        *("producer_lost", "draining", "stopped", "redis_unreachable", "kicked"),
    }
)
"""An upstream's own code, passed on in its words, is not for the log and the metrics: it may say anything there."""
_RESET = ApiError(410, "reset", "events that the reader had asked for were gone")


class Reader:
    """Takes a follower's events, adds ``retry`` to the first, and tells the reader's stream how the answer ended.

    retry_ms: how long an EventSource is to wait before it reconnects; sent with the first event,
        unless the answer ends with it
    context: the reader's stream's, which is told of an error that is among the events
    render_lost: makes the error event of an answer whose producer has died; None: as it is stored
    """

    __slots__ = ("_context", "_render_lost", "_retry", "follower")

    def __init__(
        self,
        follower: Follower,
        retry_ms: int,
        context: StreamContext,
        render_lost: RenderError | None = None,
    ) -> None:
        self.follower = follower
        self._retry = b"retry: %d\n" % retry_ms
        self._context = context
        self._render_lost = render_lost

    @property
    def has_terminal_event(self) -> bool:
        return self.follower.is_finished and self.follower.error is None

    @property
    def may_forward(self) -> bool:
        """Whether events may be passed on as they are: the first needs the ``retry`` that ``take`` adds."""
        return not self._retry

    def take(self) -> bytes:
        events = self.follower.take()
        if events and self.follower.is_finished:
            events = self._with_told_error(events)
        if events and self._retry:
            # An error event with a ``retry`` would ask the client to come back, and there is nothing more.
            is_only_the_end = self.has_terminal_event and self.follower.event_count == 1
            events = events if is_only_the_end else self._retry + events
            self._retry = b""
        return events

    def _with_told_error(self, events: bytes) -> bytes:
        """Tell the reader's stream how the answer ended for the reader. Return its last events, in the reader's form."""
        terminal_event = self.follower.terminal_event
        told = error_in(terminal_event)
        if told is None:
            self._context.told_error = _RESET if self.follower.was_reset else None
            return events
        code = str(told["code"]) if told["code"] in _OWN_CODES else "upstream_error"
        error = self._context.told_error = ApiError(502, code, told["message"])
        if code != PRODUCER_LOST.code or self._render_lost is None:
            return events
        # Another worker has ended the stream, which does not know what form the app gives to its errors.
        number = int(terminal_event[len(b"id: ") : terminal_event.index(b"\n")])
        return events.removesuffix(terminal_event) + numbered(number, self._render_lost(error))
