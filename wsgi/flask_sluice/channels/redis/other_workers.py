"""Which processes that have readers live."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from flask_sluice.channels.redis.scripts import (
    MARKER_SECONDS,
    WORKERS_KEY,
    joined_key,
    lease_key,
    worker_topic,
)
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Command

_LEASE_MS = 6000
_RENEW_SECONDS = 2.0
_MISSES = 2
"""For so many looks a process is missed before it counts as dead: one may be making its connection anew."""
_PATIENT_MISSES = 12
"""Of a process without on_leave, such as the gateway's: who takes away a dead process's readers is the one that tells of it."""
_SECOND_LOOK_SECONDS = 0.3
_RECONNECTION_SECONDS = 1.0


class OtherWorkers:
    """Looks whether other processes live, and shows that this one does.

    Each subscribes to a pub/sub channel of its own. When a process is killed, the kernel closes its connections, and its channel
    has no subscriber from that moment. A host that vanishes closes nothing: for that there is a lease.

    on_return: called when others have taken this process for dead, or Redis has lost what it knew
    """

    LOOK_SECONDS = 0.25

    def __init__(self, client: RedisClient, worker_id: str, on_return: Callable[[], None]) -> None:
        self._client = client
        self._worker_id = worker_id
        self._on_return = on_return
        self._is_registered = False
        self._renew_at = 0.0
        self._trust_until = 0.0
        self._others: list[str] = []
        self._misses: Counter[str] = Counter()

    def renew_soon(self) -> None:
        """This process has a new connection. Others that Redis has thrown out may need a moment more for theirs."""
        self._renew_at = 0.0
        self._trust_until = time.monotonic() + _RECONNECTION_SECONDS

    def register(self) -> None:
        """Have others look whether this process lives. Raises JournalUnavailableError."""
        if not self._is_registered:
            self._client.transaction(*self._renewal())
            self._renew_at = time.monotonic() + _RENEW_SECONDS
            self._is_registered = True

    def look(self, *, is_patient: bool) -> list[str]:
        """Return those that are dead. To be called every LOOK_SECONDS. Raises JournalUnavailableError.

        is_patient: whether to leave them to other processes for some seconds
        """
        if self._is_registered and time.monotonic() >= self._renew_at:
            self._renew()
        looked_at = self._others
        members, *replies = self._client.execute(
            ("SMEMBERS", WORKERS_KEY), *_signs_of_life(looked_at)
        )
        self._others = [
            worker_id for member in members if (worker_id := member.decode()) != self._worker_id
        ]
        silent = _silent_ones(looked_at, replies)
        if time.monotonic() < self._trust_until:
            silent = []
        self._misses = Counter({worker_id: self._misses[worker_id] + 1 for worker_id in silent})
        misses = _PATIENT_MISSES if is_patient else _MISSES
        return [worker_id for worker_id in silent if self._misses[worker_id] >= misses]

    def dead_among(self, workers: Iterable[str]) -> set[str]:
        """Return those that are dead. Takes a moment if any seem to be. Raises JournalUnavailableError."""
        asked = list(workers)
        silent = self._silent_among(asked)
        if silent:
            self._client.turns.sleep(_SECOND_LOOK_SECONDS)
            silent = self._silent_among(silent)
        return set(silent)

    def forget(self, worker_id: str) -> None:
        """Note that all that a dead process has left is taken away. Raises JournalUnavailableError."""
        self._client.execute(
            ("SREM", WORKERS_KEY, worker_id), ("DEL", joined_key(worker_id), lease_key(worker_id))
        )

    def _renewal(self) -> list[Command]:
        return [
            ("SADD", WORKERS_KEY, self._worker_id),
            ("SET", lease_key(self._worker_id), "", "PX", _LEASE_MS),
            ("PEXPIRE", WORKERS_KEY, MARKER_SECONDS * 1000),
        ]

    def _renew(self) -> None:
        is_missing, *_ = self._client.transaction(*self._renewal())
        self._renew_at = time.monotonic() + _RENEW_SECONDS
        if is_missing:
            self._on_return()

    def _silent_among(self, workers: list[str]) -> list[str]:
        if not workers:
            return []
        return _silent_ones(workers, self._client.execute(*_signs_of_life(workers)))


def _signs_of_life(workers: list[str]) -> list[Command]:
    if not workers:
        return []
    return [
        ("PUBSUB", "NUMSUB", *map(worker_topic, workers)),
        *(("EXISTS", lease_key(worker_id)) for worker_id in workers),
    ]


def _silent_ones(workers: list[str], replies: list[object]) -> list[str]:
    """Return those that have no subscriber, or no lease. replies: to ``_signs_of_life``"""
    if not workers:
        return []
    subscribers, *leases = replies
    assert isinstance(subscribers, list)
    return [
        worker_id
        for worker_id, subscriber_count, has_lease in zip(
            workers, subscribers[1::2], leases, strict=True
        )
        if not (subscriber_count and has_lease)
    ]
