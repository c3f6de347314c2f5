"""Channels in the memory of one process."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from flask_sluice.channels.callbacks import CallbackQueue, PresenceCallbacks
from flask_sluice.channels.follower import ChannelFollower
from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.ids import Position, position_of, position_text
from flask_sluice.channels.limits import ChannelLimits
from flask_sluice.channels.local_channel import LocalChannel
from flask_sluice.channels.presence import LocalPresence, Presence
from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.turns import Turns

_REMEMBERED_CHANNELS = 10_000


class MemoryChannels:
    """See ``ChannelStore``. The window of a channel is its history.

    now: returns seconds since 1970. It must not go back, since events get their positions from it
    """

    is_shared = False

    def __init__(
        self,
        limits: ChannelLimits,
        turns: Turns,
        callbacks: PresenceCallbacks,
        *,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.turns = turns
        self._limits = limits
        self._now = now or _steady_clock()
        self._channels: dict[str, LocalChannel] = {}
        self._presence = LocalPresence(CallbackQueue(turns, callbacks), self._now)
        # When to look whether the events of a channel have expired, so that it may be forgotten.
        self._deadlines: StreamDeadlines[str] = StreamDeadlines()
        # The last positions of channels that are forgotten, so that a reader which has everything is told no reset.
        self._last_positions: OrderedDict[str, Position] = OrderedDict()
        # A channel of which nothing is known had no event after this position.
        self._horizon: Position = self._position_now()

    def publish(self, name: str, event: bytes) -> Position:
        channel = self._channel(name)
        position = self._next_position(channel)
        channel.append(position_text(position), event)
        channel.window.wake()
        self._drop(channel)
        if name not in self._deadlines:
            self._set_deadline(name)
        self._forget_due()
        return position

    def kick(self, name: str, where: Mapping[str, str]) -> None:
        channel = self._channels.get(name)
        if channel is not None:
            channel.kick(where)

    def last_position(self, name: str) -> Position:
        channel = self._channels.get(name)
        return self._last_of(name) if channel is None else channel.last

    def open(self, names: Sequence[str]) -> list[LocalChannel]:
        return [self._channel(name) for name in names]

    def follow(
        self,
        channel: LocalChannel,
        after: Position | None,
        wake: Callable[[], None],
        identity: ReaderIdentity,
        *,
        is_new: bool,
    ) -> ChannelFollower:
        self._drop(channel)
        position = channel.last if after is None else after
        # A later position is one of another process, or of an earlier one.
        number = None if position > channel.last else channel.number_after(position)
        follower = ChannelFollower(
            channel, position, number, wake, self._on_close, identity=identity, is_new=is_new
        )
        self._presence.join(channel.name, identity)
        return follower

    def present(self, name: str) -> list[Presence]:
        return self._presence.present(name)

    def close(self) -> None:
        """There is nothing to release."""

    def _on_close(self, follower: ChannelFollower) -> None:
        channel = follower.channel
        self._presence.leave(channel.name, follower.identity)
        self._forget_if_idle(channel)
        self._forget_due()

    def _channel(self, name: str) -> LocalChannel:
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = LocalChannel(name, self._last_of(name))
            self._last_positions.pop(name, None)
        return channel

    def _last_of(self, name: str) -> Position:
        return self._last_positions.get(name, self._horizon)

    def _drop(self, channel: LocalChannel) -> None:
        """Drop the events of a channel that are beyond a limit."""
        limits, window = self._limits, channel.window
        oldest = int((self._now() - limits.history_seconds) * 1000), 0
        byte_count = window.byte_count
        number = window.first_id
        while number <= window.last_id and (
            window.last_id - number >= limits.history_events
            or byte_count > limits.history_bytes
            or position_of(window.event(number)) < oldest
        ):
            byte_count -= len(window.event(number))
            number += 1
        if number > window.first_id:
            channel.drop_before(number)

    def _forget_due(self) -> None:
        # There is no job for this: what a process keeps that does nothing is bounded by what it has published.
        for name in self._deadlines.pop_due(self._now()):
            channel = self._channels.get(name)
            if channel is not None:
                self._drop(channel)
                self._forget_if_idle(channel)
                if channel.oldest_event is not None:
                    self._set_deadline(name)

    def _set_deadline(self, name: str) -> None:
        self._deadlines.set(name, self._now() + self._limits.history_seconds)

    def _forget_if_idle(self, channel: LocalChannel) -> None:
        window = channel.window
        if window.is_followed or window.last_id >= window.first_id:
            return
        if self._channels.pop(channel.name, None) is None:
            return
        if channel.last == self._horizon:
            return
        self._last_positions[channel.name] = channel.last
        if len(self._last_positions) > _REMEMBERED_CHANNELS:
            _, position = self._last_positions.popitem(last=False)
            self._horizon = max(self._horizon, position)

    def _next_position(self, channel: LocalChannel) -> Position:
        milliseconds, number = channel.last
        return max(self._position_now(), (milliseconds, number + 1))

    def _position_now(self) -> Position:
        milliseconds, microseconds = divmod(int(self._now() * 1_000_000), 1000)
        return milliseconds, microseconds


def _steady_clock() -> Callable[[], float]:
    """Return a clock that shows the time of day as it was at the start, and from there on does not go back."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset
