"""Where a stream's bytes come from: a generator that pushes, or a connection that is pulled."""

from typing import Protocol


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

    def wait(self) -> None:
        """Waits for events, for the end, or for a ``wake``."""

    def wake(self) -> None:
        """Ends a ``wait``, or the next one. Never blocks; the hub's callbacks may call it."""

    def stop(self) -> None:
        """The reader is gone: lets go of everything, started or not. Does not block; may be called again."""
