"""The feed of a stream that reads a journal: what is stored, and then what is still being added."""

from typing import Protocol

from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.loop.signal import Signal


class Follower(Protocol):
    """A reader's place in a journal (``flask_sluice.journal``)."""

    forward: Forward | None

    @property
    def has_events(self) -> bool: ...

    @property
    def is_finished(self) -> bool: ...

    @property
    def event_count(self) -> int: ...

    def take(self) -> bytes: ...

    def close(self) -> None: ...


class JournalFeed:
    """Gives the events of a follower, which calls ``wake``.

    retry_ms: how long an EventSource is to wait before it reconnects; goes out with the first event
    """

    is_event_stream = True
    has_begun = True
    error = None

    def __init__(self, retry_ms: int) -> None:
        self._retry = b"retry: %d\n" % retry_ms
        self._signal = Signal()
        self.follower: Follower | None = None
        self.wake = self._signal.give

    @property
    def has_events(self) -> bool:
        return self.follower is not None and self.follower.has_events

    @property
    def is_finished(self) -> bool:
        return self.follower is not None and self.follower.is_finished

    @property
    def has_terminal_event(self) -> bool:
        return self.is_finished

    @property
    def event_count(self) -> int:
        return 0 if self.follower is None else self.follower.event_count

    def start(self) -> None:
        pass  # The follower is there before the stream: an unknown stream is a 404.

    def take(self) -> bytes:
        if self.follower is None:
            return b""
        events = self.follower.take()
        if events and self._retry:
            events, self._retry = self._retry + events, b""
        return events

    def wait(self, forward: Forward | None = None) -> None:
        follower = self.follower
        assert follower is not None
        # The first event goes out with ``retry``, by ``take``.
        follower.forward = None if self._retry else forward
        try:
            self._signal.wait()
        finally:
            follower.forward = None

    def stop(self) -> None:
        if self.follower is not None:
            self.follower.close()
