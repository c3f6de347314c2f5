"""Hears what is published in all the channels that a process has readers of."""

import time
from collections.abc import Callable, Iterable

from flask_sluice.channels.ids import Position, position_from, position_text
from flask_sluice.channels.limits import ChannelLimits
from flask_sluice.channels.redis import scripts
from flask_sluice.channels.redis.keys import (
    MARKER_SECONDS,
    events_key,
    lease_key,
    marker_key,
    topic_of,
    worker_topic,
)
from flask_sluice.channels.redis.messages import Message
from flask_sluice.channels.redis.presence_scripts import COUNT_SUBSCRIBERS
from flask_sluice.channels.redis.remote_channel import Page, RemoteChannel
from flask_sluice.channels.redis.subscription import Subscription
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.keys_and_commands import milliseconds
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.servers.scripts import Call, ask_each, reply_of, run, run_one

_READ_ENTRIES = 500
_READ_CHANNELS = 100
_IDLE_SECONDS = 5.0
"""A channel without readers is heard for so long, since readers that disconnect come back."""
_RENEW_SECONDS = MARKER_SECONDS / 8

LOOK_SECONDS = 1.0
_LOOKED_AT_CHANNELS = 100
_UNHEARD_LOOKS = 2
_MAX_MOVE_PAUSE_SECONDS = 60.0

_STEADY_SECONDS = 0.1
"""A connection that breaks earlier is not made again at once."""


