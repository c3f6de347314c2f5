"""Keeps alive what is in use, and finds out who is dead."""

import logging
import time
from collections.abc import Iterable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.protocol import Limits
from flask_sluice.journal.redis import keys_and_commands as redis_format
from flask_sluice.journal.redis.client import RedisClient
from flask_sluice.journal.redis.keys_and_commands import (
    inbox_key,
    milliseconds,
    readers_key,
    stream_key,
)
from flask_sluice.journal.redis.reader import RedisReader
from flask_sluice.journal.redis.streams import FollowedStream, RedisStreams
from flask_sluice.journal.redis.writer import RedisWriter
from flask_sluice.stream.loop.deadlines import Deadlines

logger = logging.getLogger("sluice.journal")

_LOOKS_PER_LEASE = 3


class RedisKeeper:
    """Looks after the worker's lease, its own streams, those that it follows, and their producers.

    lost_event: the terminal event of a stream whose producer is gone
    """

    def __init__(
        self,
        *,
        client: RedisClient,
        streams: RedisStreams,
        reader: RedisReader,
        writer: RedisWriter,
        limits: Limits,
        lease_seconds: float,
        lost_event: bytes,
    ) -> None:
        self._client = client
        self._streams = streams
        self._reader = reader
        self._writer = writer
        self._lost_event = lost_event
        self._lease_seconds = lease_seconds
        self.pause_seconds = lease_seconds / _LOOKS_PER_LEASE
        self.lease_ms = milliseconds(lease_seconds)
        self.history_ms = milliseconds(limits.history_seconds)
        # While it runs, a stream is renewed long before it expires; nobody renews it when all are dead.
        self._running_seconds = max(limits.history_seconds, 2 * lease_seconds)
        self.running_ms = milliseconds(self._running_seconds)
        self._renew_own_at = 0.0
        # As long as a stream without readers may go on, and until the next look: so that its producer need not
        # hear of the last one's leaving.
        self.readers_ms = milliseconds(limits.abandon_seconds + self.pause_seconds)
        self._abandon_seconds = limits.abandon_seconds
        self._unread: Deadlines[str] = Deadlines()
        self._to_end: set[str] = set()

    # What others tell it. Never blocks.

    def has_no_reader_here(self, stream_id: str) -> None:
        if self._abandon_seconds:
            self._unread.set(stream_id, time.monotonic() + self._abandon_seconds)

    def has_reader_here(self, stream_id: str) -> None:
        self._unread.clear(stream_id)

    def is_to_end(self, stream_id: str) -> None:
        """This stream of ours cannot go on; its readers are to be told as soon as that is possible."""
        self._to_end.add(stream_id)

    # The greenlet.

    def step(self) -> None:
        self._renew_lease()
        self._renew_own()
        self._check_followed()
        self._find_abandoned()
        self.end_streams(self._to_end.copy())
        self._tell_producers()

    def _renew_lease(self) -> None:
        worker_id = self._streams.worker_id
        # Not by adding to the inbox: a Redis that is full would refuse it.
        (was_there,) = self._client.execute(("PEXPIRE", inbox_key(worker_id), self.lease_ms))
        if was_there == 1:
            return
        self._client.transaction(*redis_format.renew_lease(worker_id, self.lease_ms))
        self._reader.forget_inbox()
        # Redis has lost everything, or others take this worker for dead.
        for recorder in self._streams.own.values():
            self._writer.look_up(recorder)

    def _renew_own(self) -> None:
        now = time.monotonic()
        if now < self._renew_own_at or not self._streams.own:
            return
        worker_id = self._streams.worker_id
        # No transaction: a Redis that is full would refuse all of it, and only some must be refused.
        self._client.execute(
            *(
                command
                for stream_id in self._streams.own
                for command in redis_format.renew_stream(stream_id, worker_id, self.running_ms)
            )
        )
        self._renew_own_at = now + self._running_seconds / 3

    def _check_followed(self) -> None:
        streams = list(self._streams.followed.values())
        if not streams:
            return
        owners = list({stream.owner for stream in streams})
        replies = self._client.execute(
            *(("EXISTS", inbox_key(owner)) for owner in owners),
            *(("EXISTS", stream_key(stream.stream_id)) for stream in streams),
        )
        living = {owner for owner, is_there in zip(owners, replies, strict=False) if is_there}
        now = time.monotonic()
        for stream, is_there in zip(streams, replies[len(owners) :], strict=True):
            if not is_there:
                self._is_missing(stream, now)
                continue
            stream.missing_since = None
            if stream.owner not in living and self.would_know(now):
                self._to_end.add(stream.stream_id)

    def would_know(self, now: float) -> bool:
        """Whether a worker without a lease is dead: it could have renewed it. After Redis was away, nobody could."""
        since = self._client.reached_since
        return since is not None and now - since >= self._lease_seconds

    def _is_missing(self, stream: FollowedStream, now: float) -> None:
        # A Redis that has lost everything gets it back from the producers, if they live.
        if stream.missing_since is None:
            stream.missing_since = now
        elif now - stream.missing_since >= self._lease_seconds and self.would_know(now):
            self._streams.unfollow(stream)
            stream.window.finish(self._lost_event)
            stream.window.wake()

    def end_streams(self, stream_ids: Iterable[str]) -> None:
        """Ends streams whose producer is gone, for all their readers. Raises JournalUnavailableError."""
        for stream_id in stream_ids:
            ended, *_ = self._client.transaction(
                *redis_format.finish_stream(stream_id, self._lost_event, self.history_ms)
            )
            self._to_end.discard(stream_id)
            # It may have had its end by then, or be gone.
            if isinstance(ended, bytes):
                logger.warning("ended for a producer that is gone stream_id=%s", stream_id)

    def _find_abandoned(self) -> None:
        """Of our streams without readers here: those without readers anywhere."""
        stream_ids = [key for key in self._unread.pop_due(time.monotonic()) if self._is_unread(key)]
        if not stream_ids:
            return
        try:
            replies = self._client.execute(*(("PTTL", readers_key(key)) for key in stream_ids))
        except JournalUnavailableError:
            for stream_id in stream_ids:
                self._unread.set(stream_id, time.monotonic())
            raise
        for stream_id, left_ms in zip(stream_ids, replies, strict=True):
            if isinstance(left_ms, int) and left_ms > 0:
                self._unread.set(stream_id, time.monotonic() + left_ms / 1000)
            elif self._is_unread(stream_id):
                self._streams.own[stream_id].stop_request.give("abandoned")

    def _is_unread(self, stream_id: str) -> bool:
        recorder = self._streams.own.get(stream_id)
        return recorder is not None and not recorder.window.is_followed

    def _tell_producers(self) -> None:
        """That their streams have readers here."""
        followed = self._streams.followed
        if followed and self._abandon_seconds:
            self._client.transaction(
                *(redis_format.has_readers(key, self.readers_ms) for key in followed)
            )
