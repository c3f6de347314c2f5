"""Which streams a worker has open, and how many it takes."""

from wsgi.stream.context import Outcome


class TooManyStreamsError(Exception):
    """The worker has as many open streams as it takes."""


class Inflight:
    """Counts the open streams of one worker. ``limit`` None: any number."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.count = 0

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.count >= self.limit

    def enter(self) -> "InflightGuard":
        """Takes a place; raises TooManyStreamsError if there is none."""
        if self.is_full:
            raise TooManyStreamsError(f"{self.count} streams are open, the limit")
        self.count += 1
        return InflightGuard(self)


class InflightGuard:
    """A stream's place. Its outcome is *cancelled* unless marked otherwise, so that no path can forget."""

    __slots__ = ("_inflight", "outcome")

    def __init__(self, inflight: Inflight) -> None:
        self._inflight: Inflight | None = inflight
        self.outcome = Outcome.CANCELLED

    def mark(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def release(self) -> None:
        """Gives the place back. Only the first call counts."""
        if self._inflight is not None:
            self._inflight.count -= 1
            self._inflight = None
