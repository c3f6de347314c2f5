"""Where a stream's bytes come from: a generator that pushes, or a connection that is pulled."""

from collections.abc import Callable
from typing import Protocol

Forward = Callable[[bytes], bool]
"""Writes events to the client if that can be done without waiting. Returns whether it is done; if not, the request
greenlet has to go on with it."""


class Feed(Protocol):
    """What an EventStream reads. All but ``start`` and ``stop`` are called while it is started."""

    @property
    def is_event_stream(self) -> bool:
        """Whether comments and an error event may be put between what it gives."""

    @property
    def has_begun(self) -> bool:
        """Whether its first event is there, or its end, or the headers of what is no event stream."""

    @property
    def has_events(self) -> bool: ...

    @property
    def is_finished(self) -> bool:
        """Whether nothing will come after what it has; ``error`` says why, if it failed."""

    @property
    def error(self) -> Exception | None: ...

    @property
    def has_terminal_event(self) -> bool:
        """Whether the terminal event has come, though the end has not."""

    @property
    def event_count(self) -> int: ...

    def start(self) -> None: ...

    def take(self) -> bytes:
        """All events that are there, b"" if none is. Says that those taken before are written."""

    def wait(self, forward: Forward | None = None) -> None:
        """Waits for events, for the end, or for a ``wake``.

        forward: gets the events that come meanwhile, from the hub; the wait goes on while it takes them
        """

    def wake(self) -> None:
        """Ends a ``wait``, or the next one. Never blocks; the hub's callbacks may call it."""

    def stop(self) -> None:
        """The reader is gone: lets go of everything, started or not. Does not block; may be called again."""
