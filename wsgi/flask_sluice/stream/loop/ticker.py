"""One clock for all the streams of a worker."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event as Flag

logger = logging.getLogger("sluice.stream")

TICK_SECONDS = 0.05
"""A timer is up to two ticks late. Twenty wake-ups a second take 0.3 % of a core, however many streams there are."""


class Timed(Protocol):
    """Something with timers: a stream."""

    def on_tick(self, now: float) -> float:
        """Check the timers; return when to check them again. Times are monotonic seconds. Must not block."""


class Ticker:
    """Calls each stream when one of its timers may be due: keep-alive, deadline, a write that hangs.

    A stream that writes sets no timer: it notes when it wrote, and is checked later. So ten thousand streams cost one
    check each per keep-alive interval. Without streams the ticker sleeps.

    on_lag: called at each tick with the seconds that it is late, for which something else held the loop
    """

    def __init__(
        self, on_lag: Callable[[float], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_lag = on_lag
        self._now = now
        self._slots: dict[int, set[Timed]] = {}
        self._slot_of: dict[Timed, int] = {}
        self._last_slot = 0
        self._has_streams = Flag()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, stream: Timed, due: float) -> None:
        """Call the stream's ``on_tick`` at ``due``, and then when it says."""
        if not self._slot_of:
            self._last_slot = self._slot(self._now())
            self._has_streams.set()
        self._schedule(stream, due)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def remove(self, stream: Timed) -> None:
        """Stop calling the stream."""
        slot = self._slot_of.pop(stream, None)
        if slot is not None:
            streams = self._slots[slot]
            streams.discard(stream)
            if not streams:
                del self._slots[slot]
        if not self._slot_of:
            self._has_streams.clear()

    def tick(self) -> None:
        """Call all streams that are due."""
        now = self._now()
        slot = self._slot(now)
        for due_slot in range(self._last_slot + 1, slot + 1):
            for stream in self._slots.pop(due_slot, ()):
                try:
                    next_check = stream.on_tick(now)
                except Exception:
                    # A defect in one stream must not stop the clock of the others.
                    logger.exception("a stream's timers failed; it goes on without them")
                    del self._slot_of[stream]
                else:
                    self._schedule(stream, next_check)
        self._last_slot = slot

    def _schedule(self, stream: Timed, due: float) -> None:
        # Not into a slot that is past: the stream would not be called again.
        slot = max(self._slot(due) + 1, self._last_slot + 1)
        self._slot_of[stream] = slot
        self._slots.setdefault(slot, set()).add(stream)

    @staticmethod
    def _slot(time_: float) -> int:
        return int(time_ / TICK_SECONDS)

    def _run(self) -> None:
        while True:
            self._has_streams.wait()
            due = self._now() + TICK_SECONDS
            gevent.sleep(TICK_SECONDS)
            # The loop's clock stands still during a turn, so the sleep may also end a little early.
            self._on_lag(max(0.0, self._now() - due))
            self.tick()
