"""A channel in Redis, as this process sees it."""

import json
import time
from typing import NamedTuple

from flask_sluice.channels.follower import reset_event
from flask_sluice.channels.ids import position_from, without_id
from flask_sluice.channels.local_channel import LocalChannel
from flask_sluice.channels.redis.scripts import EVENT
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.turns import Flag

WINDOW_BYTES = 128 * 1024
"""How much of a channel a process keeps for its readers. A reader that is slower gets the events from Redis."""

_MAX_EARLY_BYTES = 1024 * 1024
_EVENT_CODE = EVENT[0]


class Entry(NamedTuple):
    """An entry of a channel's Redis Stream.

    position: as it is written
    payload: of an event, its bytes; of a kick, which readers are meant, as JSON
    """

    position: bytes
    kind: bytes
    payload: bytes


class Page(NamedTuple):
    """What was read of a channel.

    last: the position of the channel's last entry
    entries: consecutive ones
    lost_until: None: the entries follow the one that was asked for. Otherwise events between are gone, and these follow this position
    misses_kick: whether there may have been a kick among entries that are gone
    """

    last: bytes
    entries: list[Entry]
    lost_until: bytes | None
    misses_kick: bool

    @classmethod
    def of(cls, reply: Reply) -> "Page":
        """reply: that of the script READ"""
        last, entries, lost_until, misses_kick = reply
        return cls(
            last,
            [Entry(position, *fields) for position, fields in entries],
            lost_until or None,
            bool(misses_kick),
        )

    @property
    def oldest(self) -> bytes | None:
        """The position of the first event among the entries."""
        return next((entry.position for entry in self.entries if entry.kind == EVENT), None)

    @property
    def end(self) -> bytes:
        """The position of the last entry that was read, or of where there are none."""
        if self.entries:
            return self.entries[-1].position
        return self.lost_until or self.last


class RemoteChannel(LocalChannel):
    """A channel that other processes publish in, too.

    Messages of pub/sub are lost where a connection breaks. Each names the one before it, so a gap is noticed, and filled before
    anything later is given out.

    is_ready: set when the channel has been read once, so that readers may come
    needs_read: whether entries may be missing at the end of the window
    used_at: when it was seen with readers last, in monotonic seconds
    """

    __slots__ = ("_early", "_early_bytes", "_missed_early", "is_ready", "needs_read", "used_at")

    def __init__(self, name: str, is_ready: Flag) -> None:
        super().__init__(name)
        self.is_ready = is_ready
        self.needs_read = True
        self.used_at = time.monotonic()
        # What has come while entries before it are still to be read.
        self._early: list[tuple[bytes, Entry]] = []
        self._early_bytes = 0
        self._missed_early = False

    def add_message(self, payload: bytes) -> None:
        """Add the entry of a message of pub/sub, or note that those before it have to be read."""
        previous_end = payload.index(b" ")
        position_end = payload.index(b" ", previous_end + 1)
        position = payload[previous_end + 1 : position_end]
        # Nearly always it is an event that follows the last one.
        if (
            payload[position_end + 1] == _EVENT_CODE
            and not self.needs_read
            and payload.startswith(self.last_text)
            and previous_end == len(self.last_text)
        ):
            self.window.append(payload[position_end + 2 :])
            self.last_text = position
            self.window.trim(WINDOW_BYTES)
            self.window.wake()
            return
        kind, rest = payload[position_end + 1 : position_end + 2], payload[position_end + 2 :]
        entry = Entry(position, kind, without_id(rest) if kind == EVENT else rest)
        previous = payload[:previous_end]
        if kind != EVENT and not self.needs_read and previous == self.last_text:
            self._add_kick(entry)
        else:
            self._add_early(previous, entry)

    def add_page(self, after: bytes, page: Page, *, is_whole: bool) -> None:
        """Add what was read. The channel may have gone on meanwhile.

        after: the ``last_text`` that was read from, b"" for a channel that was not ready
        is_whole: whether these are all entries
        """
        if not self.is_ready.is_set():
            self.begin_at(page.last)
            self.is_ready.set()
        elif page.lost_until is not None and after != self.last_text:
            self.needs_read = True
            return
        else:
            self._add_read(page)
        self.needs_read = not is_whole
        if is_whole:
            self._add_waiting()
        self.window.trim(WINDOW_BYTES)
        self.window.wake()

    def _add_read(self, page: Page) -> None:
        if page.misses_kick:
            # Whom it meant is gone with it. Those whose permission has not ended come back.
            self.kick({})
        if page.lost_until is not None:
            self._add_reset(page, page.lost_until)
        for entry in page.entries:
            if position_from(entry.position) > self.last:
                self._add(entry)

    def _add_reset(self, page: Page, lost_until: bytes) -> None:
        if position_from(lost_until) <= self.last:
            # Redis has gone back to an earlier state, and the positions in a window only grow.
            self.begin_at(lost_until)
        self.window.append(reset_event(self, lost_until, page.oldest))
        self.last_text = lost_until

    def _add(self, entry: Entry) -> None:
        if entry.kind == EVENT:
            self.append(entry.position, entry.payload)
        else:
            self._add_kick(entry)

    def _add_kick(self, entry: Entry) -> None:
        self.last_text = entry.position
        self.kick(json.loads(entry.payload))

    def _add_early(self, previous: bytes, entry: Entry) -> None:
        if not self.needs_read and position_from(entry.position) <= self.last:
            return  # It was read already.
        self.needs_read = True
        self._early_bytes += len(entry.payload)
        if self._early_bytes <= _MAX_EARLY_BYTES:
            self._early.append((previous, entry))
        else:
            # It is read when what is kept has its place.
            self._missed_early = True

    def _add_waiting(self) -> None:
        early, self._early, self._early_bytes = self._early, [], 0
        is_missing, self._missed_early = self._missed_early, False
        for previous, entry in early:
            if position_from(entry.position) <= self.last:
                continue
            if previous == self.last_text and not is_missing:
                self._add(entry)
            else:
                is_missing = True
        self.needs_read = is_missing
