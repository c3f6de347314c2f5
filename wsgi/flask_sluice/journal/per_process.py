"""What each process makes for itself."""

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from flask_sluice.journal.protocol import About, Description, Follower, Journal, Recorder
from flask_sluice.journal.turns import Turns


class _Closable(Protocol):
    def close(self) -> None:
        """Release everything. In a child process, that is its copies of the parent's sockets."""


C = TypeVar("C", bound=_Closable)
J = TypeVar("J", bound=Journal)


class PerProcess(Generic[C]):
    """Makes the object of this process at its first use.

    With gunicorn's ``preload_app`` an app, and so its journal, is made in the master and copied into each worker by the
    fork. Workers that shared a worker id would renew each other's leases; those that shared a connection would take
    each other's replies; and a stream runs only in the process that produces it.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        # By process. There is no lock, which another thread could have held at the fork: a dictionary's steps are atomic.
        self._made: dict[int, C] = {}

    @property
    def here(self) -> C:
        """The object of this process."""
        pid = os.getpid()
        made = self._made.get(pid)
        if made is None:
            # Two threads may each make one, of which neither has done anything so far.
            made = self._made.setdefault(pid, self._make())
            for other in [each for each in self._made if each != pid]:
                if (inherited := self._made.pop(other, None)) is not None:
                    # Not in a turn: a thread that the child does not have may hold that.
                    inherited.close()
        return made

    @property
    def made_here(self) -> C | None:
        """The object of this process, if it has been made."""
        return self._made.get(os.getpid())


class PerProcessJournal(PerProcess[J]):
    """Passes each call on to the journal of this process.

    When nothing refers to this object any more, neither a program nor a stream that runs, it releases what it has.
    """

    is_shared: bool

    def __init__(self, make: Callable[[], J]) -> None:
        super().__init__(make)
        release = weakref.finalize(self, _release, self._made)
        release.atexit = False

    @property
    def turns(self) -> Turns:
        return self.here.turns

    def create(self, stream_id: str, on_stop: Callable[[str], None], about: About) -> Recorder:
        journal = self.here
        with journal.turns:
            return journal.create(stream_id, on_stop, about)

    def describe(self, stream_id: str) -> Description:
        journal = self.here
        with journal.turns:
            return journal.describe(stream_id)

    def find(self, name: str) -> str | None:
        journal = self.here
        with journal.turns:
            return journal.find(name)

    def follow(self, stream_id: str, after: int, wake: Callable[[], None]) -> Follower:
        journal = self.here
        with journal.turns:
            return journal.follow(stream_id, after, wake)

    def stop(self, stream_id: str) -> None:
        journal = self.here
        with journal.turns:
            journal.stop(stream_id)

    def problem(self) -> str | None:
        journal = self.here
        with journal.turns:
            return journal.problem()

    def check_settings(self) -> None:
        journal = self.here
        with journal.turns:
            journal.check_settings()

    def close(self) -> None:
        journal = self.made_here
        if journal is not None:
            with journal.turns:
                journal.close()


def _release(made: dict[int, J]) -> None:
    journal = made.pop(os.getpid(), None)
    if journal is not None:
        # In the background: the garbage collector may call this anywhere, and closing may block.
        journal.turns.start(partial(_close, journal))


def _close(journal: Journal) -> None:
    with journal.turns:
        journal.close()
