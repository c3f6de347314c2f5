"""Keeps what this worker has in Redis: its lease, and the streams that it produces."""

import time
from collections.abc import Callable
from functools import partial

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.keys_and_commands import inbox_key
from flask_sluice.journal.redis.producing.abandonment import Abandonment
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.producing.writer import EventWriter
from flask_sluice.journal.redis.reading.follower import PatientReaders
from flask_sluice.journal.redis.reading.inbox import Inbox
from flask_sluice.journal.redis.reading.producers import Producers
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.streams import WorkerStreams
from flask_sluice.journal.redis.times import LeaseTimes

_STREAMS_AT_ONCE = 100


class Lease:
    """Whether Redis has the lease of this worker, and what that says of others."""

    def __init__(self, client: RedisClient, times: LeaseTimes) -> None:
        self._health = client.health
        self._times = times
        # In monotonic seconds; 0.0: there has been none.
        self.ends_at = 0.0

    @property
    def is_held(self) -> bool:
        """Whether Redis has the lease, as far as is known."""
        return time.monotonic() < self.ends_at

    def would_know(self) -> bool:
        """Return whether a worker without a lease is dead: Redis was there for so long that it could have renewed it."""
        since = self._health.reached_since
        return since is not None and time.monotonic() - since >= self._times.lease_seconds

    def may_return(self, *, is_stored: bool) -> bool:
        """Return whether producers may be writing again what Redis has lost.

        is_stored: whether Redis has the lease of this worker
        """
        lease_seconds = self._times.lease_seconds
        was_troubled = time.monotonic() - self._health.troubled_at < lease_seconds
        return was_troubled or (self.ends_at > 0 and not is_stored)


