"""Which streams a worker has open, and how many it takes."""

from typing import Protocol


class Admitted(Protocol):
    """A stream, as far as the worker that ends is concerned."""

    def on_drain(self) -> None:
        """The worker ends, and the stream must end with an error event. Must not block."""


class TooManyStreamsError(Exception):
    """The worker has as many open streams as it takes."""


class Pool:
    """Places for streams that may not take those of the others, such as a demonstration's.

    limit: how many there are
    count: how many are taken; changed by ``Admission`` alone
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


class Admission:
    """The open streams of one worker.

    limit: how many there may be, beside those in pools; None: any number
    is_draining: whether the worker is to end and accepts no more connections
    refuses_requests: whether requests on its open connections are refused, too: no other worker takes its place
    unstored_count: how many streams are over whose end a journal has still to store; a worker that ends waits for that
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.is_draining = False
        self.refuses_requests = False
        self.unstored_count = 0
        self._streams: set[Admitted] = set()
        self._in_pools: dict[Admitted, Pool] = {}

    @property
    def count(self) -> int:
        """How many streams are open, those in pools too."""
        return len(self._streams) + len(self._in_pools)

    @property
    def place_count(self) -> int:
        """How many streams count towards the limit."""
        return len(self._streams)

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.place_count >= self.limit

    def enter(self, stream: Admitted, pool: Pool | None = None) -> None:
        """Count the stream, in its pool if it has one, until ``leave``. Raises TooManyStreamsError at the limit."""
        if pool is not None:
            if pool.count >= pool.limit:
                raise TooManyStreamsError(f"{pool.count} streams of this kind are open, the limit")
            pool.count += 1
            self._in_pools[stream] = pool
            return
        if self.is_full:
            raise TooManyStreamsError(f"{self.place_count} streams are open, the limit")
        self._streams.add(stream)

    def leave(self, stream: Admitted) -> None:
        """The stream is over; may be called more than once."""
        self._streams.discard(stream)
        pool = self._in_pools.pop(stream, None)
        if pool is not None:
            pool.count -= 1

    def drain(self, *, refuses_requests: bool = True) -> None:
        """Set ``is_draining``; the open streams go on."""
        self.is_draining = True
        self.refuses_requests = refuses_requests

    def end_streams(self) -> None:
        """Have all open streams end with an error event."""
        for stream in [*self._streams, *self._in_pools]:
            stream.on_drain()
