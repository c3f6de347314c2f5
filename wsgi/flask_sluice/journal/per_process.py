"""A journal that each process makes for itself."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from flask_sluice.journal.protocol import Follower, Journal, Recorder

J = TypeVar("J", bound=Journal)


class PerProcessJournal(Generic[J]):
    """Passes each call on to the journal of this process, which it makes at the first call.

    With gunicorn's ``preload_app`` an app, and so its journal, is made in the master and copied into each worker by the
    fork. Workers that shared a worker id would renew each other's leases; those that shared a connection would take
    each other's replies; and a stream runs only in the process that produces it.
    """

    is_shared: bool

    def __init__(self, make: Callable[[], J]) -> None:
        self._make = make
        self._journal: J | None = None
        self._pid = 0

    @property
    def here(self) -> J:
        """The journal of this process."""
        if self._journal is None or os.getpid() != self._pid:
            inherited, self._journal = self._journal, self._make()
            self._pid = os.getpid()
            if inherited is not None:
                inherited.close()
        return self._journal

    def create(self, stream_id: str, on_stop: Callable[[str], None]) -> Recorder:
        return self.here.create(stream_id, on_stop)

    def follow(self, stream_id: str, after: int, wake: Callable[[], None]) -> Follower:
        return self.here.follow(stream_id, after, wake)

    def stop(self, stream_id: str) -> None:
        self.here.stop(stream_id)

    def problem(self) -> str | None:
        return self.here.problem()

    def check_settings(self) -> None:
        self.here.check_settings()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
