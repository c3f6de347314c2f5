"""Who reads channels now, over all processes."""

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterable
from itertools import count, islice
from typing import NamedTuple

from flask_sluice.channels.callbacks import CallbackQueue
from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.presence import Presence
from flask_sluice.channels.redis.other_workers import OtherWorkers
from flask_sluice.channels.redis.scripts import (
    JOIN,
    LEAVE,
    MARKER_SECONDS,
    joined_key,
    owners_key,
    readers_key,
    token_key,
)
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Refusal, Reply
from flask_sluice.journal.redis.servers.repeated_step import RepeatedStep
from flask_sluice.journal.redis.servers.scripts import Call, run, run_in_order

_BATCH = 100
_FLUSH_SECONDS = 2.0
_REPEAT_MS = 60_000
_TTL_MS = MARKER_SECONDS * 1000
_RENEW_SECONDS = MARKER_SECONDS / 8


class Joined(NamedTuple):
    """A reader that has an owner, in one channel.

    reader_id: the id of its process, a colon and a number
    value: what others may know of it, as JSON
    """

    name: str
    reader_id: str
    owner: str
    value: str

    @property
    def member(self) -> str:
        """What the process notes of it, in the set of what it has joined."""
        return f"{self.reader_id} {self.name}"


class _Change(NamedTuple):
    """A change that is to be written. kind: "join", "again" for one that should be known, "leave" """

    kind: str
    joined: Joined


