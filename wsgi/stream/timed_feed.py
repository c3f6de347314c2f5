"""The feed of a stream whose generator says where it waits instead of waiting: no greenlet of its own."""

from collections.abc import Iterator
from typing import Any

from gevent import get_hub

from wsgi.sse import Pause
from wsgi.stream.channel import Signal
from wsgi.stream.context import StreamContext
from wsgi.stream.feed import Forward
from wsgi.stream.items import StreamItem, close, encode, failure, is_terminal


class TimedFeed:
    """Takes a generator's items up to its next pause, and lets a timer of the loop take the ones after that.

    So a pause costs a timer where a greenlet would cost two switches, and 16 KiB for its frames. Not more than
    ``size`` events are taken at once; then it is the turn of other streams. And not more than ``size`` wait for
    the client or are being written: meanwhile the generator is not asked, and makes no pause.

    items: up to its first pause the generator is run by whoever calls ``start``, and may block. From then on it
        may be run by the hub, and must neither block nor switch. It is closed at its ``yield`` when the stream
        is stopped
    size: how many events may wait between the generator and the socket
    """

    __slots__ = (
        "_being_written",
        "_context",
        "_events",
        "_forward",
        "_is_held",
        "_items",
        "_last_item",
        "_may_go_on_at_once",
        "_new_timer",
        "_signal",
        "_size",
        "_timer",
        "error",
        "event_count",
        "is_finished",
        "wake",
    )

    is_event_stream = True

    def __init__(self, items: Iterator[StreamItem | Pause], context: StreamContext, size: int):
        self._items = items
        self._context = context
        self._size = size
        self._events: list[bytes] = []
        self._being_written = 0
        self._is_held = False
        """The generator would go on, were there room."""
        self._may_go_on_at_once = True
        self._new_timer: Any = None
        self._timer: Any = None
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
        return item is not None and is_terminal(item, encode(item))

    def start(self) -> None:
        self._new_timer = get_hub().loop.timer
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
                self._go_on_in(0)
        return self._take_all()

    def wait(self, forward: Forward | None = None) -> None:
        self._may_go_on_at_once = True
        self._forward = forward
        try:
            self._signal.wait()
        finally:
            self._forward = None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.close()
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
        self._is_held = False
        room = self._size - self._being_written
        try:
            for item in self._items:
                if isinstance(item, bytes):
                    event = item
                elif isinstance(item, Pause):
                    if item.seconds is not None:
                        self._go_on_in(item.seconds)
                    return
                else:
                    event = encode(item)
                if event:
                    self._last_item = item
                    self.event_count += 1
                    events.append(event)
                    if len(events) >= room:
                        self._is_held = True
                        return
        except BaseException as raised:  # noqa: BLE001 - what is not foreseen is logged by ``failure``
            self.error = failure(raised, self._context)
        self.is_finished = True

    def _go_on_in(self, seconds: float) -> None:
        self._is_held = False
        self._timer = self._new_timer(seconds)
        self._timer.start(self._on_due)

    def _on_due(self) -> None:
        """In the hub. There is room: the generator is asked for a pause, or for its turn, only if there is."""
        self._go_on()
        if not (self._events or self.is_finished):
            return
        if self._forward is None or not self._pass_on(self._forward):
            self._signal.give_from_hub()

    def _pass_on(self, forward: Forward) -> bool:
        """Whether all that has come is written, so that the request greenlet may go on waiting."""
        if self._events and not forward(self._take_all()):
            return False
        self._being_written = 0
        if self._is_held:
            self._go_on_in(0)
        return not self.is_finished
