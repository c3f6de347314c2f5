"""Which processes that have readers live."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable

from flask_sluice.channels.redis.keys import (
    MARKER_SECONDS,
    WORKERS_KEY,
    joined_key,
    lease_key,
    presence_keys,
    token_key,
    worker_topic,
)
from flask_sluice.channels.redis.presence_scripts import LEAVE, RENEW_LEASE, REPEAT_MS, SILENCE
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.servers.scripts import Call, reply_of, run, run_one

_BATCH = 100
_LEASE_MS = 6000
_REGISTER_SECONDS = 2.0
_QUIET_MS = 500
"""A process whose connection is gone and that has not renewed its lease for so long is dead: if it lives, it renews its lease every
LOOK_SECONDS, and its connection leads to another server, or is being made anew."""
_NO_LEASE = -1
_MISSES = 3
"""For so many looks a lease is missed before its process counts as dead: Redis may just have lost all of them."""
_PATIENT_MISSES = 15
"""Of a process without on_leave, such as the gateway's: who takes away a dead process's readers is the one that tells of it."""
_SECOND_LOOK_SECONDS = 0.55
_LATE_SECONDS = 1.0
"""A process that looks so late was held up, and so may others be: the host is busy, or stood still."""
_TRUST_SECONDS = 5.0
"""After Redis was away, or another server took over, processes reach it one after the other, and some of them after a timeout."""


class OtherWorkers:
    """Looks whether other processes live, and shows that this one does.

    Each has a lease, which it renews, and subscribes to a pub/sub channel of its own at the server that has the lease. When a process
    is killed, the kernel closes its connections, and its channel has no subscriber from that moment. A host that vanishes closes
    nothing: then the lease ends. Where another server has got the lease, no subscriber is seen there until the process has moved its
    connection; the lease is what counts until then.

    on_return: called when others may have taken this process for dead, or Redis may have lost what it knew
    on_left: called with a channel and the reply of LEAVE for each reader of a dead process that was taken away
    """

    LOOK_SECONDS = 0.2

    def __init__(
        self,
        client: RedisClient,
        worker_id: str,
        on_return: Callable[[], None],
        on_left: Callable[[str, Reply], None],
    ) -> None:
        self._client = client
        self._worker_id = worker_id
        self._on_return = on_return
        self._on_left = on_left
        self._is_registered = False
        self._register_at = 0.0
        self._trust_until = 0.0
        self._looked_at = math.inf
        self._changes = self._count_changes()
        self._may_have_lost = False
        self._was_heard = False
        self._misses: Counter[str] = Counter()
        self._known: set[str] = set()
        # Those whose connections were not seen since Redis may have become another server.
        self._doubted: set[str] = set()
        self._unreached: set[str] = set()
        # What was taken away of each dead process, until everything is.
        self._buried: dict[str, set[str]] = {}
        self._burying: set[str] = set()

    def trust(self) -> None:
        """Take none for dead for a while: this process has lost its connection, and others may have lost theirs.

        After that, the end of a lease still counts alone until the process's connection was seen again.
        """
        self._doubted |= self._known
        self._trust_until = time.monotonic() + _TRUST_SECONDS

    def register(self) -> None:
        """Have others look whether this process lives. Raises JournalUnavailableError."""
        if not self._is_registered:
            run_one(self._client, self._renewal())
            self._add_to_workers()
            self._is_registered = True

    def look(self, *, is_patient: bool) -> list[str]:
        """Return those that are dead. To be called every LOOK_SECONDS. Raises JournalUnavailableError.

        is_patient: whether to leave them to other processes for some seconds
        """
        self._note_lateness()
        self._looked_at = time.monotonic()
        try:
            if self._is_registered:
                self._renew()
            others = self._others()
            silences = self._silences(others)
        except JournalUnavailableError:
            self.trust()
            raise
        self._note_changes(set(others) - silences.keys())
        self._known = set(others)
        self._doubted &= self._known
        self._doubted -= {worker_id for worker_id, silence in silences.items() if silence == 0}
        missed = {
            worker_id: silence
            for worker_id, silence in silences.items()
            if silence == _NO_LEASE or (silence >= _QUIET_MS and worker_id not in self._doubted)
        }
        if time.monotonic() < self._trust_until:
            missed = {}
        self._misses = Counter({worker_id: self._misses[worker_id] + 1 for worker_id in missed})
        return [
            worker_id
            for worker_id, silence in missed.items()
            if self._misses[worker_id] >= _misses_of_dead(silence, is_patient=is_patient)
        ]

    def dead_among(self, workers: Iterable[str]) -> set[str]:
        """Return those that are dead. Takes a moment if any seem to be. Raises JournalUnavailableError."""
        silences = self._silences(workers)
        suspects = [
            worker_id
            for worker_id, silence in silences.items()
            if silence == _NO_LEASE or silence > 0
        ]
        if not suspects:
            return set()
        self._client.turns.sleep(_SECOND_LOOK_SECONDS)
        silences = self._silences(suspects)
        self._note_lateness()
        self._note_changes(self._unreached)
        if time.monotonic() < self._trust_until:
            return set()
        return {
            worker_id
            for worker_id, silence in silences.items()
            if silence == _NO_LEASE or (silence >= _QUIET_MS and worker_id not in self._doubted)
        }

    def bury(self, worker_id: str) -> None:
        """Take away what a dead process has joined. Others may do the same: each reader leaves once.

        Raises JournalUnavailableError, and is to be called again, where a server does not answer.
        """
        if worker_id in self._burying:
            return  # A request and the job have seen it at the same time. Both would be given the same replies, and tell them.
        self._burying.add(worker_id)
        try:
            self._bury(worker_id)
        finally:
            self._burying.discard(worker_id)

    def _bury(self, worker_id: str) -> None:
        (members,) = self._client.execute(("SMEMBERS", joined_key(worker_id)))
        buried = self._buried.setdefault(worker_id, set())
        pending = [member.decode() for member in reply_of(self._client, members)]
        pending = [member for member in pending if member not in buried]
        for start in range(0, len(pending), _BATCH):
            batch = pending[start : start + _BATCH]
            outcomes = run(self._client, *map(self._burial, batch))
            for member, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, list):
                    buried.add(member)
                    self._on_left(member.partition(" ")[2], outcome)
            for outcome in outcomes:
                reply_of(self._client, outcome)
        self._forget(worker_id)
        del self._buried[worker_id]

    def _burial(self, member: str) -> Call:
        reader_id, _, name = member.partition(" ")
        # The reply is remembered for this process alone: another one that does the same does not tell of it, too.
        token = token_key(name, f"{reader_id}:buried:{self._worker_id}")
        return LEAVE, (*presence_keys(name), token), (reader_id, REPEAT_MS)

    def _forget(self, worker_id: str) -> None:
        self._client.execute(
            ("DEL", joined_key(worker_id)),
            ("DEL", lease_key(worker_id)),
            ("SREM", WORKERS_KEY, worker_id),
        )

    def _renew(self) -> None:
        was_there, is_heard = run_one(self._client, self._renewal())
        if self._was_heard and not is_heard:
            self.trust()
        self._was_heard = bool(is_heard)
        if was_there and time.monotonic() < self._register_at:
            return  # Also after a change: while slots of a cluster move, there are many.
        if self._add_to_workers() or not was_there or self._may_have_lost:
            self._may_have_lost = False
            self._on_return()

    def _note_lateness(self) -> None:
        if time.monotonic() - self._looked_at > _LATE_SECONDS:
            self.trust()

    def _note_changes(self, unreached: set[str]) -> None:
        """Trust others for a while if Redis may be another server, or one of its servers has gone or come back.

        unreached: those of whose leases the server does not answer
        """
        changes = self._count_changes()
        if changes != self._changes:
            self._changes = changes
            self._may_have_lost = True
            self.trust()
        if unreached != self._unreached:
            self._unreached = unreached
            self.trust()

    def _count_changes(self) -> int:
        """Return a number that rises when Redis may be another server, which may lack what this process has told it last."""
        health = self._client.health
        return health.recovery_count + health.server_changes

    def _renewal(self) -> Call:
        return (
            RENEW_LEASE,
            (lease_key(self._worker_id),),
            (worker_topic(self._worker_id), _LEASE_MS),
        )

    def _add_to_workers(self) -> bool:
        """Return whether this process was not among them."""
        is_new, _ = self._client.execute(
            ("SADD", WORKERS_KEY, self._worker_id),
            ("PEXPIRE", WORKERS_KEY, MARKER_SECONDS * 1000),
        )
        self._register_at = time.monotonic() + _REGISTER_SECONDS
        return bool(is_new)

    def _others(self) -> list[str]:
        (members,) = self._client.execute(("SMEMBERS", WORKERS_KEY))
        workers = [member.decode() for member in reply_of(self._client, members)]
        return [worker_id for worker_id in workers if worker_id != self._worker_id]

    def _silences(self, workers: Iterable[str]) -> dict[str, int]:
        """Return for how many ms each has been silent; see SILENCE. Those whose server does not answer are left out."""
        asked = list(workers)
        outcomes = run(self._client, *map(_silence_of, asked)) if asked else []
        return {
            worker_id: outcome
            for worker_id, outcome in zip(asked, outcomes, strict=True)
            if isinstance(outcome, int)
        }


def _silence_of(worker_id: str) -> Call:
    return SILENCE, (lease_key(worker_id),), (worker_topic(worker_id), _LEASE_MS)


def _misses_of_dead(silence: int, *, is_patient: bool) -> int:
    if is_patient:
        return _PATIENT_MISSES
    return _MISSES if silence == _NO_LEASE else 1
