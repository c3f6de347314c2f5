"""Consecutive events of one stream, and the readers that wait for the next."""

from typing import Protocol

_COMPACT_AT = 256


def numbered(number: int, event: bytes) -> bytes:
    """Return the event with its id, as it is stored and sent."""
    return b"id: %d\n%b" % (number, event)


class WaitingReader(Protocol):
    def on_events(self) -> None:
        """There are more events, or the terminal one is there. Must not raise or block."""


class Window:
    """The events from ``first_id`` to ``last_id``, as they are stored and sent, for all readers of a worker.

    Their numbers have no gaps, so that finding an event is arithmetic, however many there are.

    events: the last of the list is the last event; events that were dropped from the front may still be there, empty
    first_id: the number of the oldest event; where there is none, of the one that will come
    is_finished: whether the last event is the terminal one
    """

    __slots__ = (
        "_dropped",
        "_readers",
        "_readers_now",
        "byte_count",
        "events",
        "first_id",
        "is_finished",
        "last_id",
    )

    def __init__(self, first_id: int = 1) -> None:
        self.events: list[bytes] = []
        # How many events at the front of the list are dropped. Removing each one would move all the others.
        self._dropped = 0
        # The tuple is made of the dict when it is needed: thousands of readers may come or leave one after the other.
        self._readers: dict[WaitingReader, None] = {}
        self._readers_now: tuple[WaitingReader, ...] | None = ()
        self.first_id = first_id
        self.last_id = first_id - 1
        self.byte_count = 0
        self.is_finished = False

    def append(self, event: bytes) -> None:
        """Add an event that has its id. The caller wakes the readers when it has added all."""
        event_bytes = len(event)
        # Without a call in between, after which a signal's exception may come and leave the one without the other.
        self.events += (event,)
        self.last_id += 1
        self.byte_count += event_bytes

    def finish(self, event: bytes) -> None:
        """Add the terminal event, which comes without its id."""
        self.append(numbered(self.last_id + 1, event))
        self.is_finished = True

    def trim(self, max_bytes: int) -> None:
        """Drop the oldest events while there are more than ``max_bytes``, but never the last one."""
        events, dropped = self.events, self._dropped
        last = len(events) - 1
        while self.byte_count > max_bytes and dropped < last:
            self.byte_count -= len(events[dropped])
            events[dropped] = b""
            dropped += 1
        self.first_id += dropped - self._dropped
        self._compact(dropped)

    def drop_before(self, first_id: int) -> None:
        """Drop the events before this one, the last one too if it is among them."""
        events, dropped = self.events, self._dropped
        end = dropped + first_id - self.first_id
        self.byte_count -= sum(map(len, events[dropped:end]))
        events[dropped:end] = [b""] * (end - dropped)
        self.first_id = first_id
        self._compact(end)

    def _compact(self, dropped: int) -> None:
        """Forget the places of dropped events, where they are more than those of the others."""
        if dropped > _COMPACT_AT and dropped > len(self.events) // 2:
            del self.events[:dropped]
            dropped = 0
        self._dropped = dropped

    def skip_to(self, first_id: int) -> None:
        """Drop everything: the event that comes next has this number."""
        self.events.clear()
        self._dropped = self.byte_count = 0
        self.first_id = first_id
        self.last_id = first_id - 1

    def read(self, first_id: int, max_bytes: int) -> tuple[bytes, int]:
        """Return the events from this one on, joined, and how many they are. The first one must be there.

        There is always one; the last one is the one with which ``max_bytes`` are reached.
        """
        events = self.events
        start = end = self._dropped + first_id - self.first_id
        # For a reader that keeps up, nothing is copied.
        if start == len(events) - 1:
            return events[start], 1
        byte_count = 0
        while end < len(events) and byte_count < max_bytes:
            byte_count += len(events[end])
            end += 1
        return b"".join(events[start:end]), end - start

    def event(self, number: int) -> bytes:
        """Return one event, which must be there."""
        return self.events[self._dropped + number - self.first_id]

    # The readers that wait.

    @property
    def readers(self) -> tuple[WaitingReader, ...]:
        readers = self._readers_now
        if readers is None:
            readers = self._readers_now = tuple(self._readers)
        return readers

    @property
    def is_followed(self) -> bool:
        return bool(self._readers)

    def join(self, reader: WaitingReader) -> None:
        self._readers[reader] = None
        self._readers_now = None

    def leave(self, reader: WaitingReader) -> bool:
        """Return whether the reader was there: False if it has left before."""
        if reader not in self._readers:
            return False
        del self._readers[reader]
        self._readers_now = None
        return True

    def wake(self) -> None:
        # A reader that leaves when it is woken has another tuple made, and this loop goes on with the old one.
        for reader in self.readers:
            reader.on_events()
