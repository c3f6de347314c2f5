"""What a stream reads its events from."""

import re
from collections.abc import Callable
from typing import Protocol

Forward = Callable[[bytes], bool]
"""Writes events to the client without waiting. Returns whether all bytes are written; if not, the request greenlet has
to write the rest."""


_OTHER_STARTS = (b":", b"\n", b"\r")
_DATA_LINE = re.compile(rb"^data|[\r\n]data")


def holds_event(events: bytes) -> bool:
    """Return whether there is more than comments and blank lines in it, which only keep a connection alive."""
    return not events.startswith(_OTHER_STARTS) or _DATA_LINE.search(events) is not None


class Feed(Protocol):
    """The source of an EventStream. All methods but ``start`` and ``stop`` are called after ``start``."""

    @property
    def is_event_stream(self) -> bool:
        """Whether comments and an error event may stand between the bytes that it gives."""

    @property
    def has_begun(self) -> bool:
        """Whether the first event is there, or the end, or the headers of a response that is not an event stream."""

    @property
    def has_events(self) -> bool: ...

    @property
    def is_finished(self) -> bool:
        """Whether nothing will come after the events that are there; ``error`` says why, if it failed."""

    @property
    def error(self) -> Exception | None: ...

    @property
    def has_terminal_event(self) -> bool:
        """Whether the terminal event has come, even if the end has not."""

    @property
    def event_count(self) -> int: ...

    def start(self) -> None: ...

    def take(self) -> bytes:
        """Return all events that are there, b"" if none is. Those taken before count as written now."""

    def wait(self, forward: Forward | None = None) -> None:
        """Wait for events, for the end, or for ``wake``.

        forward: called on the loop with the events that come meanwhile; the wait goes on while it returns True
        """

    def wake(self) -> None:
        """End the current ``wait``, or else the next one. Does not block; the loop may call it."""

    def stop(self) -> None:
        """Release everything, whether started or not: the reader is gone. Does not block; may be called again."""
