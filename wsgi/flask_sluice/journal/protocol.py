"""Streams that are kept, so that any reader may come at any time and continue after any event."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a journal keeps.

    history_bytes: of one stream; the oldest events go first
    history_seconds: for how long after a stream's terminal event; then it is forgotten
    abandon_seconds: a stream that nobody has read for so long is asked to stop; 0: never
    total_history_bytes: of all the streams that a worker produces; beyond it, no new ones
    """

    history_bytes: int = 4 * _MIB
    history_seconds: float = 300.0
    abandon_seconds: float = 60.0
    total_history_bytes: int = 256 * _MIB


class Recorder(Protocol):
    """The producer's side of one stream."""

    @property
    def last_id(self) -> int:
        """The number of the last event, 0 if there is none."""

    def append(self, event: bytes) -> None:
        """Adds an encoded event without an id, and numbers it: 1, 2, 3, …

        Never blocks and never switches, so the hub's callbacks may call it; never slowed by readers.

        Raises JournalLostError when the stream cannot be continued, RuntimeError after the terminal event.
        """

    def finish(self, event: bytes) -> None:
        """Adds the terminal event. Like ``append``, but does nothing where that raises JournalLostError:
        the stream has its end already, or will get it."""


class Follower(Protocol):
    """One reader's side of one stream.

    forward: while it is set, gets each event that comes when all before it have been taken, in place of a ``wake``.
        Must not block. Returns whether it wants more; if not, it is unset, and ``wake`` called. The terminal
        event is left to be taken
    """

    forward: Callable[[bytes], bool] | None

    @property
    def has_events(self) -> bool:
        """Whether ``take`` would give something."""

    @property
    def is_finished(self) -> bool:
        """Whether the terminal event has been taken: nothing will come."""

    @property
    def event_count(self) -> int:
        """How many numbered events have been taken."""

    def take(self) -> bytes:
        """The events after those taken before, in order and without a gap; not more than some 256 KiB of them at once.
        b"" if none is there. Never blocks.

        Where history is gone, ``event: reset`` comes first, whose data is ``{"oldest": id}``: of the event with
        which it goes on.
        """

    def close(self) -> None:
        """The reader leaves. Only the first call counts."""


class Journal(Protocol):
    """The streams that a worker produces, and those that it can read.

    is_shared: whether other processes read the streams that this one produces
    """

    @property
    def is_shared(self) -> bool: ...

    def create(self, stream_id: str, on_stop: Callable[[str], None]) -> Recorder:
        """Begins a stream. May block.

        stream_id: new and not to be guessed
        on_stop: called at most once, with "stopped" (somebody asked for it), "abandoned" (nobody reads) or "lost"
            (the stream was ended by others, who took this worker for dead); not after the terminal
            event. From any greenlet or the hub, so it must not block. What the producer does then is its
            business; a terminal event is due in any case but "lost"

        Raises JournalFullError, JournalUnavailableError.
        """

    def follow(self, stream_id: str, after: int, wake: Callable[[], None]) -> Follower:
        """Reads a stream from the event after number ``after`` on. May block.

        wake: called when ``take`` has something new, or the end. It must be cheap and must not block, is called
            from any greenlet or the hub, even before ``follow`` has returned, and now and then for nothing

        Raises UnknownStreamError, InvalidEventIdError, JournalUnavailableError.
        """

    def stop(self, stream_id: str) -> None:
        """Asks the producer to stop, whichever worker it is on. Of a finished stream nothing happens. May block.

        Raises UnknownStreamError, JournalUnavailableError.
        """

    def problem(self) -> str | None:
        """Why it cannot be used at present, None if it can. May block for a second or two."""

    def close(self) -> None:
        """Lets go of everything; the worker ends. What is still unwritten gets a second or two."""
