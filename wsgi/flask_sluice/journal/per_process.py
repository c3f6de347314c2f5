"""What each process makes for itself."""

import os
import threading
import weakref
from collections.abc import Callable
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
        self._made: C | None = None
        self._pid = 0
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            renew = weakref.WeakMethod(self._renew_lock)
            os.register_at_fork(after_in_child=lambda: (method := renew()) and method())

    @property
    def here(self) -> C:
        """The object of this process."""
        made = self._made
        if made is None or os.getpid() != self._pid:
            with self._lock:
                made = self._made_in(os.getpid())
        return made

    @property
    def made_here(self) -> C | None:
        """The object of this process, if it has been made."""
        return self._made if os.getpid() == self._pid else None

    def _made_in(self, pid: int) -> C:
        inherited = self._made if pid != self._pid else None
        if self._made is None or inherited is not None:
            self._made = self._make()
            self._pid = pid
        if inherited is not None:
            # Not in a turn: a thread that the child does not have may hold that.
            inherited.close()
        return self._made

    def _renew_lock(self) -> None:
        """In a child: a thread that it does not have may hold the lock."""
        self._lock = threading.Lock()


class PerProcessJournal(PerProcess[J]):
    """Passes each call on to the journal of this process."""

    is_shared: bool

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
