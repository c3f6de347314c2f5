"""What a stream on a server with threads reads its events from."""

import threading
from typing import Protocol


class ThreadFeed(Protocol):
    """The source of a ThreadStream. What is not said here, the stream changes and reads with ``change`` held.

    change: guards the attributes, and is notified of each change
    events: those that wait
    event_count: how many there were
    has_terminal_event: whether the last event was the terminal one
    is_finished: whether nothing will come after the events that wait; ``error`` says why, if it failed
    has_left: whether the client has left
    is_draining: whether the process ends
    is_in_step: whether a test client reads
    """

    change: threading.Condition
    events: list[bytes]
    event_count: int
    has_terminal_event: bool
    is_finished: bool
    error: Exception | None
    has_left: bool
    is_draining: bool
    is_in_step: bool

    @property
    def keeps_flask_context(self) -> bool:
        """Whether it has to be closed by the thread in which it was made."""

    @property
    def is_saving(self) -> bool: ...

    def start(self) -> None: ...

    def ask(self) -> None:
        """Say that the reader waits for an event: what it took is written. To be called without ``change``."""

    def take(self) -> bytes:
        """Return all events that wait, b"" if none does. To be called with ``change`` held."""

    def mark_left(self) -> None:
        """The client has left. Any thread may call this."""

    def on_drain(self) -> None:
        """The process ends, and the stream must end with an error event. Any thread may call this."""

    def close(self) -> None:
        """The reader is gone."""
