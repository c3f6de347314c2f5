"""Reads one stream by many readers at the same time."""

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from flask_sluice.doctor.events import LiveEvents
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.dialing import CannotConnectError
from flask_sluice.doctor.http.exchange import Exchange
from flask_sluice.doctor.http.recording import Recording

_WAIT_SECONDS = 4.0
_WAIT_TIMES = 4
_MOST_WAIT_SECONDS = 20.0
_AFTER_SECONDS = 3.0
_READ_SECONDS = 0.1
_SHORT_SECONDS = 0.5
_AT_THE_END_SECONDS = 0.02
_TOO_MANY_REQUESTS = 429
NO_CONNECTION = 0


@dataclass
class Crowd:
    """What the readers got.

    first_seconds: of each that got an event in time, when
    intervals: of these, from the first event to the end of the stream, or of the doctor's waiting, on one clock
    ends: of these, when the stream ended by itself
    refused: the statuses of the answers that were no stream, and NO_CONNECTION
    was_told: whether each refused reader was told that it may come back: 429, or any status with Retry-After
    unblocked: how many got their first event only after the others had left
    waited_seconds: how long the doctor waited for all
    stream_seconds: how long one reader's stream is, from the first event on; None: longer than it was read
    """

    count: int
    waited_seconds: float
    stream_seconds: float | None
    first_seconds: list[float] = field(default_factory=list)
    intervals: list[tuple[float, float]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    was_told: bool = False
    unblocked: int = 0

    @property
    def most_at_once(self) -> int:
        """How many streams ran at the same time, at most."""
        changes = [(start, 1) for start, _ in self.intervals]
        # The end of one may be read a moment after the beginning of the next one, which had to wait for it.
        changes += ((end - _AT_THE_END_SECONDS, -1) for _, end in self.intervals)
        running = most = 0
        for _, change in sorted(changes):
            running += change
            most = max(most, running)
        return most

    @property
    def is_unclear(self) -> bool:
        """Whether the stream is too short to see which readers were served at the same time."""
        return self._is_short and self.most_at_once < self.count

    @property
    def waited_for_others(self) -> bool:
        """Whether readers got their first event only when others had come to the end of their stream."""
        if self._is_short or not self.ends:
            return False
        last_start = max(start for start, _ in self.intervals)
        return last_start >= min(self.ends) - _AT_THE_END_SECONDS

    @property
    def _is_short(self) -> bool:
        return self.stream_seconds is not None and self.stream_seconds < _SHORT_SECONDS


class _Reader:
    """One reader, which has a thread of its own."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.first_at: float | None = None
        self.ended_at: float | None = None
        self.refused: int | None = None
        self._began = 0.0
        self._live = LiveEvents()

    @property
    def first_seconds(self) -> float:
        return 0.0 if self.first_at is None else self.first_at - self._began

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be waited for."""
        has_ended = self.exchange is not None and self.exchange.recording.has_ended
        return self.first_at is not None or self.refused is not None or has_ended

    @property
    def was_told(self) -> bool:
        has_time = self.exchange is not None and self.exchange.recording.header("Retry-After")
        return self.refused == _TOO_MANY_REQUESTS or bool(has_time)

    def open(self, examination: Examination) -> None:
        try:
            self.exchange = examination.open(examination.main.request)
        except CannotConnectError:
            self.refused = NO_CONNECTION
        else:
            self._began = time.monotonic() - self.exchange.seconds

    @property
    def can_read(self) -> bool:
        is_open = self.exchange is not None and not self.exchange.recording.has_ended
        return is_open and self.refused is None

    def read(self) -> None:
        """Read for a moment."""
        assert self.exchange is not None
        recording = self.exchange.read_on(_READ_SECONDS, self._take)
        self._take(recording)
        if recording.has_ended:
            self.ended_at = self._began + (recording.ended_seconds or 0.0)

    def _take(self, recording: Recording) -> bool:
        if recording.status is not None and not recording.is_success:
            self.refused = recording.status
            return True
        events = self._live.take(recording)
        if events and self.first_at is None:
            self.first_at = self._began + events[0][0]
            return True
        return False

    def leave(self) -> None:
        if self.exchange is not None:
            self.exchange.leave()


def read_at_once(examination: Examination, count: int) -> Crowd:
    """Open the stream so many times at once, and read all until each has had its first event, or long enough."""
    events = examination.log.events
    usual = events[0].seconds if events else 0.0
    ended = examination.main.ended_seconds
    crowd = Crowd(
        count,
        waited_seconds=min(max(_WAIT_SECONDS, _WAIT_TIMES * usual), _MOST_WAIT_SECONDS),
        stream_seconds=None if ended is None else ended - usual,
    )
    readers = [_Reader() for _ in range(count)]
    with ExitStack() as leaving:
        for reader in readers:
            leaving.callback(reader.leave)
        _in_threads(readers, examination, crowd.waited_seconds)
        served = [reader for reader in readers if reader.first_at is not None]
        waiting = [reader for reader in readers if not reader.is_settled]
        now = time.monotonic()
        crowd.first_seconds = [reader.first_seconds for reader in served]
        crowd.intervals = [(reader.first_at or 0.0, reader.ended_at or now) for reader in served]
        crowd.ends = [reader.ended_at for reader in served if reader.ended_at is not None]
        refused = [reader for reader in readers if reader.refused is not None]
        crowd.refused = [reader.refused or NO_CONNECTION for reader in refused]
        crowd.was_told = all(reader.was_told for reader in refused)
        if waiting and served:
            for reader in served:
                reader.leave()
            _in_threads(waiting, None, _AFTER_SECONDS)
            crowd.unblocked = sum(reader.first_at is not None for reader in waiting)
    return crowd


def _in_threads(readers: list[_Reader], examination: Examination | None, seconds: float) -> None:
    """Have all readers read until each is settled, or so long. examination: for those that have to be opened first"""
    until = time.monotonic() + seconds

    def run(reader: _Reader) -> None:
        if examination is not None:
            reader.open(examination)
        while reader.can_read and time.monotonic() < until:
            if all(other.is_settled for other in readers):
                return
            reader.read()

    threads = [threading.Thread(target=run, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
