"""Who may use one of a few connections at a time."""

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import BoundedSemaphore
from typing import Protocol

from flask_sluice.journal.turns import Flag, GreenletTurns, Turns


class NoPlaceError(Exception):
    """All places were taken for too long."""


class Places(Protocol):
    def one(self, wait_seconds: float) -> AbstractContextManager[None]:
        """Have a place. Raises NoPlaceError if there is none within ``wait_seconds``."""


def places_for(turns: Turns, count: int) -> Places:
    """Return so many places for greenlets or threads."""
    if isinstance(turns, GreenletTurns):
        return GreenletPlaces(turns, count)
    return ThreadPlaces(turns, count)


class ThreadPlaces:
    """A semaphore of threading's. To hand each place over to a certain thread would cost a change of threads each time: 300 readers
    that came back together were not done in two minutes then, and are in ten seconds so.
    """

    def __init__(self, turns: Turns, count: int) -> None:
        self._turns = turns
        self._semaphore = BoundedSemaphore(count)

    @contextmanager
    def one(self, wait_seconds: float) -> Iterator[None]:
        with self._turns.given_away():
            has_place = self._semaphore.acquire(timeout=wait_seconds)
        if not has_place:
            raise NoPlaceError
        try:
            yield
        finally:
            self._semaphore.release()


class GreenletPlaces:
    """A semaphore that is fair: a place goes to the greenlet that has waited longest.

    With one of threading's the one that gives a place back and needs it again takes it before any that waits has run:
    of hundreds that each need it a few times, the last would wait until all others are done.
    """

    def __init__(self, turns: GreenletTurns, count: int) -> None:
        self._turns = turns
        self._free_count = count
        self._waiting: deque[Flag] = deque()

    @contextmanager
    def one(self, wait_seconds: float) -> Iterator[None]:
        self._take(wait_seconds)
        try:
            yield
        finally:
            self._give_back()

    def _take(self, wait_seconds: float) -> None:
        if self._free_count:
            self._free_count -= 1
            return
        is_mine = self._turns.new_flag()
        self._waiting.append(is_mine)
        try:
            self._turns.wait(is_mine, wait_seconds)
        except BaseException:
            if is_mine.is_set():
                self._give_back()
            else:
                self._waiting.remove(is_mine)
            raise
        if not is_mine.is_set():
            self._waiting.remove(is_mine)
            raise NoPlaceError

    def _give_back(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free_count += 1
