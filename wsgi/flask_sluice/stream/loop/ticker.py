"""One clock for all the streams of a worker."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event as Flag

logger = logging.getLogger("sluice.stream")

TICK_SECONDS = 0.05
"""A timer is up to two ticks late. Twenty wake-ups a second take 0.3 % of a core, for one stream or for all."""


class Timed(Protocol):
    def on_tick(self, now: float) -> float:
        """Looks at its timers; returns when (``now`` is monotonic) it wants to be looked at again.

        Runs in the ticker's greenlet and must not block.
        """


class Ticker:
    """Looks at each stream when one of its timers may be due: keep-alive, deadline, a write that hangs.

    A stream that writes sets no timer; it only notes when it did, and is looked at again later. So ten
    thousand streams cost one look each per keep-alive interval. Sleeps without streams.

    on_lag: told at each tick by how many seconds it is late, for which something else has held the loop
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
        if not self._slot_of:
            self._last_slot = self._slot(self._now())
            self._has_streams.set()
        self._schedule(stream, due)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def remove(self, stream: Timed) -> None:
        slot = self._slot_of.pop(stream, None)
        if slot is not None:
            streams = self._slots[slot]
            streams.discard(stream)
            if not streams:
                del self._slots[slot]
        if not self._slot_of:
            self._has_streams.clear()

    def tick(self) -> None:
        """Looks at all streams that are due."""
        now = self._now()
        slot = self._slot(now)
        for due_slot in range(self._last_slot + 1, slot + 1):
            for stream in self._slots.pop(due_slot, ()):
                try:
                    next_look = stream.on_tick(now)
                except Exception:
                    # The clock of all the others must not stop for a defect in one.
                    logger.exception("a stream's timers failed; it goes on without them")
                    del self._slot_of[stream]
                else:
                    self._schedule(stream, next_look)
        self._last_slot = slot

    def _schedule(self, stream: Timed, due: float) -> None:
        # Not into a slot that has been looked at: it would never be looked at again.
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
            # The loop's own clock stands still during a turn: it may be a little early, too.
            self._on_lag(max(0.0, self._now() - due))
            self.tick()
