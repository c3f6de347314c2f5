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
from flask_sluice.channels.redis.keys import (
    MARKER_SECONDS,
    joined_key,
    presence_keys,
    readers_key,
    token_key,
)
from flask_sluice.channels.redis.other_workers import OtherWorkers
from flask_sluice.channels.redis.presence_scripts import JOIN, LEAVE, REPEAT_MS
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.servers.repeated_step import RepeatedStep
from flask_sluice.journal.redis.servers.scripts import Call, ask_each, reply_of, run_in_order

_BATCH = 100
_FLUSH_SECONDS = 2.0
_TTL_MS = MARKER_SECONDS * 1000
_RENEW_SECONDS = MARKER_SECONDS / 8
_VERIFY_SECONDS = 2.0
_VERIFIED_READERS = 200
_MAX_LEFT = 2000
"""How many readers that have left are remembered, for a Redis that goes back to a state in which they are there."""


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
    """A change that is to be written.

    kind: "join"; "again" for one that should be known; "leave"; "gone" for one that should be known to have left
    """

    kind: str
    joined: Joined


_JOINS = ("join", "again")


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
        self._left: deque[Joined] = deque(maxlen=_MAX_LEFT)
        self._unverified: list[Joined] = []
        self._verified_at = time.monotonic()
        self._changes: deque[_Change] = deque()
        self._has_changes = self._turns.new_flag()
        self._others = OtherWorkers(client, worker_id, self._join_again, self._tell_left)
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
            self._left.append(joined)
            self._add("leave", joined)

    def renew_soon(self) -> None:
        """Look soon whether others have taken this process for dead, and trust them for a while."""
        self._others.trust()

    def _join_again(self) -> None:
        """Have Redis know again what it may have lost."""
        for joined in self._left:
            self._add("gone", joined)
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
        """Write the first changes. Raises JournalUnavailableError; then those that were not written are written later."""
        if not changes:
            return
        key = joined_key(self._worker_id)
        # Noted before they join, so that they are found whenever the process is killed.
        noted = [change.joined.member for change in changes if change.kind in _JOINS]
        if noted:
            self._others.register()
            self._client.execute(("SADD", key, *noted), ("PEXPIRE", key, _TTL_MS))
        outcomes = run_in_order(self._client, *map(_call, changes))
        failed = self._take_outcomes(changes, outcomes)
        left = [
            change.joined.member
            for change in changes
            if change.kind not in _JOINS and change.joined.name not in failed
        ]
        if left:
            self._client.execute(("SREM", key, *left))
        for error in failed.values():
            raise error

    def _take_outcomes(
        self, changes: list[_Change], outcomes: list[Reply | JournalUnavailableError]
    ) -> dict[str, JournalUnavailableError]:
        """Tell of the changes that were written. Return the channels, with the reasons, whose changes are to be written later.

        These go behind those of other channels, which another server may have. Their own order stays.
        """
        failed: dict[str, JournalUnavailableError] = {}
        retained: list[_Change] = []
        for change, outcome in zip(changes, outcomes, strict=True):
            self._changes.popleft()
            name = change.joined.name
            try:
                reply = reply_of(self._client, outcome)
            except JournalUnavailableError as error:
                failed.setdefault(name, error)
            if name in failed:
                retained.append(change)
            else:
                self._tell(change, reply)
        if retained:
            retained += [change for change in self._changes if change.joined.name in failed]
            others = [change for change in self._changes if change.joined.name not in failed]
            self._changes = deque([*others, *retained])
        return failed

    def _tell(self, change: _Change, reply: Reply) -> None:
        name, _, owner, value = change.joined
        if change.kind == "leave":
            self._tell_left(name, reply)
        elif change.kind in _JOINS and reply:
            self._queue.joined(name, owner, json.loads(value)[1])

    def _tell_left(self, name: str, reply: Reply) -> None:
        """reply: that of the script LEAVE"""
        if reply and reply[1]:
            owner, details, _ = json.loads(reply[0])
            self._queue.left(name, owner, details)

    def _look_step(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at > _RENEW_SECONDS:
            self._renewed_at = now
            self._join_again()
        if now - self._verified_at > _VERIFY_SECONDS:
            self._verified_at = now
            self._verify()
        for worker_id in self._others.look(is_patient=not self._queue.tells_leaves):
            self._others.bury(worker_id)

    def _verify(self) -> None:
        """Look whether Redis knows some of the readers: one of several servers may have lost its data."""
        if not self._unverified:
            self._unverified = list(self._joined.values())
        asked = self._unverified[:_VERIFIED_READERS]
        del self._unverified[:_VERIFIED_READERS]
        replies = ask_each(
            self._client, [("HMGET", readers_key(each.name), each.reader_id) for each in asked]
        )
        here = set(self._joined.values())
        lost = {
            joined
            for joined, reply in zip(asked, replies, strict=True)
            if reply == [None] and joined in here
        }
        # Those whose first change is still to be written are not lost.
        lost -= {change.joined for change in self._changes}
        if lost:
            self._join_again()

    # For the app.

    def present(self, name: str) -> list[Presence]:
        """Raises JournalUnavailableError."""
        ends_at = time.monotonic() + _FLUSH_SECONDS
        while self._changes and time.monotonic() < ends_at:
            self._turns.sleep(0.005)
        (reply,) = self._client.execute(("HGETALL", readers_key(name)))
        reply = reply_of(self._client, reply)
        readers = {
            field.decode(): json.loads(value)
            for field, value in zip(reply[::2], reply[1::2], strict=True)
        }
        workers = {reader_id.partition(":")[0] for reader_id in readers} - {self._worker_id}
        dead = self._others.dead_among(workers)
        if self._queue.tells_leaves:
            for worker_id in dead:
                self._others.bury(worker_id)
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
                self._others.bury(self._worker_id)


def _call(change: _Change) -> Call:
    name, reader_id, owner, value = change.joined
    if change.kind == "gone":
        return LEAVE, presence_keys(name), (reader_id, REPEAT_MS)
    if change.kind == "leave":
        keys = (*presence_keys(name), token_key(name, f"{reader_id}:left"))
        return LEAVE, keys, (reader_id, REPEAT_MS)
    keys = (*presence_keys(name), token_key(name, f"{reader_id}:joined"))
    is_again = int(change.kind == "again")
    return JOIN, keys, (reader_id, owner, value, is_again, _TTL_MS, REPEAT_MS)


def _by_owner(readers: Iterable[Presence]) -> list[Presence]:
    """Return each owner's reader that came first."""
    first: dict[str, Presence] = {}
    for reader in sorted(readers, key=lambda reader: reader.since):
        first.setdefault(reader.owner, reader)
    return list(first.values())
