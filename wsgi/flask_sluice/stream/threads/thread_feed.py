"""What a stream on a server with threads reads its events from."""

import threading
from abc import ABC, abstractmethod


class ThreadFeed(ABC):
    """The source of a ThreadStream, which changes and reads these attributes with ``change`` held.

    change: guards the attributes, and is notified of each change
    events: those that wait
    event_count: how many there were
    has_terminal_event: whether the last event was the terminal one
    is_finished: whether nothing will come after the events that wait; ``error`` says why, if it failed
    has_left: whether the client has left
    is_draining: whether the process ends
    is_in_step: whether a test client reads
    """

    def __init__(self, *, is_in_step: bool) -> None:
        self.change = threading.Condition()
        self.events: list[bytes] = []
        self.event_count = 0
        self.has_terminal_event = False
        self.is_finished = False
        self.error: Exception | None = None
        self.has_left = False
        self.is_draining = False
        self.is_in_step = is_in_step

    @property
    def keeps_flask_context(self) -> bool:
        """Whether it has to be closed by the thread in which it was made."""
        return False

    @property
    def is_saving(self) -> bool:
        """Whether a generator goes on after its terminal event."""
        return False

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def ask(self) -> None:
        """Say that the reader waits for an event: what it took is written. To be called without ``change``."""

    def take(self) -> bytes:
        """Return all events that wait, b"" if none does. To be called with ``change`` held."""
        events = b"".join(self.events)
        self.events.clear()
        return events

    @abstractmethod
    def close(self) -> None:
        """The reader is gone."""

    # Any thread may call these.

    def mark_left(self) -> None:
        """The client has left."""
        with self.change:
            self.has_left = True
            self.change.notify_all()

    def on_drain(self) -> None:
        """The process ends, and the stream must end with an error event."""
        with self.change:
            self.is_draining = True
            self.change.notify_all()
