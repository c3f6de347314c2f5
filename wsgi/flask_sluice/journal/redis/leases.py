"""Renews what is in use in Redis, and finds out which producers are dead and which streams are abandoned."""

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial

from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.protocol import Limits
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.catch_up import CatchUp
from flask_sluice.journal.redis.feed import EventFeed
from flask_sluice.journal.redis.follower import PatientReaders
from flask_sluice.journal.redis.inbox import Inbox
from flask_sluice.journal.redis.keys_and_commands import (
    inbox_key,
    milliseconds,
    producer_key,
    readers_key,
    stream_key,
)
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Command, Reply
from flask_sluice.journal.redis.streams import FollowedStream, WorkerStreams
from flask_sluice.journal.redis.writer import EventWriter

logger = logging.getLogger("sluice.journal")

_STEPS_PER_LEASE = 6
_ROUNDS_PER_LEASE = 3
_STREAMS_AT_ONCE = 100
_PATIENCE_LEASES = 5


class LeaseKeeper:
    """Looks after the worker's lease, its own streams, those that its readers follow, and the producers of these.

    A key that is missing proves nothing: Redis may have evicted it, or lost it. A producer that lives writes it again
    within a round, so a stream is given up only if the key is still missing after that.

    A stream may end, or be left by its last reader, while the keeper waits for Redis. So every method asks again, after
    each wait, what it acts on.

    lost_event: the terminal event of a stream whose producer is dead, without an id
    """

    def __init__(
        self,
        *,
        client: RedisClient,
        streams: WorkerStreams,
        inbox: Inbox,
        writer: EventWriter,
        feed: EventFeed,
        catch_up: CatchUp,
        limits: Limits,
        lease_seconds: float,
        lost_event: bytes,
    ) -> None:
        self._client = client
        self._health = client.health
        self._streams = streams
        self._inbox = inbox
        self._writer = writer
        self._feed = feed
        self._catch_up = catch_up
        self._lost_event = lost_event
        self._lease_seconds = lease_seconds
        self.readers = PatientReaders(_PATIENCE_LEASES * lease_seconds)
        self.pause_seconds = lease_seconds / _STEPS_PER_LEASE
        self._round_seconds = lease_seconds / _ROUNDS_PER_LEASE
        # A producer says with each round of its follower that it tells it what it follows.
        self._silence_seconds = 2.5 * self._round_seconds
        self._next_round_at = 0.0
        # A producer that lives has renewed its lease, and all its keys, within these.
        self._lease_doubt_seconds = 1.5 * self.pause_seconds
        self.doubt_seconds = 1.5 * self._round_seconds
        self.lease_ms = milliseconds(lease_seconds)
        self.history_ms = milliseconds(limits.history_seconds)
        # A running stream is renewed long before it expires. It expires when all workers are dead.
        self.running_ms = milliseconds(max(limits.history_seconds, 2 * lease_seconds))
        # Until the next round, and then for as long as the stream of this key is kept.
        self.name_ms = self.running_ms + milliseconds(2 * self._round_seconds)
        # Until the next round, and then as long as a stream may run without readers: so the producer need not be told
        # when the last reader leaves.
        self.readers_ms = milliseconds(limits.abandon_seconds + self._round_seconds)
        self._abandon_seconds = limits.abandon_seconds
        self._unread: StreamDeadlines[str] = StreamDeadlines()
        # Streams that were seen not to have readers elsewhere, once.
        self._maybe_abandoned: set[str] = set()
        self._to_end: set[str] = set()
        # Of the streams that are followed.
        self._producers: set[str] = set()
        # In monotonic seconds.
        self._lease_ends_at = 0.0
        self._recovery_count = 0

    # What the store tells it. Never blocks.

    def has_no_reader_here(self, stream_id: str) -> None:
        if self._abandon_seconds:
            self._unread.set(stream_id, time.monotonic() + self._abandon_seconds)

    def has_reader_here(self, stream_id: str) -> None:
        self._unread.clear(stream_id)
        self._maybe_abandoned.discard(stream_id)

    def is_to_end(self, stream_id: str) -> None:
        """Tell the readers of a stream of ours that it cannot go on, as soon as that is possible."""
        self._to_end.add(stream_id)

    # What it says. Never blocks.

    @property
    def has_lease(self) -> bool:
        """Whether Redis has the lease of this worker, as far as is known."""
        return time.monotonic() < self._lease_ends_at

    def would_know(self, now: float) -> bool:
        """Return whether a worker without a lease is dead: Redis was there for so long that it could have renewed it."""
        since = self._health.reached_since
        return since is not None and now - since >= self._lease_seconds

    def may_return(self, has_lease: bool) -> bool:
        """Return whether producers may be writing again what Redis has lost.

        has_lease: whether Redis has the lease of this worker
        """
        was_troubled = time.monotonic() - self._health.troubled_at < self._lease_seconds
        return was_troubled or (self._lease_ends_at > 0 and not has_lease)

    # The greenlet.

    def step(self) -> None:
        """Do what is due. Raises JournalUnavailableError."""
        now = time.monotonic()
        self.readers.look(now, self._health.problem, is_well=self.would_know(now))
        self._feed.forget_silent(self._lease_seconds)
        silent = self._read_silent(now)
        self._renew_lease()
        parts = [self._end_orphaned, self._find_abandoned]
        if now >= self._next_round_at:
            self._next_round_at = now + self._round_seconds
            # Redis may refuse the last one, where it is full, without harm to this worker's streams.
            parts = [
                self._renew_own,
                partial(self._check_stored, silent),
                *parts,
                partial(self._announce_readers, silent),
            ]
        self._try_each(parts)

    def _try_each(self, parts: list[Callable[[], None]]) -> None:
        """Try all: in a cluster one may need a server that is gone, and others do not. Raises JournalUnavailableError."""
        problem: JournalUnavailableError | None = None
        for part in parts:
            try:
                part()
            except JournalUnavailableError as error:
                problem = problem or error
        if problem is not None:
            raise problem

    def _renew_lease(self) -> None:
        worker_id = self._streams.worker_id
        # PEXPIRE, since a Redis that is full would refuse to add to the inbox.
        was_there, _ = self._client.execute(
            ("PEXPIRE", inbox_key(worker_id), self.lease_ms),
            keys_and_commands.remove_read(worker_id, self._inbox.position),
        )
        now = time.monotonic()
        had_lease = self.has_lease
        if was_there == 1:
            self._lease_ends_at = now + self._lease_seconds
            if self._recovery_count != self._health.recovery_count:
                # A replica that was promoted may lack the last events.
                self._recovery_count = self._health.recovery_count
                self._look_up_own()
            return
        if had_lease:
            self._health.lost_data()
        self._client.transaction(*keys_and_commands.renew_lease(worker_id, self.lease_ms))
        # Only now: the first lease is not one that Redis has lost before it was made.
        self._lease_ends_at = now + self._lease_seconds
        self._inbox.forget()
        # Either Redis has lost everything, or other workers take this one for dead and end its streams.
        self._look_up_own()

    def _look_up_own(self) -> None:
        for recorder in self._streams.own.values():
            self._writer.look_up(recorder)

    def _renew_own(self) -> None:
        """Keep the keys of this worker's streams, and write those again that are gone."""
        stream_ids = list(self._streams.own)
        for start in range(0, len(stream_ids), _STREAMS_AT_ONCE):
            self._renew_streams(stream_ids[start : start + _STREAMS_AT_ONCE])

    def _renew_streams(self, stream_ids: list[str]) -> None:
        replies = self._client.execute(
            *(
                command
                for stream_id in stream_ids
                for command in keys_and_commands.renew_stream(
                    stream_id, self.running_ms, self.lease_ms
                )
            )
        )
        own = self._streams.own
        triples = zip(stream_ids, replies[::3], replies[1::3], replies[2::3], strict=True)
        missing: list[Command] = []
        for stream_id, had_stream, had_producer, had_about in triples:
            if stream_id not in own:
                continue  # It has ended during the wait.
            recorder, worker_id = own[stream_id], self._streams.worker_id
            if not had_stream:
                self._writer.look_up(recorder)
            if not had_producer:
                missing.append(
                    keys_and_commands.produce_stream(stream_id, worker_id, self.lease_ms)
                )
            if not had_about:
                missing += keys_and_commands.say_about(stream_id, recorder.about, self.running_ms)
            for name in recorder.about.names:
                missing += keys_and_commands.renew_name(name, stream_id, self.name_ms)
        if missing:
            self._client.execute(*missing)

    def _check_producers(self) -> set[str]:
        """Return the ids of followed streams whose producer is dead."""
        producers = list({stream.producer for stream in self._streams.followed.values()} - {""})
        commands = [("EXISTS", inbox_key(producer)) for producer in producers]
        replies = self._client.execute(*commands) if commands else []
        living = {
            producer for producer, is_there in zip(producers, replies, strict=True) if is_there
        }
        now = time.monotonic()
        orphaned: set[str] = set()
        for stream in self._streams.followed.values():
            if stream.is_claimed and stream.producer in living:
                stream.silent_since = None
            elif stream.silent_since is None:
                stream.silent_since = now
            else:
                doubt = self._lease_doubt_seconds if stream.is_dead(living) else self.doubt_seconds
                if now - stream.silent_since >= doubt and self.would_know(now):
                    orphaned.add(stream.stream_id)
        return orphaned

    def _read_silent(self, now: float) -> list[FollowedStream]:
        """Return the followed streams whose producer does not tell this worker of them, and read them."""
        silent = [
            stream
            for stream in self._streams.followed.values()
            if stream.told_at is None or now - stream.told_at > self._silence_seconds
        ]
        for stream in silent:
            self._catch_up.read(stream)
        return silent

    def _check_stored(self, streams: list[FollowedStream]) -> None:
        """Look whether Redis has these streams, and who produces them."""
        if not streams:
            return
        replies = self._client.execute(
            *(("EXISTS", stream_key(stream.stream_id)) for stream in streams),
            *(("GET", producer_key(stream.stream_id)) for stream in streams),
        )
        now = time.monotonic()
        are_there, producers = replies[: len(streams)], replies[len(streams) :]
        for stream, is_there, producer in zip(streams, are_there, producers, strict=True):
            stream.note_producer(producer)
            if is_there:
                stream.missing_since = None
            else:
                self._note_missing(stream, now)

    def _note_missing(self, stream: FollowedStream, now: float) -> None:
        """Give up a stream that Redis does not have, unless its producer may still write it again."""
        if stream.window.is_finished:
            return  # Its terminal event arrived during the wait.
        if stream.missing_since is None:
            stream.missing_since = now
        elif now - stream.missing_since >= self.doubt_seconds and self.would_know(now):
            self._streams.unfollow(stream)
            stream.window.finish(self._lost_event)
            stream.window.wake()

    def _end_orphaned(self) -> None:
        self.end_streams(self._to_end | self._check_producers())

    def end_streams(self, stream_ids: Iterable[str]) -> None:
        """End streams whose producer is gone, for all their readers. Raises JournalUnavailableError."""
        ids = list(stream_ids)
        if not ids:
            return
        outcomes = self._client.transactions(
            [
                keys_and_commands.finish_stream(stream_id, self._lost_event, self.history_ms)
                for stream_id in ids
            ]
        )
        for stream_id, outcome in zip(ids, outcomes, strict=True):
            if not isinstance(outcome, JournalUnavailableError):
                self._note_ended(stream_id, outcome[0])
        for outcome in outcomes:
            if isinstance(outcome, JournalUnavailableError):
                raise outcome

    def _note_ended(self, stream_id: str, ended: Reply) -> None:
        """ended: an error if the stream had its end already, None if it has expired"""
        self._to_end.discard(stream_id)
        followed = self._streams.followed.get(stream_id)
        if followed is not None:
            self._catch_up.read(followed)
        if isinstance(ended, bytes):
            logger.warning("ended for a producer that is gone stream_id=%s", stream_id)

    def _find_abandoned(self) -> None:
        """Ask the producers of streams that have no readers on any worker to stop."""
        stream_ids = [key for key in self._unread.pop_due(time.monotonic()) if self._is_unread(key)]
        if not stream_ids:
            return
        try:
            replies = self._client.execute(*(("PTTL", readers_key(key)) for key in stream_ids))
        except JournalUnavailableError:
            for stream_id in filter(self._is_still_unread, stream_ids):
                self._unread.set(stream_id, time.monotonic())
            raise
        now = time.monotonic()
        for stream_id, left_ms in zip(stream_ids, replies, strict=True):
            if not self._is_still_unread(stream_id):
                continue
            if isinstance(left_ms, int) and left_ms > 0:
                self._maybe_abandoned.discard(stream_id)
                self._unread.set(stream_id, now + left_ms / 1000)
            elif stream_id in self._maybe_abandoned and self.would_know(now):
                self._maybe_abandoned.discard(stream_id)
                self._streams.own[stream_id].stop_request.give("abandoned")
            else:
                # The key may have been evicted or lost. A worker with readers writes it again within a round.
                self._maybe_abandoned.add(stream_id)
                self._unread.set(stream_id, now + self.doubt_seconds)

    def _is_unread(self, stream_id: str) -> bool:
        recorder = self._streams.own.get(stream_id)
        return not (recorder is None or recorder.window.is_followed or recorder.followers)

    def _is_still_unread(self, stream_id: str) -> bool:
        """Return whether the stream had no reader during a wait, either: the last to leave sets a new deadline."""
        return self._is_unread(stream_id) and stream_id not in self._unread

    def _announce_readers(self, silent: list[FollowedStream]) -> None:
        """Tell the producers of followed streams which ones have readers here, and see whether they can write."""
        # Those that were told of streams last time, and follow none of now, are told so.
        followed_of: dict[str, list[str]] = {producer: [] for producer in self._producers}
        for stream in self._streams.followed.values():
            followed_of.setdefault(stream.producer, []).append(stream.stream_id)
        self._producers = {producer for producer, followed in followed_of.items() if followed}
        commands = [
            keys_and_commands.follow(producer, self._streams.following(stream_ids, is_all=True))
            for producer, stream_ids in followed_of.items()
            if producer not in ("", self._streams.worker_id)
        ]
        if self._abandon_seconds:
            # A producer of an earlier release is not told otherwise.
            commands += [
                keys_and_commands.has_readers(stream.stream_id, self.readers_ms)
                for stream in silent
            ]
        if commands:
            self._client.execute(*commands)
