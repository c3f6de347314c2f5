"""Consecutive events of one stream, and those who wait for the next."""

from typing import Protocol

_COMPACT_AT = 256


def numbered(number: int, event: bytes) -> bytes:
    return b"id: %d\n%b" % (number, event)


class Waiting(Protocol):
    """One who waits for the next event."""

    def on_events(self) -> None:
        """There are more, or the last one is there. Must not raise."""


class Window:
    """The events from ``first_id`` to ``last_id``, as they are stored and sent.

    Their numbers have no gaps, so that finding one is arithmetic, however many there are. All readers share
    them.

    events: the last of them is the last of these; before the first there may be some that are dropped, now empty
    first_id: of the oldest event, or of the one that will come
    """

    __slots__ = (
        "_dropped",
        "_waiting",
        "byte_count",
        "events",
        "first_id",
        "is_finished",
        "last_id",
    )

    def __init__(self, first_id: int = 1) -> None:
        self.events: list[bytes] = []
        self._dropped = 0
        # How many of the list are gone already: dropping each one from its front would move all others.
        self._waiting: tuple[Waiting, ...] = ()
        self.first_id = first_id
        self.last_id = first_id - 1
        self.byte_count = 0
        self.is_finished = False
        """The last event is the terminal one."""

    def append(self, event: bytes) -> None:
        self.events.append(event)
        self.last_id += 1
        self.byte_count += len(event)

    def add(self, event: bytes) -> None:
        """Appends an event that comes without its id, and wakes all who wait.

        0.1 us of an event's 25 less than by calls of ``numbered``, ``append`` and ``wake``.
        """
        self.last_id = number = self.last_id + 1
        event = b"id: %d\n%b" % (number, event)
        self.events.append(event)
        self.byte_count += len(event)
        for reader in self._waiting:
            reader.on_events()

    def finish(self, event: bytes) -> None:
        """Adds the terminal event, which comes without its id."""
        self.append(numbered(self.last_id + 1, event))
        self.is_finished = True

    def trim(self, max_bytes: int) -> None:
        """Drops the oldest events that are too many, but never the last."""
        events, dropped = self.events, self._dropped
        last = len(events) - 1
        while self.byte_count > max_bytes and dropped < last:
            self.byte_count -= len(events[dropped])
            events[dropped] = b""
            dropped += 1
        self.first_id += dropped - self._dropped
        if dropped > _COMPACT_AT and dropped > len(events) // 2:
            del events[:dropped]
            dropped = 0
        self._dropped = dropped

    def skip_to(self, first_id: int) -> None:
        """Drops everything: the event that comes next has this number."""
        self.events.clear()
        self._dropped = self.byte_count = 0
        self.first_id = first_id
        self.last_id = first_id - 1

    def read(self, first_id: int, max_bytes: int) -> tuple[bytes, int]:
        """The events from this one on, which must be there, and how many they are.

        There is always one; the last is the one that exceeds ``max_bytes``.
        """
        events = self.events
        start = end = self._dropped + first_id - self.first_id
        # A reader that keeps up: nothing is copied.
        if start == len(events) - 1:
            return events[start], 1
        byte_count = 0
        while end < len(events) and byte_count < max_bytes:
            byte_count += len(events[end])
            end += 1
        return b"".join(events[start:end]), end - start

    def event(self, number: int) -> bytes:
        """One event, which must be there."""
        return self.events[self._dropped + number - self.first_id]

    # Those who wait.

    @property
    def is_followed(self) -> bool:
        return bool(self._waiting)

    def join(self, reader: Waiting) -> None:
        self._waiting = (*self._waiting, reader)

    def leave(self, reader: Waiting) -> bool:
        """Returns False if it has left before."""
        has_left = reader in self._waiting
        self._waiting = tuple(each for each in self._waiting if each is not reader)
        return has_left

    def wake(self) -> None:
        # A tuple, of which there is another by the time that somebody who is woken has left.
        for reader in self._waiting:
            reader.on_events()
