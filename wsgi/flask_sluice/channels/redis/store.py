"""Channels in Redis, as one process sees them."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

from flask_sluice.channels.callbacks import CallbackQueue, PresenceCallbacks
from flask_sluice.channels.follower import ChannelFollower
from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.ids import Position, position_from, tag_of
from flask_sluice.channels.limits import ChannelLimits
from flask_sluice.channels.local_channel import LocalChannel
from flask_sluice.channels.presence import Presence
from flask_sluice.channels.redis import scripts
from flask_sluice.channels.redis.follower import RemoteFollower
from flask_sluice.channels.redis.keys import check_key, events_key, marker_key, topic_of
from flask_sluice.channels.redis.listener import LOOK_SECONDS, Listener
from flask_sluice.channels.redis.presence import RemotePresence
from flask_sluice.channels.redis.remote_channel import RemoteChannel
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.keys_and_commands import milliseconds
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.servers.repeated_step import RepeatedStep
from flask_sluice.journal.redis.servers.scripts import Call, run_one
from flask_sluice.journal.turns import Turns

_READY_SECONDS = 4.0
_CHECK_SECONDS = 1.0
"""Between looks whether a Redis that failed works again."""
_REPEAT_MS = 60_000
_PUBLISHING_PLACES = 8
"""As many entries are added at a time, and more: the client has fewer connections."""
_MAX_PUBLISHED = 1000


def check_url(url: str, credentials: RedisCredentials | None) -> None:
    """Raise ValueError for a URL that cannot be read, TypeError for credentials that are none."""
    RedisClient(url, "", credentials=credentials)


class RedisChannels:
    """See ``ChannelStore``.

    The jobs in the background start with the first reader, so that a process which only publishes has none; but when Redis fails, one
    that looks when that is over.
    """

    def __init__(
        self,
        url: str,
        limits: ChannelLimits,
        turns: Turns,
        callbacks: PresenceCallbacks,
        *,
        credentials: RedisCredentials | None = None,
    ) -> None:
        self.turns = turns
        self._pid = os.getpid()
        self._limits = limits
        self._worker_id = worker_id = secrets.token_hex(8)
        self._client = RedisClient(
            url, f"sluice-channels-{worker_id}", turns, credentials=credentials
        )
        self._presence = RemotePresence(self._client, worker_id, CallbackQueue(turns, callbacks))
        self._listener = Listener(
            self._client,
            limits,
            worker_id,
            on_reconnect=self._presence.renew_soon,
        )
        self._steps: list[RepeatedStep] = []
        self._check_step: RepeatedStep | None = None
        # The last entries of this process, by which Redis notices that it has gone back to an earlier state.
        self._published: dict[str, bytes] = {}
        self._numbers = count(1)
        self._publishing: set[int] = set()

    # Publishers.

    def publish(self, name: str, event: bytes) -> Position:
        return self._add(name, scripts.EVENT, event)

    def kick(self, name: str, where: Mapping[str, str]) -> None:
        self._add(name, scripts.KICK, json.dumps(where).encode())

    def _add(self, name: str, kind: bytes, payload: bytes) -> Position:
        limits = self._limits
        number = next(self._numbers)
        free = (place for place in range(_PUBLISHING_PLACES) if place not in self._publishing)
        place = next(free, number % _PUBLISHING_PLACES)
        # A command is sent again where the connection breaks before its reply, and must not count twice.
        publisher = f"p:{self._worker_id}:{place}"
        keys = (events_key(name), marker_key(name))
        arguments = (
            *(self._published.get(name, b""), kind, payload, topic_of(name)),
            *(limits.history_events, limits.history_bytes, milliseconds(limits.history_seconds)),
            *(scripts.marker_ms(limits.history_seconds), publisher, number, _REPEAT_MS),
            tag_of(name),
        )
        self._publishing.add(place)
        try:
            position: bytes = self._run((scripts.PUBLISH, keys, arguments))
        finally:
            self._publishing.discard(place)
        self._note_published(name, position)
        return position_from(position)

    def _note_published(self, name: str, position: bytes) -> None:
        self._published.pop(name, None)
        self._published[name] = position
        if len(self._published) > _MAX_PUBLISHED:
            del self._published[next(iter(self._published))]

    def last_position(self, name: str) -> Position:
        known = self._published.get(name, b"")
        last, *_ = self._run(self._listener.call(name, b"", known=known))
        return position_from(last)

    def _run(self, call: Call) -> Reply:
        with self._checks_after_problem():
            return run_one(self._client, call)

    # Readers.

    def open(self, names: Sequence[str]) -> list[LocalChannel]:
        self._start()
        channels = self._listener.channels(names)
        ends_at = time.monotonic() + _READY_SECONDS
        for channel in channels:
            if not channel.is_ready.is_set():
                self.turns.wait(channel.is_ready, max(0.0, ends_at - time.monotonic()))
            if not channel.is_ready.is_set():
                problem = self._client.health.problem
                raise JournalUnavailableError(problem or "Redis does not confirm a subscription")
            channel.used_at = time.monotonic()
        return list(channels)

    def follow(
        self,
        channel: LocalChannel,
        after: Position | None,
        wake: Callable[[], None],
        identity: ReaderIdentity,
        *,
        is_new: bool,
    ) -> ChannelFollower:
        assert isinstance(channel, RemoteChannel)
        if not self._listener.has(channel):
            # Redis took so long for the reader's other channels that this one was taken for idle.
            raise JournalUnavailableError("Redis is too slow for so many channels")
        if after is None and channel.needs_read:
            # What the window does not have yet, as after its connection was cut, was published before this reader came.
            after = self.last_position(channel.name)
        follower = RemoteFollower(
            channel,
            channel.last if after is None else after,
            channel.window.last_id + 1 if after is None else None,
            wake,
            self._on_close,
            identity=identity,
            is_new=is_new,
            read_after=self._listener.read_after,
            turns=self.turns,
        )
        if after is not None:
            try:
                follower.begin()
            except BaseException:
                follower.close()
                raise
        self._presence.join(channel.name, identity)
        return follower

    def _on_close(self, follower: ChannelFollower) -> None:
        self._presence.leave(follower.channel.name, follower.identity)

    def present(self, name: str) -> list[Presence]:
        with self._checks_after_problem():
            return self._presence.present(name)

    def close(self) -> None:
        if os.getpid() == self._pid:
            for step in self._steps:
                step.close()
            if self._check_step is not None:
                self._check_step.close()
            self._presence.close()
        # In a child process, too: its copies of the sockets would take replies that its parent waits for.
        self._client.close()
        self._listener.subscription.disconnect()

    def _start(self) -> None:
        self._start_checks()
        if not self._steps:
            self._steps = [
                RepeatedStep(self.turns, step, pause_seconds)
                for step, pause_seconds in (
                    (self._listener.step, 0.0),
                    (self._listener.read_step, 0.0),
                    (self._listener.look_after, LOOK_SECONDS),
                    *self._client.steps,
                )
            ]

    @contextmanager
    def _checks_after_problem(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._client.health.problem is not None:
                self._start_checks()

    def _start_checks(self) -> None:
        if self._check_step is None:
            self._check_step = RepeatedStep(self.turns, self._check_health, _CHECK_SECONDS)

    def _check_health(self) -> None:
        self._client.health.wait_for_problem()
        self._client.check(_everything)


def _everything(tag: str) -> list[Command]:
    """Return what shows whether scripts may write. It changes nothing."""
    script = "return redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', 'e', '')"
    return [("EVAL", script, 1, check_key(tag))]
