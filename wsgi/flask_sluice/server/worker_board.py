"""What the workers of one server tell each other and their master: a page of memory that all of them share."""

import mmap
import time
from enum import IntEnum
from functools import cache
from typing import NamedTuple

_MAX_WORKERS = 512
_COUNTERS = 5
_STARTS, _DEATHS, _LOST_STREAMS, _ROWS, _DROPPED = range(_COUNTERS)
_FIELDS = 7
_STAGE, _HAS_SUCCESSOR, _SIGN_OF_LIFE, _LOAD, _STREAMS, _LIMIT, _DROPPED_BY_WORKER = range(_FIELDS)
_FIELD_BYTES = 8
_SILENCE_MS = 1000
"""A worker that has shown no sign of life for so long is blocked, stopped or dead: the others do not wait for it."""


class Stage(IntEnum):
    """Where a worker is in its life. Master and worker both read and write it."""

    FREE = 0
    """The row has no worker."""
    BOOTING = 1
    SERVING = 2
    RETIRING = 3
    """It has served its number of requests, and goes on until the master tells it to end."""
    LEAVING = 4
    """It was told to end, and serves on for a while so that load balancers see that it will."""
    DRAINING = 5
    """It accepts no more connections."""
    ENDED = 6
    """It has ended as it should. The process may still be there for a moment."""


class WorkerState(NamedTuple):
    """A worker as the others see it.

    number: its row, from 0 on; a worker that has ended leaves its row to a later one
    streams: how many it has open; limit: how many it may have, None: any number
    """

    number: int
    stage: Stage
    streams: int
    limit: int | None

    @property
    def takes_streams(self) -> bool:
        """Whether it accepts new ones, unless it is full."""
        return Stage.SERVING <= self.stage <= Stage.LEAVING

    @property
    def is_staying(self) -> bool:
        """Whether it was not told to end, or is there until others have taken its place."""
        return self.stage in (Stage.SERVING, Stage.RETIRING)

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.streams >= self.limit


class WorkerBoard:
    """A row for each worker, and how many have started and died.

    It is made in the master, before the first fork. Each number is one machine word, which is read and written at once, so
    that no lock is needed.
    """

    def __init__(self) -> None:
        words = _COUNTERS + _MAX_WORKERS * _FIELDS
        self.own_row: Row | None = None
        """That of this process, if it is a worker."""
        self._words = memoryview(mmap.mmap(-1, words * _FIELD_BYTES)).cast("q")

    def add_worker(self) -> "Row":
        """Return a row for a worker that is about to start. Called in the master."""
        rows = [self._row(number) for number in range(_MAX_WORKERS)]
        free = [row for row in rows if row.stage == Stage.FREE]
        # gunicorn's own arbiter does not free the rows of workers that have ended.
        row = free[0] if free else min(rows, key=lambda row: row.last_sign_of_life_ms)
        row.clear()
        row.stage = Stage.BOOTING
        self._words[_STARTS] += 1
        self._words[_ROWS] = max(self._words[_ROWS], row.number + 1)
        return row

    def remove_worker(self, row: "Row") -> None:
        """Free the row of a worker whose process is gone, and count it if it died. Called in the master."""
        if row.stage != Stage.ENDED:
            self._words[_DEATHS] += 1
            self._words[_LOST_STREAMS] += row.streams
        # In this order: for a moment they count twice, rather than not at all.
        self._words[_DROPPED] += row.dropped_log_lines
        row.clear()

    def count_dropped_log_lines(self, lines: int) -> None:
        """Count log lines that the master has dropped. Called in the master."""
        self._words[_DROPPED] += lines

    @property
    def dropped_log_lines(self) -> int:
        """How many log lines were dropped because nothing took them, by all processes of this server."""
        rows = (self._row(number) for number in range(self._words[_ROWS]))
        return self._words[_DROPPED] + sum(row.dropped_log_lines for row in rows)

    @property
    def starts(self) -> int:
        """How many workers have been started."""
        return self._words[_STARTS]

    @property
    def deaths(self) -> int:
        """How many workers have ended otherwise than they were told to: killed, crashed, or unable to boot."""
        return self._words[_DEATHS]

    @property
    def lost_streams(self) -> int:
        """How many streams those had open when they last said so, which they do ten times a second."""
        return self._words[_LOST_STREAMS]

    def workers(self) -> list[WorkerState]:
        """Return the workers that serve, retire, leave or drain, and show signs of life."""
        return [
            WorkerState(row.number, row.stage, row.streams, row.limit)
            for row in self._living_rows()
            if Stage.SERVING <= row.stage <= Stage.DRAINING
        ]

    def serving_rows(self) -> list["Row"]:
        """Return the rows of the workers that serve and show signs of life."""
        return [row for row in self._living_rows() if row.stage == Stage.SERVING]

    def _living_rows(self) -> list["Row"]:
        oldest = _now_ms() - _SILENCE_MS
        rows = (self._row(number) for number in range(self._words[_ROWS]))
        return [row for row in rows if row.last_sign_of_life_ms >= oldest]

    def _row(self, number: int) -> "Row":
        start = _COUNTERS + number * _FIELDS
        return Row(number, self._words[start : start + _FIELDS])


class Row:
    """What one worker says of itself.

    load: what it has to do, in connections: the others take new ones before it while theirs is less
    """

    __slots__ = ("_words", "number")

    def __init__(self, number: int, words: "memoryview[int]") -> None:
        self.number = number
        self._words = words

    @property
    def stage(self) -> Stage:
        return Stage(self._words[_STAGE])

    @stage.setter
    def stage(self, stage: Stage) -> None:
        self._words[_STAGE] = stage

    @property
    def has_successor(self) -> bool:
        """Whether the master starts the next worker before it ends this one; gunicorn's own does so afterwards."""
        return bool(self._words[_HAS_SUCCESSOR])

    @has_successor.setter
    def has_successor(self, value: bool) -> None:
        self._words[_HAS_SUCCESSOR] = value

    @property
    def last_sign_of_life_ms(self) -> int:
        return self._words[_SIGN_OF_LIFE]

    @property
    def load(self) -> int:
        return self._words[_LOAD]

    @property
    def streams(self) -> int:
        return self._words[_STREAMS]

    @property
    def limit(self) -> int | None:
        return self._words[_LIMIT] or None

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.streams >= self.limit

    @property
    def dropped_log_lines(self) -> int:
        return self._words[_DROPPED_BY_WORKER]

    def count_dropped_log_lines(self, lines: int) -> None:
        self._words[_DROPPED_BY_WORKER] += lines

    def show(self, load: int, streams: int, limit: int | None) -> None:
        """Tell the others how much there is to do, and that the worker lives."""
        words = self._words
        words[_LOAD] = load
        words[_STREAMS] = streams
        words[_LIMIT] = limit or 0
        words[_SIGN_OF_LIFE] = _now_ms()

    def clear(self) -> None:
        for field in range(_FIELDS):
            self._words[field] = 0


@cache
def board() -> WorkerBoard:
    """Return the board of this server, which all its processes share if the master was the first to ask for it."""
    return WorkerBoard()


def _now_ms() -> int:
    # Linux's monotonic clock is the same in all processes.
    return time.monotonic_ns() // 1_000_000
