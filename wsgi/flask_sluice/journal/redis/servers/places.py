"""Who may use one of a few connections, in the order in which they ask."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from flask_sluice.journal.turns import Flag, Turns


class NoPlaceError(Exception):
    """All places were taken for too long."""


class Places:
    """A semaphore that is fair: a place goes to the one that has waited longest.

    With one of ``threading`` the one that gives a place back and needs it again takes it before any that waits has run:
    of hundreds that each need it a few times, the last would wait until all others are done.
    """

    def __init__(self, turns: Turns, count: int) -> None:
        self._turns = turns
        self._free_count = count
        self._waiting: deque[Flag] = deque()

    @contextmanager
    def one(self, wait_seconds: float) -> Iterator[None]:
        """Have a place. Raises NoPlaceError if there is none within ``wait_seconds``."""
        with self._turns:
            self._take(wait_seconds)
        try:
            yield
        finally:
            with self._turns:
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
