"""A reader's position in a channel that is kept in Redis."""

import logging
from collections.abc import Callable
from typing import cast

from flask_sluice.channels.follower import ChannelFollower
from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.ids import Position, position_from, with_id
from flask_sluice.channels.redis.remote_channel import Page, RemoteChannel
from flask_sluice.channels.redis.scripts import EVENT
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RETRY_SECONDS
from flask_sluice.journal.turns import Turns
from flask_sluice.stream.errors import ApiError, as_api_error

logger = logging.getLogger("sluice.channels")

ReadAfter = Callable[[RemoteChannel, Position], Page]
"""Reads a channel's entries after a position, and has the process's window of the channel go on at least up to the last of
them. May block. Raises JournalUnavailableError."""


class RemoteFollower(ChannelFollower):
    """Takes events that are older than the process's window from Redis, and then goes on with the window.

    They are read in the background while the reader waits, so that the other readers are not delayed.
    """

    __slots__ = ("_is_reading", "_read_after", "_read_until", "_turns", "error")

    def __init__(
        self,
        channel: RemoteChannel,
        after: Position,
        number: int | None,
        wake: Callable[[], None],
        on_close: Callable[[ChannelFollower], None],
        *,
        identity: ReaderIdentity,
        is_new: bool,
        read_after: ReadAfter,
        turns: Turns,
    ) -> None:
        super().__init__(channel, after, number, wake, on_close, identity=identity, is_new=is_new)
        self.error: ApiError | None = None
        self._read_after = read_after
        self._turns = turns
        self._is_reading = False
        # The position up to which the queue has the events; None: the reader takes them from the window.
        self._read_until: Position | None = after if number is None else None

    @property
    def has_events(self) -> bool:
        return super().has_events and (bool(self._queued) or self.is_kicked or not self.is_behind)

    def begin(self) -> None:
        """Begin after the position. May block. Raises JournalUnavailableError.

        Redis is asked also where the window has the events, since it may have more of them than the history, or fewer than another
        process that the reader comes from.
        """
        try:
            self.read()
        except JournalUnavailableError:
            if self.position > self.channel.last or not self._continue_in_window(self.position):
                raise

    def read(self) -> bool:
        """Read what comes next. Return whether there was anything. May block. Raises JournalUnavailableError."""
        after = self.position if self._read_until is None else self._read_until
        channel = cast(RemoteChannel, self.channel)
        page = self._read_after(channel, after)
        if page.lost_until is not None:
            self._queue_reset(page.lost_until, page.oldest)
        elif self._continue_in_window(after):
            return True
        self._queued.extend(
            with_id(channel.tag, entry.position, entry.payload)
            for entry in page.entries
            if entry.kind == EVENT
        )
        self._read_until = position_from(page.end)
        has_more = bool(page.entries) or page.lost_until is not None
        return self._continue_in_window(self._read_until) or has_more

    def _continue_in_window(self, after: Position) -> bool:
        """Take the events after a position from the window. Return whether it has them."""
        number = self.channel.number_after(after)
        if number is None:
            return False
        if not self.is_kicked:
            self._next_number = number
            self._read_until = None
        return True

    def _catch_up(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._turns.start(self._read)

    def _read(self) -> None:
        with self._turns:
            while not (self.is_closed or self.is_kicked or self._has_read()):
                self._turns.sleep(RETRY_SECONDS)
            self._is_reading = False
            if not self.is_closed:
                self._wake()

    def _has_read(self) -> bool:
        """Try to read. Return whether there is no need to try again."""
        try:
            return self.read()
        except JournalUnavailableError:
            return False
        except Exception as error:
            logger.exception("reading the history of a channel failed")
            self.error = as_api_error(error)
            self.is_finished = True
            return True
