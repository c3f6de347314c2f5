"""The feed of a stream that reads a journal: first what is stored, then what is still being added."""

import msgspec

from flask_sluice.journal.protocol import Journal
from flask_sluice.sse import EventParser
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.loop.give_way import give_way, loop_is_held
from flask_sluice.stream.loop.signal import Signal

_OWN_CODES = frozenset(
    {
        *("upstream_error", "upstream_invalid", "upstream_timeout", "upstream_truncated"),
        *("upstream_unreachable", "stream_timeout", "internal_error", "overloaded"),
        *("producer_lost", "draining", "stopped", "redis_unreachable"),
    }
)
"""An upstream's own code, passed on in its words, is not for the log and the metrics: it may say anything there."""
_RESET = ApiError(410, "reset", "events that the reader had asked for were gone")


class JournalFeed:
    """Gives a reader's EventStream the events of a stream in a journal. May block when it is made.

    after: the number of the last event that the reader has
    retry_ms: how long an EventSource is to wait before it reconnects; sent with the first event,
        unless the answer ends with it
    context: the reader's stream's, which is told of an error that is among the events

    Raises what ``Journal.follow`` raises.
    """

    is_event_stream = True
    has_begun = True

    def __init__(
        self, journal: Journal, stream_id: str, after: int, retry_ms: int, context: StreamContext
    ) -> None:
        self._retry = b"retry: %d\n" % retry_ms
        self._context = context
        self._signal = Signal()
        self.wake = self._signal.give
        self._follower = journal.follow(stream_id, after, self.wake)

    @property
    def has_events(self) -> bool:
        return self._follower.has_events

    @property
    def is_finished(self) -> bool:
        return self._follower.is_finished

    @property
    def error(self) -> ApiError | None:
        return self._follower.error

    @property
    def has_terminal_event(self) -> bool:
        return self._follower.is_finished and self._follower.error is None

    @property
    def event_count(self) -> int:
        return self._follower.event_count

    def start(self) -> None:
        """Do nothing: the stream is followed already, so that an unknown one is answered with 404."""

    def take(self) -> bytes:
        # A long history, and a client that reads as fast as it is written, would leave others no turn.
        if self._follower.has_events and loop_is_held():
            give_way()
        events = self._follower.take()
        if events and self._follower.is_finished:
            self._note_error()
        if events and self._retry:
            # An error event with a ``retry`` would ask the client to come back, and there is nothing more.
            is_only_the_end = self.has_terminal_event and self.event_count == 1
            events = events if is_only_the_end else self._retry + events
            self._retry = b""
        return events

    def _note_error(self) -> None:
        """Tell the reader's stream how the answer ended for the reader, which has just been given its end."""
        told = _error_in(self._follower.terminal_event)
        if told is None and self._follower.was_reset:
            told = _RESET
        self._context.told_error = told

    def wait(self, forward: Forward | None = None) -> None:
        follower = self._follower
        # The first event needs the ``retry`` that ``take`` adds.
        follower.forward = None if self._retry else forward
        try:
            self._signal.wait()
        finally:
            follower.forward = None

    def stop(self) -> None:
        self._follower.close()


class _Told(msgspec.Struct):
    code: str | int | None = None
    message: str = ""


class _ErrorData(msgspec.Struct):
    error: _Told


def _error_in(event: bytes) -> ApiError | None:
    """Return the error that a terminal event tells of; None if it completes the answer."""
    for received in EventParser().feed(event):
        if received.event == "error":
            try:
                told = msgspec.json.decode(received.data, type=_ErrorData).error
            except msgspec.DecodeError:  # An app's own, in a form of its own.
                told = _Told()
            code = told.code if told.code in _OWN_CODES else "upstream_error"
            return ApiError(502, str(code), told.message)
    return None