class RemotePresence:
    """The readers of this process, which it tells Redis of, and those of others. Readers without an owner are not noted.

    Its jobs start with the first reader that has an owner.
    """

    def __init__(self, client: RedisClient, worker_id: str, queue: CallbackQueue) -> None:
        self._client = client
        self._turns = client.turns
        self._worker_id = worker_id
        self._queue = queue
        self._numbers = count(1)
        self._joined: dict[tuple[str, int], Joined] = {}
        self._changes: deque[_Change] = deque()
        self._has_changes = self._turns.new_flag()
        self._others = OtherWorkers(client, worker_id, on_return=self._join_again)
        self._renewed_at = time.monotonic()
        self._steps: list[RepeatedStep] = []

    # The readers of this process. These do not block.

    def join(self, name: str, identity: ReaderIdentity) -> None:
        if identity.owner is None:
            return
        reader_id = f"{self._worker_id}:{next(self._numbers)}"
        value = json.dumps([identity.owner, dict(identity.details), time.time()])
        joined = Joined(name, reader_id, identity.owner, value)
        self._joined[name, id(identity)] = joined
        self._add("join", joined)
        self._start()

    def leave(self, name: str, identity: ReaderIdentity) -> None:
        joined = self._joined.pop((name, id(identity)), None)
        if joined is not None:
            self._add("leave", joined)

    def renew_soon(self) -> None:
        """Look soon whether others have taken this process for dead."""
        self._others.renew_soon()

    def _join_again(self) -> None:
        for joined in self._joined.values():
            self._add("again", joined)

    def _add(self, kind: str, joined: Joined) -> None:
        self._changes.append(_Change(kind, joined))
        self._has_changes.set()

    def _start(self) -> None:
        if not self._steps:
            self._steps = [
                RepeatedStep(self._turns, self._write_step, 0.0),
                RepeatedStep(self._turns, self._look_step, OtherWorkers.LOOK_SECONDS),
            ]

    # The jobs.

    def _write_step(self) -> None:
        self._turns.wait(self._has_changes)
        self._write(list(islice(self._changes, _BATCH)))
        if not self._changes:
            self._has_changes.clear()

    def _write(self, changes: list[_Change]) -> None:
        """Write the first changes. Raises JournalUnavailableError; then they are written later."""
        if not changes:
            return
        key = joined_key(self._worker_id)
        # Noted before they join, so that they are found whenever the process is killed.
        noted = [change.joined.member for change in changes if change.kind != "leave"]
        if noted:
            self._others.register()
            self._client.execute(("SADD", key, *noted), ("PEXPIRE", key, _TTL_MS))
        replies = run_in_order(self._client, *map(_call, changes))
        for change, reply in zip(changes, replies, strict=True):
            self._changes.popleft()
            self._tell(change, reply)
        left = [change.joined.member for change in changes if change.kind == "leave"]
        if left:
            self._client.execute(("SREM", key, *left))

    def _tell(self, change: _Change, reply: Reply) -> None:
        name, _, owner, value = change.joined
        if isinstance(reply, Refusal):
            raise self._client.health.refused(reply)
        if change.kind == "leave":
            self._tell_left(name, reply)
        elif reply:
            self._queue.joined(name, owner, json.loads(value)[1])

    def _tell_left(self, name: str, reply: Reply) -> None:
        """reply: that of the script LEAVE"""
        if reply and reply[1]:
            owner, details, _ = json.loads(reply[0])
            self._queue.left(name, owner, details)

    def _look_step(self) -> None:
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            self._join_again()
        for worker_id in self._others.look(is_patient=not self._queue.tells_leaves):
            self._bury(worker_id)

    def _bury(self, worker_id: str) -> None:
        """Take away what a process that is dead has joined. Others may do the same: each reader leaves once."""
        (members,) = self._client.execute(("SMEMBERS", joined_key(worker_id)))
        pending = iter([member.decode() for member in members])
        while batch := list(islice(pending, _BATCH)):
            readers = [member.partition(" ")[::2] for member in batch]
            replies = run(
                self._client,
                *((LEAVE, _keys(name), (reader_id,)) for reader_id, name in readers),
            )
            for (_, name), reply in zip(readers, replies, strict=True):
                if not isinstance(reply, Refusal):
                    self._tell_left(name, reply)
        self._others.forget(worker_id)

    # For the app.

    def present(self, name: str) -> list[Presence]:
        """Raises JournalUnavailableError."""
        ends_at = time.monotonic() + _FLUSH_SECONDS
        while self._changes and time.monotonic() < ends_at:
            self._turns.sleep(0.005)
        (reply,) = self._client.execute(("HGETALL", readers_key(name)))
        if isinstance(reply, Refusal):
            raise self._client.health.refused(reply)
        readers = {
            field.decode(): json.loads(value)
            for field, value in zip(reply[::2], reply[1::2], strict=True)
        }
        workers = {reader_id.partition(":")[0] for reader_id in readers} - {self._worker_id}
        dead = self._others.dead_among(workers)
        if self._queue.tells_leaves:
            for worker_id in dead:
                self._bury(worker_id)
        return _by_owner(
            Presence(owner, details, since)
            for reader_id, (owner, details, since) in readers.items()
            if reader_id.partition(":")[0] not in dead
        )

    def close(self) -> None:
        for step in self._steps:
            step.close()
        self._has_changes.set()
        if self._steps:
            # If Redis does not answer, other processes do this when they miss this one.
            with contextlib.suppress(JournalUnavailableError):
                self._bury(self._worker_id)


def _keys(name: str) -> tuple[str, str]:
    return readers_key(name), owners_key(name)


def _call(change: _Change) -> Call:
    name, reader_id, owner, value = change.joined
    if change.kind == "leave":
        keys = (*_keys(name), token_key(name, f"{reader_id}:left"))
        return LEAVE, keys, (reader_id, _REPEAT_MS)
    keys = (*_keys(name), token_key(name, f"{reader_id}:joined"))
    is_again = int(change.kind == "again")
    return JOIN, keys, (reader_id, owner, value, is_again, _TTL_MS, _REPEAT_MS)


def _by_owner(readers: Iterable[Presence]) -> list[Presence]:
    """Return each owner's reader that came first."""
    first: dict[str, Presence] = {}
    for reader in sorted(readers, key=lambda reader: reader.since):
        first.setdefault(reader.owner, reader)
    return list(first.values())
