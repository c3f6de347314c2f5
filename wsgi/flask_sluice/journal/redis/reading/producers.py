"""Looks after the streams that this worker follows: whether they are told, whether they are there, whether their producers live."""

import logging
import time
from collections.abc import Callable, Iterable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.keys_and_commands import (
    about_key,
    inbox_key,
    producer_key,
    producer_of,
    stream_key,
)
from flask_sluice.journal.redis.reading.catch_up import CatchUp
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.streams import FollowedStream, WorkerStreams
from flask_sluice.journal.redis.times import LeaseTimes

logger = logging.getLogger("sluice.journal")


class Producers:
    """The producers of followed streams.

    A key that is missing proves nothing: Redis may have evicted it, or lost it. A producer that lives writes it again
    within a round, so a stream is given up only if the key is still missing after that. A busy host may delay it for more
    than that. So no stream is given up while another key shows that its producer was there less than a lease ago.

    A stream may end, or be left by its last reader, while this waits for Redis. So every method asks again, after each
    wait, what it acts on.

    lost_event: the terminal event of a stream whose producer is dead, without an id
    would_know: returns whether Redis has been there for so long that a worker without a lease is dead
    """

    def __init__(
        self,
        client: RedisClient,
        streams: WorkerStreams,
        catch_up: CatchUp,
        times: LeaseTimes,
        *,
        lost_event: bytes,
        would_know: Callable[[], bool],
    ) -> None:
        self._client = client
        self._streams = streams
        self._catch_up = catch_up
        self._times = times
        self._lost_event = lost_event
        self._would_know = would_know
        # Those that were told last what this worker follows.
        self._told: set[str] = set()

    def read_silent(self) -> list[FollowedStream]:
        """Return the streams of which this worker is not told, and read them. Never blocks."""
        since = time.monotonic() - self._times.silence_seconds
        silent = [
            stream
            for stream in self._streams.followed.values()
            if stream.told_at is None or stream.told_at < since
        ]
        for stream in silent:
            self._catch_up.read(stream)
        return silent

    def check_stored(self, streams: list[FollowedStream]) -> None:
        """Look whether Redis has these streams, and who produces them. Raises JournalUnavailableError."""
        if not streams:
            return
        replies = self._client.execute(
            *(("EXISTS", stream_key(stream.stream_id)) for stream in streams),
            *(("GET", producer_key(stream.stream_id)) for stream in streams),
        )
        are_there, producers = replies[: len(streams)], replies[len(streams) :]
        for stream, is_there, producer in zip(streams, are_there, producers, strict=True):
            stream.note_producer(producer)
            if is_there:
                stream.missing_since = None
            else:
                self._note_missing(stream)
        self._find_producers([stream for stream in streams if stream.producer == ""])

    def _find_producers(self, streams: list[FollowedStream]) -> None:
        """Look who produces streams of which the key that says so was gone already when they were followed."""
        if not streams:
            return
        replies = self._client.execute(
            *(("HGETALL", about_key(stream.stream_id)) for stream in streams)
        )
        for stream, about in zip(streams, replies, strict=True):
            if isinstance(about, list):
                stream.producer = producer_of(about)

    def _note_missing(self, stream: FollowedStream) -> None:
        """Give up a stream that Redis does not have, unless its producer may still write it again."""
        now = time.monotonic()
        if stream.window.is_finished:
            return  # Its terminal event arrived during the wait.
        if stream.missing_since is None:
            stream.missing_since = now
        elif stream.is_claimed:
            return  # Its producer was there less than a lease ago.
        elif now - stream.missing_since >= self._times.doubt_seconds and self._would_know():
            self._streams.unfollow(stream)
            stream.window.finish(self._lost_event)
            stream.window.wake()

    def orphaned(self) -> set[str]:
        """Return the ids of the streams whose producer is dead. Raises JournalUnavailableError."""
        suspects = self._orphaned_among(list(self._streams.followed.values()))
        # What is known of them may be a round old, and a producer that lives has renewed its keys meanwhile.
        self.check_stored(suspects)
        unclaimed = [stream for stream in suspects if not stream.is_claimed]
        return {stream.stream_id for stream in self._orphaned_among(unclaimed)}

    def _orphaned_among(self, streams: list[FollowedStream]) -> list[FollowedStream]:
        """Return those whose producer is dead as far as is known, and that are still followed."""
        producers = list({stream.producer for stream in streams} - {""})
        commands = [("EXISTS", inbox_key(producer)) for producer in producers]
        replies = self._client.execute(*commands) if commands else []
        living = {
            producer for producer, is_there in zip(producers, replies, strict=True) if is_there
        }
        followed = self._streams.followed
        return [
            stream
            for stream in streams
            if followed.get(stream.stream_id) is stream and self._is_orphaned(stream, living)
        ]

    def _is_orphaned(self, stream: FollowedStream, living: set[str]) -> bool:
        now = time.monotonic()
        if stream.is_claimed and stream.producer in living:
            stream.silent_since = None
            return False
        if stream.silent_since is None:
            stream.silent_since = now
            return False
        return now - stream.silent_since >= self._doubt(stream, living) and self._would_know()

    def _doubt(self, stream: FollowedStream, living: set[str]) -> float:
        if stream.is_dead(living):
            return self._times.lease_doubt_seconds
        # A worker that lives may be busy, and is late for its round.
        return self._times.lease_seconds if stream.producer else self._times.doubt_seconds

    def end(self, stream_ids: Iterable[str]) -> set[str]:
        """End streams whose producer is gone, for all their readers. Return the ids of those that have their end.

        Raises JournalUnavailableError where Redis takes none.
        """
        ids = list(stream_ids)
        if not ids:
            return set()
        outcomes = self._client.transactions(
            [
                keys_and_commands.finish_stream(stream_id, self._lost_event, self._times.history_ms)
                for stream_id in ids
            ]
        )
        ended: set[str] = set()
        for stream_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, JournalUnavailableError):
                continue
            ended.add(stream_id)
            followed = self._streams.followed.get(stream_id)
            if followed is not None:
                self._catch_up.read(followed)
            # An error if the stream had its end already, None if it has expired.
            if isinstance(outcome[0], bytes):
                logger.warning("ended for a producer that is gone stream_id=%s", stream_id)
        return ended

    def announce(self, silent: list[FollowedStream]) -> None:
        """Tell the producers which streams are followed here, and see whether this worker can write.

        silent: streams of which this worker is not told

        Raises JournalUnavailableError.
        """
        # Those that were told of streams last time, and follow none of now, are told so.
        followed_of: dict[str, list[str]] = {producer: [] for producer in self._told}
        for stream in self._streams.followed.values():
            if stream.producer not in ("", self._streams.worker_id):
                followed_of.setdefault(stream.producer, []).append(stream.stream_id)
        self._told = {producer for producer, followed in followed_of.items() if followed}
        commands = [
            keys_and_commands.follow(producer, self._streams.following(stream_ids, is_all=True))
            for producer, stream_ids in followed_of.items()
        ]
        if self._times.limits.abandon_seconds:
            # A producer of an earlier release is not told otherwise.
            commands += [
                keys_and_commands.has_readers(stream.stream_id, self._times.readers_ms)
                for stream in silent
            ]
        if commands:
            self._client.execute(*commands)
