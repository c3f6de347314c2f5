"""Which streams a worker has open, and how many it takes."""

from typing import Protocol

from wsgi.stream.context import Outcome


class Draining(Protocol):
    def end_for_drain(self) -> None:
        """The worker ends: so does the stream, with an error event. Must not block."""


class TooManyStreamsError(Exception):
    """The worker has as many open streams as it takes."""


class Inflight:
    """The open streams of one worker. ``limit`` None: any number.

    is_draining: the worker is to end, and takes no new ones
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.is_draining = False
        self._streams: set[Draining] = set()

    @property
    def count(self) -> int:
        return len(self._streams)

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.count >= self.limit

    def enter(self, stream: Draining) -> "InflightGuard":
        """Takes a place; raises TooManyStreamsError if there is none."""
        if self.is_full:
            raise TooManyStreamsError(f"{self.count} streams are open, the limit")
        self._streams.add(stream)
        return InflightGuard(self, stream)

    def leave(self, stream: Draining) -> None:
        self._streams.discard(stream)

    def drain(self) -> None:
        """From now on ``is_draining``; the open streams go on."""
        self.is_draining = True

    def end_streams(self) -> None:
        """The time of the open streams is over, too."""
        for stream in list(self._streams):
            stream.end_for_drain()


class InflightGuard:
    """A stream's place. Its outcome is *cancelled* unless marked otherwise, so that no path can forget."""

    __slots__ = ("_inflight", "_stream", "outcome")

    def __init__(self, inflight: Inflight, stream: Draining) -> None:
        self._inflight = inflight
        self._stream: Draining | None = stream
        self.outcome = Outcome.CANCELLED

    def mark(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def release(self) -> None:
        """Gives the place back. Only the first call counts."""
        if self._stream is not None:
            self._inflight.leave(self._stream)
            # The stream holds its guard: a cycle would stay until the next full collection.
            self._stream = None
