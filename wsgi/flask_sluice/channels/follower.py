"""A reader's position in a channel."""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.ids import Position, position_of, position_text, with_id
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import error_for_event_source

if TYPE_CHECKING:
    from flask_sluice.channels.local_channel import LocalChannel

logger = logging.getLogger("sluice.channels")

_TAKE_BYTES = 256 * 1024

KICKED_EVENT = error_for_event_source(
    ApiError(403, "kicked", "the server has ended this stream; ask again"), may_resume=False
)


def reset_event(channel: "LocalChannel", position: bytes, oldest: bytes | None) -> bytes:
    """Return the event that tells a reader that it has missed events. With its id a client goes on after it, and is not told again.

    position: before the events that the reader will get
    oldest: the position of the first of these; None if there is none yet
    """
    oldest_id = None if oldest is None else f"{channel.tag.decode()}:{oldest.decode()}"
    data = {"channel": channel.name, "oldest": oldest_id}
    reset = b"event: reset\ndata: %b\n\n" % msgspec.json.encode(data)
    return with_id(channel.tag, position, reset)


class ChannelFollower:
    """Takes the events of one channel from its window. See ``Follower``.

    after: the reader has all events up to this position
    number: of the event in the window that comes next; None: the reader is told that it has missed events, and gets those
        that are there
    is_new: whether the client does not know the position yet
    on_close: called when the reader leaves
    """

    error: ApiError | None = None

    __slots__ = (
        "_last_event",
        "_next_number",
        "_on_close",
        "_queued",
        "_wake",
        "channel",
        "event_count",
        "forward",
        "identity",
        "is_closed",
        "is_finished",
        "is_kicked",
        "new_id",
        "on_left",
        "was_reset",
    )

    def __init__(
        self,
        channel: "LocalChannel",
        after: Position,
        number: int | None,
        wake: Callable[[], None],
        on_close: Callable[["ChannelFollower"], None],
        *,
        identity: ReaderIdentity,
        is_new: bool,
    ) -> None:
        self.channel = channel
        self.identity = identity
        self._wake = wake
        self._on_close = on_close
        # The last event that was taken, or what stands for it. From its id comes the position, which is rarely asked for.
        self._last_event = with_id(channel.tag, position_text(after), b"")
        self.new_id = channel.id_at(after) if is_new else b""
        # What comes before the events of the window.
        self._queued: deque[bytes] = deque()
        self._next_number = 0 if number is None else number
        self.event_count = 0
        self.was_reset = False
        self.forward: Callable[[bytes], bool] | None = None
        self.is_kicked = False
        self.is_finished = False
        self.is_closed = False
        self.on_left: Callable[[], None] | None = None
        channel.window.join(self)

    @property
    def has_events(self) -> bool:
        if self.is_kicked:
            return not self.is_finished
        if self._queued:
            return True
        # Also where the next event was dropped: ``take`` says so.
        return self._next_number <= self.channel.window.last_id

    @property
    def terminal_event(self) -> bytes:
        return KICKED_EVENT

    @property
    def position(self) -> Position:
        """The position of the last event that the reader has taken."""
        return position_of(self._last_event)

    @property
    def is_behind(self) -> bool:
        """Whether the event that comes next is not in the window."""
        return self._next_number < self.channel.window.first_id

    def on_events(self) -> None:
        """Pass the new event on, or wake the reader. Called by the window; must not block."""
        window, forward = self.channel.window, self.forward
        try:
            # Nearly always the reader waits, has kept up, and is given the one new event without a switch to its greenlet.
            if forward is not None and self._next_number == window.last_id and not self._queued:
                event = window.events[-1]
                wants_more = forward(event)
                # Only now: if ``forward`` raises, the reader is still to get the event.
                self._next_number += 1
                self._last_event = event
                self.event_count += 1
                if wants_more:
                    return
                # A part of the event is still to be sent, and the next one must not overtake it.
                self.forward = None
            self._wake()
        except Exception:
            # A defect in one reader must not stop the publisher and the other readers.
            logger.exception("waking a reader failed")

    def take(self) -> bytes:
        return b"".join(self.take_events())

    def take_events(self) -> list[bytes]:
        """Like ``take``, but return the events one by one."""
        if self.is_kicked:
            return self._take_end()
        if self.is_behind and not self._queued:
            self._catch_up()
        events = self._take_queued() if self._queued else self._take_from_window()
        if events:
            self.event_count += len(events)
            self._last_event = events[-1]
        return events

    def kick(self) -> None:
        """End the reader with an error event, whatever it has not taken yet."""
        self.is_kicked = True
        self.forward = None
        self._next_number = -1
        self._wake()

    def close(self) -> None:
        if self.channel.window.leave(self):
            self.is_closed = True
            self._on_close(self)
            if self.on_left is not None:
                self.on_left()

    def _take_end(self) -> list[bytes]:
        if self.is_finished:
            return []
        self.is_finished = True
        self.event_count += 1
        return [KICKED_EVENT]

    def _take_queued(self) -> list[bytes]:
        events: list[bytes] = []
        byte_count = 0
        while self._queued and byte_count < _TAKE_BYTES:
            events.append(self._queued.popleft())
            byte_count += len(events[-1])
        return events

    def _take_from_window(self) -> list[bytes]:
        if self.is_behind:
            return []
        window, number = self.channel.window, self._next_number
        events: list[bytes] = []
        byte_count = 0
        while number <= window.last_id and byte_count < _TAKE_BYTES:
            events.append(window.event(number))
            byte_count += len(events[-1])
            number += 1
        self._next_number = number
        return events

    def _catch_up(self) -> None:
        """The next event is not in the window: tell the reader so, and go on with those that are."""
        channel = self.channel
        oldest = channel.oldest_event
        self._queue_reset(
            channel.base_text, None if oldest is None else position_text(position_of(oldest))
        )
        self._next_number = channel.window.first_id

    def _queue_reset(self, position: bytes, oldest: bytes | None) -> None:
        self.was_reset = True
        self._queued.append(reset_event(self.channel, position, oldest))
