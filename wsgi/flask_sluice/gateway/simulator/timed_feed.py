"""A feed whose generator yields its pauses instead of sleeping, so that a timer of the event loop can run it.

It is kept beside ``GeneratorFeed`` for what it saves (measured without sockets; a generator that sleeps in a greenlet in
brackets): 8 KiB for a silent stream (17), 3 µs for a paced event (11), 15 µs for an answer of ten events (49).
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from gevent import get_hub

from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import CutError, PlainAnswer, as_api_error
from flask_sluice.stream.feeds.encode_items import close, encode, failure, log_unforeseen
from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.feeds.terminal_event import is_terminal as is_terminal_item
from flask_sluice.stream.loop.give_way import LONGEST_TURN_SECONDS
from flask_sluice.stream.loop.signal import Signal


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Yielded between events: the feed takes the next item when ``seconds`` are over; None: never.

    A pause begins when the last one was due to end, so that delays do not add up. After a slow client has held up the
    stream it begins then, so that the events it has missed do not come in a burst.
    """

    seconds: float | None


class TimedFeed:
    """Takes a generator's items up to its next pause, and starts a timer that takes the items after it.

    At most ``size`` events are taken in one turn of the event loop, so that other streams have theirs, and none after
    they have taken 5 ms. At most ``size``
    events wait for the client or are being written; meanwhile the generator is not run and no pause begins.

    items: the caller of ``start`` runs the generator up to its first pause, where it may block. From then on the event
        loop runs it, so it must neither block nor switch to another greenlet. It is closed at its ``yield`` when the
        stream is stopped
    size: how many events may wait between the generator and the socket
    is_terminal: tells the item that completes the answer
    is_event_stream: whether comments and an error event may stand between the items
    """

    __slots__ = (
        "_being_written",
        "_context",
        "_due",
        "_events",
        "_forward",
        "_interval_seconds",
        "_is_held",
        "_is_terminal",
        "_items",
        "_last_item",
        "_may_continue_at_once",
        "_signal",
        "_size",
        "_timer",
        "error",
        "event_count",
        "is_event_stream",
        "is_finished",
        "wake",
    )

    def __init__(
        self,
        items: Iterator[Event | bytes | Pause],
        context: StreamContext,
        size: int,
        *,
        is_terminal: Callable[[Any], bool] = is_terminal_item,
        is_event_stream: bool = True,
    ) -> None:
        self._is_terminal = is_terminal
        self.is_event_stream = is_event_stream
        self._items = items
        self._context = context
        self._size = size
        self._events: list[bytes] = []
        self._being_written = 0
        self._is_held = False
        """The generator waits for room, not for a pause to end."""
        self._may_continue_at_once = True
        self._timer: Any = None
        self._interval_seconds: float | None = None
        """The interval at which the timer repeats; None: it does not repeat."""
        self._due = 0.0
        """When the next pause begins, in monotonic seconds."""
        self._signal = Signal()
        self._forward: Forward | None = None
        self.event_count = 0
        self._last_item: Event | bytes | None = None
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
        return item is not None and self._is_terminal(item)

    def start(self) -> None:
        self._due = time.monotonic()
        self._continue()

    def take(self) -> bytes:
        if self._is_held and not self._events:
            # The events taken before are written. Once between two waits the next ones are made here, which saves a
            # short answer a turn of the loop; making more would keep other streams waiting.
            self._being_written = 0
            if self._may_continue_at_once:
                self._may_continue_at_once = False
                self._continue()
            else:
                self._continue_in_next_turn()
        return self._take_all()

    def wait(self, forward: Forward | None = None) -> None:
        self._may_continue_at_once = True
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

    def _continue(self) -> None:
        """Run the generator up to its next pause, to its end, or until there is no room."""
        events = self._events
        room = self._size - self._being_written
        self._is_held = False
        ends_at = time.monotonic() + LONGEST_TURN_SECONDS
        try:
            for item in self._items:
                if isinstance(item, Pause):
                    self._pause(item.seconds)
                    return
                event = encode(item)
                if event:
                    self._last_item = item
                    self.event_count += 1
                    events.append(event)
                    is_slow = time.monotonic() > ends_at
                    if is_slow or len(events) >= room:
                        self._hold()
                        self._may_continue_at_once &= not is_slow
                        return
        except BaseException as raised:  # noqa: BLE001 - the stream fails with it
            error = failure(raised)
            log_unforeseen(error, self._context)
            is_foreseen = isinstance(error, PlainAnswer | CutError)
            self.error = error if is_foreseen else as_api_error(error)
        self.is_finished = True
        self._stop_timer()

    def _pause(self, seconds: float | None) -> None:
        if seconds is None:
            self._stop_timer()
            return
        self._due += seconds
        # A timer that repeats serves all pauses of one length and adds up no delays. A new timer for each pause would
        # be a sixth of an event's cost.
        if seconds != self._interval_seconds:
            now = time.monotonic()
            # The events that a slow reader has missed must not come in a burst.
            self._due = max(self._due, now)
            self._start_timer(self._due - now, seconds)

    def _hold(self) -> None:
        self._is_held = True
        self._stop_timer()
        # There may have been no pause for a long time, which must not shorten the next one.
        self._due = time.monotonic()

    def _continue_in_next_turn(self) -> None:
        self._is_held = False
        self._start_timer(0, 0)

    def _start_timer(self, seconds: float, interval_seconds: float) -> None:
        self._stop_timer()
        self._interval_seconds = interval_seconds or None
        self._timer = get_hub().loop.timer(seconds, interval_seconds)
        # update: the loop's own clock stands still during a turn, so without it the pause would be shorter by the time
        # that the turn has taken so far.
        self._timer.start(self._on_timer, update=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
            self._interval_seconds = None

    # The hub, which must not block.

    def _on_timer(self) -> None:
        # There is room: a timer runs only while there is.
        self._continue()
        if self._events:
            forward = self._forward
            if forward is None or not forward(self._take_all()):
                self._signal.give_from_hub()
                return
            self._being_written = 0
            if self._is_held:
                self._continue_in_next_turn()
        if self.is_finished:
            self._signal.give_from_hub()
