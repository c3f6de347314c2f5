"""One object for all streams of a process. Threads do not survive a fork, and a server may fork workers after it has streamed."""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Returns the object of this process, which is made when it is first needed.

    make: makes it
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._made: T | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def __call__(self) -> T:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def forget(self) -> None:
        """Have the next call make another one."""
        # Another thread may have held the lock when the process was forked.
        self._lock = threading.RLock()
        self._made = None
