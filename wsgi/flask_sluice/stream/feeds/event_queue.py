"""The bounded queue between a generator's greenlet and the request greenlet."""

from gevent import get_hub

from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.loop.signal import Signal


class EventQueue:
    """Encoded events on their way from the generator's greenlet to the request greenlet.

    At most ``size`` events wait between the generator and the socket; events that are being written count until the
    write is done. The generator's greenlet waits for room before it asks the generator for the next event, so a
    reader that stops reading stops the generator.

    forwards_at_once: whether each event is handed on by the generator's greenlet itself, where that costs little. Otherwise the
        loop does so in its next turn, with those that the generator has yielded by then
    """

    __slots__ = (
        "_arrival",
        "_being_written",
        "_events",
        "_forward",
        "_forwards_at_once",
        "_is_forwarding",
        "_room",
        "_size",
        "error",
        "event_count",
        "is_closed",
        "is_finished",
    )

    def __init__(self, size: int, *, forwards_at_once: bool = False) -> None:
        self._size = size
        self._forwards_at_once = forwards_at_once
        self._events: list[bytes] = []
        self._being_written = 0
        self._arrival = Signal()
        self._room = Signal()
        self._forward: Forward | None = None
        self._is_forwarding = False
        self.event_count = 0
        self.is_finished = False
        """Whether the generator is done; ``error`` says why, if it failed."""
        self.error: Exception | None = None
        self.is_closed = False
        """Whether the reader is gone."""

    # The generator's side.

    def wait_for_room(self) -> bool:
        """Wait until an event may be put. Returns False once the reader is gone."""
        while not self.is_closed and len(self._events) + self._being_written >= self._size:
            self._room.wait()
        return not self.is_closed

    def put(self, event: bytes) -> bool:
        """Add an event. Returns whether another may be put at once. Does not block."""
        events = self._events
        self.event_count += 1
        if self._forwards_at_once and self._forward is not None and not events:
            if not self._forward(event):
                # The request greenlet takes what follows, once it wakes.
                self._forward = None
                self._being_written = 1
                self._arrival.give()
            return not self.is_closed and self._being_written < self._size
        events.append(event)
        if self._forward is None:
            self._arrival.give()
        elif self.event_count == 1:
            # The generator may compute for a while after its first event.
            self._on_put()
        elif not self._is_forwarding:
            # In the next turn: the generator goes on, and yields more meanwhile.
            self._is_forwarding = True
            get_hub().loop.run_callback(self._on_put)
        return not self.is_closed and len(events) + self._being_written < self._size

    def finish(self, error: Exception | None = None) -> None:
        """Nothing will be put any more."""
        self.is_finished = True
        self.error = error
        self._arrival.give()

    # The request's side.

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def take(self) -> bytes:
        """Return all events that wait, b"" if none does. Those taken before count as written now."""
        if not self._events:
            self._free(0)
            return b""
        events = b"".join(self._events) if len(self._events) > 1 else self._events[0]
        count = len(self._events)
        self._events.clear()
        self._free(count)
        return events

    def _free(self, now_being_written: int) -> None:
        had_written = self._being_written
        self._being_written = now_being_written
        if had_written:
            self._room.give()

    def wait(self, forward: Forward | None = None) -> None:
        """Wait for an event, for the end, or for ``wake``; see ``Feed.wait``."""
        self._forward = forward
        try:
            self._arrival.wait()
        finally:
            self._forward = None

    def _on_put(self) -> None:
        self._is_forwarding = False
        if self._forward is not None and self._events and self._forward(self.take()):
            self._free(0)
        else:
            self._arrival.give()

    def wake(self) -> None:
        """End the reader's wait."""
        self._arrival.give()

    def close(self) -> None:
        """The reader leaves: ``wait_for_room`` returns False from now on."""
        self.is_closed = True
        self._room.give()
