"""Who works in a store at a time, and how its background jobs run: as greenlets, or as threads.

A store is written for greenlets: between two waits, one has it for itself. Threads get the same by one lock, the turn. It is
held by the thread that works in the store, and given away wherever a greenlet would let others run.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from flask_sluice.stream.serving import is_patched


class Flag(Protocol):
    """What gevent's and threading's Event have in common."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None, /) -> object: ...


class Turns(Protocol):
    """As a context manager: the caller has the store for itself. All but ``new_flag`` and ``start`` are called so."""

    def __enter__(self) -> object: ...

    def __exit__(self, *exception: object) -> None: ...

    def given_away(self) -> AbstractContextManager[object]:
        """Return a context in which the caller waits, and others may work in the store."""

    def sleep(self, seconds: float) -> None:
        """Wait while others work in the store."""

    def wait(self, flag: Flag, seconds: float | None = None) -> None:
        """Wait for a flag while others work in the store. seconds: None: without a limit"""

    def new_flag(self) -> Flag: ...

    def start(self, job: Callable[[], object]) -> None:
        """Run a job in the background. It takes the turn itself. The process may end before the job does."""


class GreenletTurns:
    """Nothing to lock: one greenlet runs until it waits."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass

    def given_away(self) -> AbstractContextManager[object]:
        return nullcontext()

    def sleep(self, seconds: float) -> None:
        import gevent  # noqa: PLC0415

        gevent.sleep(seconds)

    def wait(self, flag: Flag, seconds: float | None = None) -> None:
        flag.wait(seconds)

    def new_flag(self) -> Flag:
        from gevent.event import Event  # noqa: PLC0415

        # None is a time limit of both kinds of Event, but the types of gevent's have it apart.
        return Event()  # type: ignore[return-value]

    def start(self, job: Callable[[], object]) -> None:
        import gevent  # noqa: PLC0415

        gevent.spawn(job)


class ThreadTurns:
    """One lock, which the thread that holds it may take again."""

    def __init__(self) -> None:
        # Of what Condition uses of it, for the same purpose: giving the lock away altogether, and taking it back however
        # long that lasts. A signal's exception (Ctrl-C, Celery's time limit) does not come in between, and would else leave
        # a turn that was not taken and is given back.
        self._lock: Any = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    @contextmanager
    def given_away(self) -> Iterator[None]:
        if not self._lock._is_owned():
            yield
            return
        held = self._lock._release_save()
        try:
            yield
        finally:
            self._lock._acquire_restore(held)

    def sleep(self, seconds: float) -> None:
        with self.given_away():
            time.sleep(seconds)

    def wait(self, flag: Flag, seconds: float | None = None) -> None:
        with self.given_away():
            flag.wait(seconds)

    def new_flag(self) -> Flag:
        return threading.Event()

    def start(self, job: Callable[[], object]) -> None:
        # A daemon: it never ends by itself, and would keep the process from ending.
        threading.Thread(target=job, name="sluice-journal", daemon=True).start()


def turns_of_process() -> Turns:
    """Return what fits this process: greenlets where gevent has patched it, threads elsewhere."""
    return GreenletTurns() if is_patched() else ThreadTurns()
