"""The one place where the two greenlets of a stream meet."""

from gevent import get_hub

from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.loop.signal import Signal


class EventQueue:
    """Encoded events on their way from the producer greenlet to the request greenlet.

    At most ``size`` events wait between the generator and the socket; those that are being written
    count until the write is done. The producer asks for room before it asks the generator for the next
    event, so that a reader who stops reading stops the generator, too.
    """

    __slots__ = (
        "_arrival",
        "_being_written",
        "_events",
        "_forward",
        "_is_forwarding",
        "_room",
        "_size",
        "error",
        "event_count",
        "is_closed",
        "is_finished",
    )

    def __init__(self, size: int) -> None:
        self._size = size
        self._events: list[bytes] = []
        self._being_written = 0
        self._arrival = Signal()
        self._room = Signal()
        self._forward: Forward | None = None
        self._is_forwarding = False
        self.event_count = 0
        self.is_finished = False
        """The producer is done; ``error`` says why, if it failed."""
        self.error: Exception | None = None
        self.is_closed = False
        """The reader is gone."""

    # The producer's side.

    def wait_for_room(self) -> bool:
        """Waits until an event may be put. Returns False once the reader is gone."""
        while not self.is_closed and len(self._events) + self._being_written >= self._size:
            self._room.wait()
        return not self.is_closed

    def put(self, event: bytes) -> None:
        self._events.append(event)
        self.event_count += 1
        if self._forward is None:
            self._arrival.give()
        elif not self._is_forwarding:
            # Through the loop, like a signal: who puts goes on, and puts more meanwhile.
            self._is_forwarding = True
            get_hub().loop.run_callback(self._pass_on)

    def finish(self, error: Exception | None = None) -> None:
        self.is_finished = True
        self.error = error
        self._arrival.give()

    # The request's side.

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def take(self) -> bytes:
        """All events that have piled up, b"" if none has. Says that those taken before are written."""
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
        """Waits for an event, for the end, or for a ``wake()``; see ``Feed.wait``."""
        self._forward = forward
        try:
            self._arrival.wait()
        finally:
            self._forward = None

    def _pass_on(self) -> None:
        self._is_forwarding = False
        if self._forward is not None and self._events and self._forward(self.take()):
            self._free(0)
        else:
            self._arrival.give()

    def wake(self) -> None:
        self._arrival.give()

    def close(self) -> None:
        """The reader leaves: ``wait_for_room`` returns False from now on."""
        self.is_closed = True
        self._room.give()
