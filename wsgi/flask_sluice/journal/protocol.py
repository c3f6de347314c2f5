"""What a journal offers to the producers and the readers of streams."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from flask_sluice.journal.turns import Turns
from flask_sluice.stream.errors import ApiError

_MIB = 1024 * 1024
_LOOK_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a journal keeps, and for how long.

    history_bytes: of one stream; beyond it, its oldest events are dropped
    history_seconds: how long a stream is kept after its terminal event
    abandon_seconds: after this time without a reader, the producer is asked to stop; 0: never
    total_history_bytes: of all the streams that a worker produces; beyond it, finished ones are forgotten before their
        time, and without any, no new stream is taken
    """

    history_bytes: int = 4 * _MIB
    history_seconds: float = 300.0
    abandon_seconds: float = 60.0
    total_history_bytes: int = 256 * _MIB


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a stream from its beginning.

    owner: whose stream it is; "": it belongs to none. Where room is short, finished streams of the owner that holds most are
        forgotten first
    key: a name of the app's, by which the newest stream of that name is found; ""
    created_at: in seconds since 1970
    """

    owner: str = ""
    key: str = ""
    created_at: float = field(default_factory=time.time)

    @property
    def names(self) -> tuple[str, ...]:
        """What the stream is found by: its key, and then its key among those of its owner."""
        if not self.key:
            return ()
        of_all = f"*:{self.key}"
        # The length says where the owner's name ends, whatever it holds.
        return (of_all, f"{len(self.owner)}:{self.owner}:{self.key}") if self.owner else (of_all,)


@dataclass(frozen=True, slots=True)
class Description:
    """What a journal has of a stream.

    about: None if the store has lost it
    last_id: the number of the last event, 0 if there is none
    terminal_event: None while the stream runs
    expires_at: when it will be forgotten, in seconds since 1970; None while it runs
    """

    about: About | None
    last_id: int
    terminal_event: bytes | None
    expires_at: float | None

    def belongs_to(self, owner: str | None) -> bool:
        """Whether the stream is this owner's; every stream is None's."""
        return owner is None or (self.about is not None and self.about.owner == owner)


class Recorder(Protocol):
    """The producer's side of one stream."""

    @property
    def has_room(self) -> bool:
        """Whether a producer that can wait may go on: the store keeps up with it.

        True, too, while the store does not work: nothing would tell how long to wait.
        """

    @property
    def is_stored(self) -> bool:
        """Whether the store has all that it was given, or will never have it."""

    @property
    def last_id(self) -> int:
        """The number of the last event, 0 if there is none."""

    def append(self, event: bytes) -> None:
        """Add an encoded event without an id, and give it its number: 1, 2, 3, …

        Never blocks and never switches greenlets, so callbacks of the hub may call it. Readers never slow it down.

        Raises JournalLostError when the stream cannot be continued, RuntimeError after the terminal event.
        """

    def finish(self, event: bytes) -> None:
        """Add the terminal event.

        Like ``append``, but does nothing where ``append`` would raise JournalLostError: the stream has its end
        already, or another worker will end it.
        """


def wait_for_room(recorder: Recorder, turns: Turns) -> None:
    """Wait, in a turn, until the store keeps up with the producer."""
    while not recorder.has_room:
        turns.sleep(_LOOK_SECONDS)


class Follower(Protocol):
    """One reader's side of one stream.

    forward: while it is set, gets each event that comes when all before it have been taken, in place of a ``wake``.
        Must not block. Returns whether it wants more; if not, it is unset and ``wake`` is called. The terminal
        event is left for ``take``
    """

    forward: Callable[[bytes], bool] | None

    @property
    def new_id(self) -> bytes:
        """The id from which the client would go on, if it does not know that before the first event; else b""."""

    @property
    def has_events(self) -> bool:
        """Whether ``take`` would return something."""

    @property
    def is_finished(self) -> bool:
        """Whether the terminal event has been taken, so that nothing more will come; or ``error`` is set."""

    @property
    def error(self) -> ApiError | None:
        """Why the reader cannot go on at present, although the stream may. It may come again."""

    @property
    def terminal_event(self) -> bytes:
        """The terminal event, as it was taken. To be asked for when the follower is finished."""

    @property
    def was_reset(self) -> bool:
        """Whether the reader was told that events are gone."""

    @property
    def event_count(self) -> int:
        """How many numbered events have been taken."""

    def take(self) -> bytes:
        """Return the events after those taken before, in order and without a gap, about 256 KiB of them at most.

        Returns b"" if there are none. Never blocks. Where history has been dropped, ``event: reset`` comes first,
        whose data is ``{"oldest": id}``: the id of the event with which the stream goes on.
        """

    def close(self) -> None:
        """Leave the stream. Only the first call counts."""


class Journal(Protocol):
    """The streams that this process produces, and those that it can read.

    is_shared: whether other processes can read the streams that this one produces
    turns: recorders and followers are used in a turn (``with journal.turns:``), and what they call is called in one; the
        journal's own methods take it themselves
    """

    @property
    def is_shared(self) -> bool: ...

    @property
    def turns(self) -> Turns: ...

    def create(self, stream_id: str, on_stop: Callable[[str], None], about: About) -> Recorder:
        """Begin a stream. May block.

        stream_id: new, and impossible to guess
        on_stop: called at most once, and not after the terminal event: with "stopped" (a client asked for it),
            "abandoned" (there are no readers) or "lost" (another worker ended the stream, since it took this worker
            for dead). It is called from any greenlet or from the hub, so it must not block. The producer
            still has to finish the stream, except after "lost"
        about: its owner and key

        Raises JournalFullError, JournalUnavailableError.
        """

    def describe(self, stream_id: str) -> Description:
        """Return what is known of a stream. May block. Raises UnknownStreamError, JournalUnavailableError."""

    def find(self, name: str) -> str | None:
        """Return the id of the stream of this name that was created last, which may be forgotten already; None if there
        never was one, or long ago. May block. Raises JournalUnavailableError.

        name: one of ``About.names``
        """

    def follow(self, stream_id: str, after: int, wake: Callable[[], None]) -> Follower:
        """Read a stream from the event after number ``after`` on. May block.

        wake: called when ``take`` has something new, or the end. It must be cheap and must not block; it is called
            from any greenlet or from the hub, possibly before ``follow`` has returned, and sometimes needlessly

        Raises UnknownStreamError, InvalidEventIdError, JournalUnavailableError.
        """

    def stop(self, stream_id: str) -> None:
        """Ask the producer to stop, whichever worker it is on. Does nothing to a finished stream. May block.

        Raises UnknownStreamError, JournalUnavailableError.
        """

    def problem(self) -> str | None:
        """Return why the journal cannot be used at present, None if it can. May block for a second or two."""

    def check_settings(self) -> None:
        """Log what is set in the store so that streams may be lost. May block for a second or two."""

    def close(self) -> None:
        """Release everything before the worker ends; events that are not written yet get a second or two."""
