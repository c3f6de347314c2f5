"""Which streams a worker has open, and how many it takes."""

from typing import Protocol


class Admitted(Protocol):
    """A stream, as far as the worker that ends is concerned."""

    def on_drain(self) -> None:
        """The worker ends, and the stream must end with an error event. Must not block."""


class TooManyStreamsError(Exception):
    """The worker has as many open streams as it takes."""


class Admission:
    """The open streams of one worker.

    limit: how many there may be; None: any number
    is_draining: whether the worker is to end and accepts no more connections
    refuses_requests: whether requests on its open connections are refused, too: no other worker takes its place
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.is_draining = False
        self.refuses_requests = False
        self._streams: set[Admitted] = set()

    @property
    def count(self) -> int:
        return len(self._streams)

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.count >= self.limit

    def enter(self, stream: Admitted) -> None:
        """Count the stream until ``leave``. Raises TooManyStreamsError at the limit."""
        if self.is_full:
            raise TooManyStreamsError(f"{self.count} streams are open, the limit")
        self._streams.add(stream)

    def leave(self, stream: Admitted) -> None:
        """The stream is over; may be called more than once."""
        self._streams.discard(stream)

    def drain(self, *, refuses_requests: bool = True) -> None:
        """Set ``is_draining``; the open streams go on."""
        self.is_draining = True
        self.refuses_requests = refuses_requests

    def end_streams(self) -> None:
        """Have all open streams end with an error event."""
        for stream in list(self._streams):
            stream.on_drain()