class LeaseKeeper:
    """Renews the lease of this worker and its streams, and has the others that are due look at theirs.

    A stream may end while the keeper waits for Redis. So every method asks again, after each wait, what it acts on.
    """

    def __init__(
        self,
        client: RedisClient,
        streams: WorkerStreams,
        times: LeaseTimes,
        lease: Lease,
        *,
        inbox: Inbox,
        writer: EventWriter,
        producers: Producers,
        abandonment: Abandonment,
    ) -> None:
        self._client = client
        self._health = client.health
        self._streams = streams
        self._times = times
        self._lease = lease
        self._inbox = inbox
        self._writer = writer
        self._producers = producers
        self._abandonment = abandonment
        self.readers = PatientReaders(times.patience_seconds)
        self._next_round_at = 0.0
        self._next_renewal_at = 0.0
        """When the streams are renewed next while the lease is not."""
        self._extend_at = 0.0
        """When the streams are to expire later than they do now."""
        self._to_end: set[str] = set()
        # How often Redis has become another, as far as this worker has acted on it.
        self._changes = self._health_changes

    def is_to_end(self, stream_id: str) -> None:
        """Tell the readers of a stream of ours that it cannot go on, as soon as that is possible. Never blocks."""
        self._to_end.add(stream_id)

    def step(self) -> None:
        """Do what is due. Raises JournalUnavailableError."""
        now = time.monotonic()
        self.readers.look(now, self._health.problem, is_well=self._lease.would_know())
        silent = self._producers.read_silent()
        try:
            self._renew_lease()
        except JournalUnavailableError:
            self._renew_own_without_lease(now)
            raise
        parts = [self._end_orphaned, self._find_abandoned]
        if now >= self._next_round_at:
            self._next_round_at = now + self._times.round_seconds
            parts = [
                self._renew_own,
                partial(self._producers.check_stored, silent),
                *parts,
                # Redis may refuse this, where it is full, without harm to this worker's streams.
                partial(self._producers.announce, silent),
            ]
        _try_each(parts)

    def _renew_own_without_lease(self, now: float) -> None:
        """Keep the streams on other servers of a cluster than that of the lease, which may be gone for long.

        Other workers, which may reach all that these streams need, would end them. On one server this would only wait once more.
        """
        if self._client.is_cluster and now >= self._next_renewal_at:
            self._next_renewal_at = now + self._times.round_seconds
            self._renew_own()

    def _renew_lease(self) -> None:
        worker_id = self._streams.worker_id
        # PEXPIRE, since a Redis that is full would refuse to add to the inbox.
        was_there, _ = self._client.execute(
            ("PEXPIRE", inbox_key(worker_id), self._times.lease_ms),
            keys_and_commands.remove_read(worker_id, self._inbox.position),
        )
        ends_at = time.monotonic() + self._times.lease_seconds
        had_lease = self._lease.is_held
        if was_there == 1:
            self._lease.ends_at = ends_at
            if self._changes != self._health_changes:
                # A replica that was promoted may lack the last events.
                self._changes = self._health_changes
                self._look_up_own()
                self._inbox.forget()
            return
        if had_lease:
            self._health.lost_data()
        self._client.transaction(*keys_and_commands.renew_lease(worker_id, self._times.lease_ms))
        # Only now: the first lease is not one that Redis has lost before it was made.
        self._lease.ends_at = ends_at
        self._inbox.forget()
        # Either Redis has lost everything, or other workers take this one for dead and end its streams.
        self._look_up_own()

    @property
    def _health_changes(self) -> tuple[int, int]:
        return self._health.recovery_count, self._health.server_changes

    def _look_up_own(self) -> None:
        for recorder in self._streams.own.values():
            self._writer.look_up(recorder)

    def _renew_own(self) -> None:
        """Keep the keys of this worker's streams, and write those again that are gone. Raises JournalUnavailableError.

        In a cluster a server may be gone: then it is raised after those of all others are kept.
        """
        stream_ids, now = list(self._streams.own), time.monotonic()
        # With a thousand streams, to extend them in each round would be a third of all commands, and 5 µs of an event.
        extends = now >= self._extend_at
        problem: JournalUnavailableError | None = None
        for start in range(0, len(stream_ids), _STREAMS_AT_ONCE):
            some = stream_ids[start : start + _STREAMS_AT_ONCE]
            problem = self._renew_streams(some, extends=extends) or problem
        if problem is not None:
            raise problem
        if extends:
            self._extend_at = now + self._times.renewal_seconds

    def _renew_streams(
        self, stream_ids: list[str], *, extends: bool
    ) -> JournalUnavailableError | None:
        """Return why some were not renewed. Raises JournalUnavailableError if it is not known of any whether it was.

        extends: whether they are to expire later, too
        """
        times = self._times
        outcomes = self._client.transactions(
            [
                [command]
                for stream_id in stream_ids
                for command in keys_and_commands.renew_producer(stream_id, times.lease_ms)
            ]
        )
        problem: JournalUnavailableError | None = None
        more: list[Command] = []
        for place, stream_id in enumerate(stream_ids):
            renewed: list[Reply] = []
            for outcome in outcomes[2 * place : 2 * place + 2]:
                if isinstance(outcome, JournalUnavailableError):
                    problem = outcome
                else:
                    renewed += outcome
            # It may have ended during the wait.
            recorder = self._streams.own.get(stream_id)
            if recorder is None or len(renewed) != 2:
                continue
            if extends:
                more += keys_and_commands.renew_stream(stream_id, times.running_ms)
            if extends or renewed != [1, 2]:
                more += self._missing(recorder, *renewed)
        if more:
            for outcome in self._client.transactions([[command] for command in more]):
                if isinstance(outcome, JournalUnavailableError):
                    problem = outcome
        return problem

    def _missing(
        self, recorder: RedisRecorder, had_producer: Reply, other_keys: Reply
    ) -> list[Command]:
        """Return what writes again the keys of a stream that are gone, and keeps its names."""
        times, stream_id = self._times, recorder.stream_id
        commands: list[Command] = []
        if not had_producer or other_keys != 2:
            # A worker that has ended the stream has deleted the first.
            self._writer.look_up(recorder)
        if not had_producer:
            commands.append(
                keys_and_commands.produce_stream(stream_id, self._streams.worker_id, times.lease_ms)
            )
        if other_keys != 2:
            commands += keys_and_commands.say_about(
                stream_id, recorder.about, self._streams.worker_id, times.running_ms
            )
        for name in recorder.about.names:
            commands += keys_and_commands.renew_name(name, stream_id, times.name_ms)
        return commands

    def _end_orphaned(self) -> None:
        self._to_end -= self._producers.end(self._to_end | self._producers.orphaned())

    def _find_abandoned(self) -> None:
        self._abandonment.look(is_well=self._lease.would_know())


def _try_each(parts: list[Callable[[], None]]) -> None:
    """Call all: in a cluster one may need a server that is gone, and others do not. Raises JournalUnavailableError."""
    problem: JournalUnavailableError | None = None
    for part in parts:
        try:
            part()
        except JournalUnavailableError as error:
            problem = problem or error
    if problem is not None:
        raise problem