class Listener:
    """The channels of a process, and the jobs that keep their windows up to date.

    - ``step`` hears the messages of all channels, in one connection
    - ``read_step`` reads the channels of which messages may be missing
    - ``look_after`` forgets channels without readers, and looks every LOOK_SECONDS whether messages still come

    worker_id: the process also subscribes to a topic of its own, at the server that has its lease, so that others see that it lives
    on_reconnect: called when there is a connection again
    """

    def __init__(
        self,
        client: RedisClient,
        limits: ChannelLimits,
        worker_id: str,
        on_reconnect: Callable[[], None],
    ) -> None:
        self._lease_key = lease_key(worker_id)
        self._own_topic = worker_topic(worker_id)
        self.subscription = Subscription(client, self._lease_key, self._take)
        self._client = client
        self._turns = client.turns
        self._limits = limits
        self._on_reconnect = on_reconnect
        self._has_connected = False
        self._channels: dict[str, RemoteChannel] = {}
        self._by_topic: dict[bytes, RemoteChannel] = {}
        self._to_read: dict[RemoteChannel, None] = {}
        self._has_to_read = client.turns.new_flag()
        self._renewed_at = time.monotonic()
        self._unchecked: list[RemoteChannel] = []
        # Whether Redis has confirmed the own topic in this connection.
        self._is_subscribed = False
        self._unheard_looks = 0
        self._move_pause_seconds = 0.0
        self._move_at = 0.0

    def channels(self, names: Iterable[str]) -> list[RemoteChannel]:
        """Return channels, which may not be ready yet."""
        channels, commands = [], []
        for name in names:
            channel = self._channels.get(name)
            if channel is None:
                channel = RemoteChannel(name, self._turns.new_flag())
                topic = topic_of(name)
                self._channels[name] = self._by_topic[topic] = channel
                commands.append(topic)
            channels.append(channel)
        if commands:
            self.subscription.send(("SUBSCRIBE", *commands))
        return channels

    def has(self, channel: RemoteChannel) -> bool:
        """Whether this channel is heard."""
        return self._channels.get(channel.name) is channel

    # The job that hears.

    def step(self) -> None:
        """Hear messages. Raises JournalUnavailableError when Redis cannot be reached."""
        while True:
            self._connect()
            connected_at = time.monotonic()
            try:
                self.subscription.hear()
            except JournalUnavailableError:
                # Others would take this process for dead if it waited before it comes back.
                is_steady = time.monotonic() - connected_at > _STEADY_SECONDS
                if not is_steady or self._client.health.is_closed:
                    raise

    def _connect(self) -> None:
        """Subscribe to everything anew. What was published meanwhile is read when Redis has confirmed it."""
        for channel in self._channels.values():
            channel.needs_read = True
        topics = set(self._by_topic)
        self._is_subscribed = False
        self._unheard_looks = 0
        self.subscription.connect(("SUBSCRIBE", self._own_topic, *topics))
        missed = self._by_topic.keys() - topics
        if missed:
            self.subscription.send(("SUBSCRIBE", *missed))
        if self._has_connected:
            self._on_reconnect()
        self._has_connected = True

    def _take(self, message: Message) -> None:
        kind, topic = message[0], message[1]
        if topic == self._own_topic:
            self._is_subscribed = kind == b"subscribe"
        channel = self._by_topic.get(topic)
        if channel is None:
            return
        if kind == b"message":
            channel.add_message(message[2])
            if channel.needs_read:
                self._want(channel)
        elif kind == b"subscribe":
            channel.needs_read = True
            self._want(channel)

    def _want(self, channel: RemoteChannel) -> None:
        self._to_read[channel] = None
        self._has_to_read.set()

    # The job that reads.

    def read_step(self) -> None:
        """Wait for channels of which messages may be missing, and read them. Raises JournalUnavailableError."""
        self._turns.wait(self._has_to_read)
        channels = list(self._to_read)[:_READ_CHANNELS]
        for channel in channels:
            del self._to_read[channel]
        if not self._to_read:
            self._has_to_read.clear()
        try:
            failure = self._read(channels) if channels else None
        except BaseException:
            for channel in channels:
                self._want(channel)
            raise
        if failure is not None:
            raise failure

    def _read(self, channels: list[RemoteChannel]) -> JournalUnavailableError | None:
        """Return why some could not be read; they will be. Raises JournalUnavailableError where none could."""
        starts = [channel.last_text if channel.is_ready.is_set() else b"" for channel in channels]
        calls = [
            self.call(channel.name, start, known=start)
            for channel, start in zip(channels, starts, strict=True)
        ]
        failure: JournalUnavailableError | None = None
        for channel, start, outcome in zip(
            channels, starts, run(self._client, *calls), strict=True
        ):
            try:
                self._add_page(channel, start, Page.of(reply_of(self._client, outcome)))
            except JournalUnavailableError as error:
                # Another server may have the others.
                failure = error
                self._want(channel)
        return failure

    def _add_page(self, channel: RemoteChannel, start: bytes, page: Page) -> None:
        channel.add_page(start, page, is_whole=len(page.entries) < _READ_ENTRIES)
        if channel.needs_read:
            self._want(channel)

    def read_after(self, channel: RemoteChannel, after: Position) -> Page:
        """See ``ReadAfter``."""
        call = self.call(channel.name, position_text(after), known=self._known_of(channel))
        page = Page.of(run_one(self._client, call))
        self.bring_up(channel, position_from(page.end))
        return page

    def bring_up(self, channel: RemoteChannel, position: Position) -> None:
        """Have the window of a channel go on up to a position, if there is such an entry. Raises JournalUnavailableError."""
        while channel.last < position:
            start = channel.last_text
            page = Page.of(run_one(self._client, self.call(channel.name, start, known=start)))
            self._add_page(channel, start, page)
            if channel.last_text == start:
                return

    @staticmethod
    def _known_of(channel: RemoteChannel) -> bytes:
        return channel.last_text if channel.is_ready.is_set() else b""

    def call(self, name: str, after: bytes, *, known: bytes) -> Call:
        """Return what reads a channel.

        after: b"": the last id only
        known: the id of an entry that this process has seen, b"" for none. Not one that a client has sent
        """
        age_ms = milliseconds(self._limits.history_seconds)
        ttl_ms = scripts.marker_ms(self._limits.history_seconds)
        arguments = (known, after, _READ_ENTRIES, age_ms, ttl_ms)
        return scripts.READ, (events_key(name), marker_key(name)), arguments

    # The job that looks after the others.

    def look_after(self) -> None:
        now = time.monotonic()
        self.subscription.ping()
        idle = [channel for channel in self._channels.values() if self._is_idle(channel, now)]
        for channel in idle:
            topic = topic_of(channel.name)
            del self._channels[channel.name], self._by_topic[topic]
            self._to_read.pop(channel, None)
        if idle:
            self.subscription.send(("UNSUBSCRIBE", *(topic_of(channel.name) for channel in idle)))
        self._check_channels()
        self._check_place()
        if now - self._renewed_at > _RENEW_SECONDS:
            self._renewed_at = now
            self._renew_markers()

    def _check_channels(self) -> None:
        """Look whether Redis has entries of some channels that have not come: servers pass messages on to each other at most once."""
        if not self._unchecked:
            self._unchecked = list(self._channels.values())
        channels = [
            channel
            for channel in self._unchecked[:_LOOKED_AT_CHANNELS]
            if self.has(channel) and channel.is_ready.is_set() and not channel.needs_read
        ]
        del self._unchecked[:_LOOKED_AT_CHANNELS]
        starts = [channel.last_text for channel in channels]
        replies = ask_each(
            self._client, [("HMGET", marker_key(channel.name), "last") for channel in channels]
        )
        for channel, start, reply in zip(channels, starts, replies, strict=True):
            # An entry that comes just now comes as a message, too.
            if reply is not None and reply != [start] and channel.last_text == start:
                channel.needs_read = True
                self._want(channel)

    def _check_place(self) -> None:
        """Have the connection made anew if another server has the lease now: there others look for this process.

        The old one may hear nothing more, too, without being closed.
        """
        if not self._is_subscribed:
            return
        call = (COUNT_SUBSCRIBERS, (self._lease_key,), (self._own_topic,))
        if run_one(self._client, call) != 0:
            self._unheard_looks = 0
            self._move_pause_seconds = 0.0
            return
        self._unheard_looks += 1
        now = time.monotonic()
        if self._unheard_looks >= _UNHEARD_LOOKS and now >= self._move_at:
            # Where it is not heard afterwards either, as behind some proxies, the pauses become longer.
            pause_seconds = 2 * self._move_pause_seconds + LOOK_SECONDS
            self._move_pause_seconds = min(pause_seconds, _MAX_MOVE_PAUSE_SECONDS)
            self._move_at = now + self._move_pause_seconds
            self.subscription.move()

    def _is_idle(self, channel: RemoteChannel, now: float) -> bool:
        if channel.window.is_followed:
            channel.used_at = now
        return now - channel.used_at > _IDLE_SECONDS

    def _renew_markers(self) -> None:
        """Have Redis know the last ids of channels that have readers, however long nothing is published in them."""
        ttl_ms = scripts.marker_ms(self._limits.history_seconds)
        commands: list[Command] = [("PEXPIRE", marker_key(name), ttl_ms) for name in self._channels]
        if commands:
            self._client.execute(*commands)
