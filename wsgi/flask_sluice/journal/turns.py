"""Who works in a store at a time, and how its background jobs run: as greenlets, or as threads.

A store is written for greenlets: between two waits, one has it for itself. Threads get the same by one lock, the turn. It is
held by the thread that works in the store, and given away wherever a greenlet would let others run.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import Empty, SimpleQueue
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


# ``with`` takes a lock and gives it back in one step each. In a method of Python's, the exception of a signal's handler (Ctrl-C,
# Celery's time limit) may come in between, and the lock would be held for ever.
_Lock: Any = type(threading.RLock())


class ThreadFlag:
    """A flag for which one thread waits. An Event of threading's has a lock that a signal's exception may leave held."""

    def __init__(self) -> None:
        self._is_set = False
        self._wakings: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._wakings.empty():
            self._wakings.put(None)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None, /) -> bool:
        ends_at = None if timeout is None else time.monotonic() + timeout
        while not self._is_set:
            left = None if ends_at is None else max(0.0, ends_at - time.monotonic())
            try:
                self._wakings.get(timeout=left)
            except Empty:
                break
        return self._is_set


class ThreadTurns(_Lock):  # type: ignore[misc]
    """One lock, which the thread that holds it may take again."""

    @contextmanager
    def given_away(self) -> Iterator[None]:
        if not self._is_owned():
            yield
            return
        # As Condition does it: taking it back is not interrupted, however long it lasts.
        held = self._release_save()
        try:
            yield
        finally:
            self._acquire_restore(held)

    def sleep(self, seconds: float) -> None:
        with self.given_away():
            time.sleep(seconds)

    def wait(self, flag: Flag, seconds: float | None = None) -> None:
        with self.given_away():
            flag.wait(seconds)

    def new_flag(self) -> Flag:
        return ThreadFlag()

    def start(self, job: Callable[[], object]) -> None:
        # A daemon: it never ends by itself, and would keep the process from ending.
        threading.Thread(target=job, name="sluice-journal", daemon=True).start()


def turns_of_process() -> Turns:
    """Return what fits this process: greenlets where gevent has patched it, threads elsewhere."""
    return GreenletTurns() if is_patched() else ThreadTurns()
