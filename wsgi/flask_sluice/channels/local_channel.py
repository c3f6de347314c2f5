"""One channel as this process sees it: its latest events, and the readers that are here."""

from bisect import bisect_right
from collections.abc import Mapping

from flask_sluice.channels.follower import ChannelFollower
from flask_sluice.channels.ids import (
    Position,
    id_of,
    position_from,
    position_of,
    position_text,
    tag_of,
    with_id,
)
from flask_sluice.journal.window import Window


class LocalChannel:
    """The window of a channel, whose events have consecutive numbers in this process alone.

    An event is encoded once, with its id, for all readers.

    base_text: the position before the first event of the window; in Redis's, not after events were dropped from it
    last_text: the position of the newest entry that has come, as it is written in ids. An entry that is not an event, such as a kick, counts
    """

    __slots__ = ("_base_number", "_last", "_last_text", "base_text", "name", "tag", "window")

    def __init__(self, name: str, last: Position = (0, 0)) -> None:
        self.name = name
        self.tag = tag_of(name)
        self.window = Window()
        self.begin_at(position_text(last))

    def begin_at(self, position: bytes) -> None:
        """Forget the events that are here. The next one comes after this position."""
        self.window.skip_to(self.window.last_id + 1)
        self.last_text = position
        # The position before the event of this number, which was the first of the window.
        self._base_number = self.window.first_id
        self.base_text = position

    @property
    def last_text(self) -> bytes:
        return self._last_text

    @last_text.setter
    def last_text(self, text: bytes) -> None:
        self._last_text = text
        self._last: Position | None = None

    @property
    def last(self) -> Position:
        # Two texts are compared for each event, and the number is needed for a reader that comes.
        if self._last is None:
            self._last = position_from(self._last_text)
        return self._last

    def id_at(self, position: Position) -> bytes:
        return b"%b:%b" % (self.tag, position_text(position))

    @property
    def oldest_event(self) -> bytes | None:
        """The first event of the window; None if it is empty."""
        window = self.window
        return window.event(window.first_id) if window.first_id <= window.last_id else None

    def append(self, position: bytes, event: bytes) -> None:
        """Add an event. The caller wakes the readers when it has added all."""
        self.window.append(with_id(self.tag, position, event))
        self.last_text = position

    def drop_before(self, number: int) -> None:
        """Drop the events before this one."""
        last_dropped = self.window.event(number - 1)
        self.window.drop_before(number)
        self._base_number = number
        self.base_text = id_of(last_dropped).partition(b":")[2]

    def number_after(self, position: Position) -> int | None:
        """Return the number of the event that follows a position; None if it may have been dropped from the window."""
        window = self.window
        if position >= self.last:
            return window.last_id + 1
        numbers = range(window.first_id, window.last_id + 1)
        if window.first_id == self._base_number:
            start = position_from(self.base_text)
        else:
            start = position_of(window.event(window.first_id))
        if position < start:
            return None
        return window.first_id + bisect_right(
            numbers, position, key=lambda number: position_of(window.event(number))
        )

    def kick(self, where: Mapping[str, str]) -> None:
        """End the readers that are here and have these values; all of them if ``where`` is empty."""
        for reader in self.window.readers:
            if isinstance(reader, ChannelFollower) and reader.identity.has(where):
                reader.kick()
