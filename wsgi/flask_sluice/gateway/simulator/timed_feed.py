"""The feed of a stream whose generator says where it waits instead of waiting: no greenlet of its own."""

import time
from collections.abc import Iterator
from typing import Any

from gevent import get_hub

from flask_sluice.gateway.simulator.pause import Pause
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import StreamItem, close, encode, failure
from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.feeds.terminal_event import is_terminal
from flask_sluice.stream.loop.signal import Signal


class TimedFeed:
    """Takes a generator's items up to its next pause, and lets a timer of the loop take the ones after that.

    So a pause costs a timer where a greenlet costs two switches, and an idle stream little more than half the memory. Not more
    than ``size`` events are taken at once; then it is the turn of other streams. And not more than ``size`` wait
    for the client or are being written: meanwhile the generator is not asked, and makes no pause.

    items: up to its first pause the generator is run by whoever calls ``start``, and may block. From then on it
        may be run by the hub, and must neither block nor switch. It is closed at its ``yield`` when the stream
        is stopped
    size: how many events may wait between the generator and the socket
    """

    __slots__ = (
        "_being_written",
        "_context",
        "_due",
        "_events",
        "_forward",
        "_interval_seconds",
        "_is_held",
        "_items",
        "_last_item",
        "_may_go_on_at_once",
        "_signal",
        "_size",
        "_timer",
        "error",
        "event_count",
        "is_finished",
        "wake",
    )

    is_event_stream = True

    def __init__(
        self, items: Iterator[StreamItem | Pause], context: StreamContext, size: int
    ) -> None:
        self._items = items
        self._context = context
        self._size = size
        self._events: list[bytes] = []
        self._being_written = 0
        self._is_held = False
        """The generator would go on, were there room."""
        self._may_go_on_at_once = True
        self._timer: Any = None
        self._interval_seconds: float | None = None
        """With which the timer repeats; None: it does not."""
        self._due = 0.0
        """From when the next pause counts, in monotonic seconds."""
        self._signal = Signal()
        self._forward: Forward | None = None
        self.event_count = 0
        self._last_item: StreamItem | None = None
        self.is_finished = False
        self.error: Exception | None = None
        self.wake = self._signal.give

    @property
    def has_begun(self) -> bool:
        return bool(self._events) or self.is_finished

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    @property
    def has_terminal_event(self) -> bool:
        item = self._last_item
        return item is not None and is_terminal(item)

    def start(self) -> None:
        self._due = time.monotonic()
        self._go_on()

    def take(self) -> bytes:
        if self._is_held and not self._events:
            # What was taken before is written. Once between two waits the next events are made here: a short
            # answer is spared a turn of the loop.
            self._being_written = 0
            if self._may_go_on_at_once:
                self._may_go_on_at_once = False
                self._go_on()
            else:
                self._go_on_next_turn()
        return self._take_all()

    def wait(self, forward: Forward | None = None) -> None:
        self._may_go_on_at_once = True
        self._forward = forward
        try:
            self._signal.wait()
        finally:
            self._forward = None

    def stop(self) -> None:
        self._stop_timer()
        close(self._items, self._context)

    def _take_all(self) -> bytes:
        events = self._events
        self._being_written = len(events)
        taken = events[0] if len(events) == 1 else b"".join(events)
        events.clear()
        return taken

    def _go_on(self) -> None:
        """Runs the generator up to its next pause, or to its end, or until there is no room."""
        events = self._events
        room = self._size - self._being_written
        self._is_held = False
        try:
            for item in self._items:
                if isinstance(item, bytes):
                    event = item
                elif isinstance(item, Pause):
                    self._pause(item.seconds)
                    return
                else:
                    event = encode(item)
                if event:
                    self._last_item = item
                    self.event_count += 1
                    events.append(event)
                    if len(events) >= room:
                        self._hold()
                        return
        except BaseException as raised:  # noqa: BLE001 - what is not foreseen is logged by ``failure``
            self.error = failure(raised, self._context)
        self.is_finished = True
        self._stop_timer()

    def _pause(self, seconds: float | None) -> None:
        if seconds is None:
            self._stop_timer()
            return
        self._due += seconds
        # Another one of the same length: the timer repeats, by itself and without delays that add up. To make a
        # new one for each pause would be a sixth of what an event costs.
        if seconds != self._interval_seconds:
            now = time.monotonic()
            # What a slow reader has missed is not made up for in a burst.
            self._due = max(self._due, now)
            self._start_timer(self._due - now, seconds)

    def _hold(self) -> None:
        self._is_held = True
        self._stop_timer()
        # Perhaps there was no pause for a long time: the next is none the shorter for that.
        self._due = time.monotonic()

    def _go_on_next_turn(self) -> None:
        self._is_held = False
        self._start_timer(0, 0)

    def _start_timer(self, seconds: float, interval_seconds: float) -> None:
        self._stop_timer()
        self._interval_seconds = interval_seconds or None
        self._timer = get_hub().loop.timer(seconds, interval_seconds)
        # update: the loop's own clock stands still during a turn, and what the turn has taken so far would be
        # missing from the pause. 70 ns.
        self._timer.start(self._on_due, update=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
            self._interval_seconds = None

    def _on_due(self) -> None:
        """In the hub. There is room: the generator is asked for a pause, or for its turn, only if there is."""
        self._go_on()
        if self._events:
            forward = self._forward
            if forward is None or not forward(self._take_all()):
                self._signal.give_from_hub()
                return
            self._being_written = 0
            if self._is_held:
                self._go_on_next_turn()
        if self.is_finished:
            self._signal.give_from_hub()
