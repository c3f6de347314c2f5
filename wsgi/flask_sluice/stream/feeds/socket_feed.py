"""The feed of a stream that is read from a socket, without a second greenlet.

The request greenlet waits for the socket and for its other reasons to wake in one place.
"""

import logging
from collections.abc import Generator
from typing import Any, Generic, Protocol, TypeVar

from gevent import get_hub

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, PlainAnswer, as_api_error
from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.loop.signal import Signal
from flask_sluice.stream.loop.steps import StepRunner, Wait

logger = logging.getLogger("sluice.stream")

_READ = 1


class Source(Protocol):
    """A connection that has answered. It reads without blocking."""

    @property
    def is_event_stream(self) -> bool: ...

    @property
    def has_events(self) -> bool:
        """Whether ``take`` returns something without reading from the connection."""

    @property
    def is_finished(self) -> bool: ...

    @property
    def error(self) -> Exception | None: ...

    @property
    def has_terminal_event(self) -> bool:
        """Whether the client has been told how the answer ended, even if the source has not ended."""

    @property
    def event_count(self) -> int: ...

    def fileno(self) -> int: ...

    def take(self) -> bytes:
        """Read the bytes that are there; return the events that are whole."""

    def abandon(self) -> None:
        """Close the connection, unless the answer is finished."""


S = TypeVar("S", bound=Source)


class SocketFeed(Generic[S]):
    """Opens a source and gives the events that come from it.

    opening: returns the source; see ``StepRunner``. If the reader leaves meanwhile it is closed, and must close its
        connection then. The exception that it raises is the feed's error
    """

    __slots__ = (
        "_context",
        "_failure",
        "_forward",
        "_may_have_more",
        "_opening",
        "_signal",
        "_watcher",
        "source",
        "wake",
    )

    def __init__(self, opening: Generator[Wait, Any, S], context: StreamContext) -> None:
        self._opening: StepRunner[S] | None = StepRunner(opening, self._on_opened, self._on_failed)
        self._context = context
        self._signal = Signal()
        self._may_have_more = True
        self._watcher: Any = None
        self.source: S | None = None
        self._failure: Exception | None = None
        self._forward: Forward | None = None
        self.wake = self._signal.give

    @property
    def is_event_stream(self) -> bool:
        return self.source is None or self.source.is_event_stream

    @property
    def has_begun(self) -> bool:
        return self.source is not None or self._failure is not None

    @property
    def has_events(self) -> bool:
        return self.source is not None and self.source.has_events

    @property
    def is_finished(self) -> bool:
        return self._failure is not None or (self.source is not None and self.source.is_finished)

    @property
    def error(self) -> Exception | None:
        return self._failure or (self.source.error if self.source is not None else None)

    @property
    def has_terminal_event(self) -> bool:
        return self.source is not None and self.source.has_terminal_event

    @property
    def event_count(self) -> int:
        return 0 if self.source is None else self.source.event_count

    def start(self) -> None:
        assert self._opening is not None
        self._opening.start()

    def take(self) -> bytes:
        # Read only when the connection is known to have something: a read that finds nothing costs a system call
        # and an exception.
        if self.source is None or not (self._may_have_more or self.source.has_events):
            return b""
        self._may_have_more = False
        events = self.source.take()
        if self.source.is_finished:
            # The connection is closed, or serves the next request: its file descriptor is no longer ours.
            self._unwatch()
        return events

    def wait(self, forward: Forward | None = None) -> None:
        if self._watcher is not None and not self._watcher.active:
            # Level-triggered: it fires at once if bytes came while no greenlet waited.
            self._watcher.start(self._on_readable)
        self._forward = forward
        try:
            self._signal.wait()
        finally:
            self._forward = None

    def stop(self) -> None:
        self._unwatch()
        if self.source is not None:
            self.source.abandon()
        elif self._opening is not None:
            self._context.stop_generating()
            self._opening.close()

    def _unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def _on_opened(self, source: S) -> None:
        self._opening = None
        self.source = source
        if not source.is_finished:
            self._watcher = get_hub().loop.io(source.fileno(), _READ)
        self._signal.give_from_hub()

    def _on_failed(self, error: Exception) -> None:
        self._opening = None
        if isinstance(error, ApiError | PlainAnswer):
            self._failure = error
        else:
            self._failure = as_api_error(error)
            logger.error("opening failed request_id=%s", self._context.request_id, exc_info=error)
        self._signal.give_from_hub()

    def _on_readable(self) -> None:
        forward, source = self._forward, self.source
        if forward is not None and source is not None:
            try:
                events = source.take()
                is_written = not events or forward(events)
            except Exception as error:
                # This is the loop: an exception would reach no caller.
                logger.exception("reading failed request_id=%s", self._context.request_id)
                self._failure = as_api_error(error)
                source.abandon()
            if source.is_finished:
                self._unwatch()
            elif is_written:
                return  # The request greenlet goes on waiting.
        self._may_have_more = True
        if not self._signal.give_from_hub() and self._watcher is not None:
            # The request greenlet is busy, perhaps with a slow client; a level-triggered watcher would spin.
            self._watcher.stop()
