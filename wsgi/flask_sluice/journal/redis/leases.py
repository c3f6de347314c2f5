"""Renews what is in use in Redis, and finds out which producers are dead and which streams are abandoned."""

import logging
import time
from collections.abc import Iterable

from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.protocol import Limits
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.client import RedisClient
from flask_sluice.journal.redis.keys_and_commands import (
    inbox_key,
    milliseconds,
    readers_key,
    stream_key,
)
from flask_sluice.journal.redis.streams import FollowedStream, WorkerStreams
from flask_sluice.journal.redis.subscriber import Subscriber
from flask_sluice.journal.redis.writer import EventWriter

logger = logging.getLogger("sluice.journal")

_STEPS_PER_LEASE = 3


class LeaseKeeper:
    """Looks after the worker's lease, its own streams, those that its readers follow, and the producers of these.

    A stream may end, or be left by its last reader, while the keeper waits for Redis. So every method asks again, after
    each wait, what it acts on.

    lost_event: the terminal event of a stream whose producer is dead, without an id
    """

    def __init__(
        self,
        *,
        client: RedisClient,
        streams: WorkerStreams,
        subscriber: Subscriber,
        writer: EventWriter,
        limits: Limits,
        lease_seconds: float,
        lost_event: bytes,
    ) -> None:
        self._client = client
        self._streams = streams
        self._subscriber = subscriber
        self._writer = writer
        self._lost_event = lost_event
        self._lease_seconds = lease_seconds
        self.pause_seconds = lease_seconds / _STEPS_PER_LEASE
        self.lease_ms = milliseconds(lease_seconds)
        self.history_ms = milliseconds(limits.history_seconds)
        # A running stream is renewed long before it expires. It expires when all workers are dead.
        self._running_seconds = max(limits.history_seconds, 2 * lease_seconds)
        self.running_ms = milliseconds(self._running_seconds)
        self._renew_own_at = 0.0
        # Until the next step, and then as long as a stream may run without readers: so the producer need not be told
        # when the last reader leaves.
        self.readers_ms = milliseconds(limits.abandon_seconds + self.pause_seconds)
        self._abandon_seconds = limits.abandon_seconds
        self._unread: StreamDeadlines[str] = StreamDeadlines()
        self._to_end: set[str] = set()

    # What the store tells it. Never blocks.

    def has_no_reader_here(self, stream_id: str) -> None:
        if self._abandon_seconds:
            self._unread.set(stream_id, time.monotonic() + self._abandon_seconds)

    def has_reader_here(self, stream_id: str) -> None:
        self._unread.clear(stream_id)

    def is_to_end(self, stream_id: str) -> None:
        """Tell the readers of a stream of ours that it cannot go on, as soon as that is possible."""
        self._to_end.add(stream_id)

    # The greenlet.

    def step(self) -> None:
        self._renew_lease()
        self._renew_own()
        orphaned = self._check_followed()
        self._find_abandoned()
        self.end_streams(self._to_end | orphaned)
        self._announce_readers()

    def _renew_lease(self) -> None:
        worker_id = self._streams.worker_id
        # PEXPIRE, since a Redis that is full would refuse to add to the inbox.
        (was_there,) = self._client.execute(("PEXPIRE", inbox_key(worker_id), self.lease_ms))
        if was_there == 1:
            return
        self._client.transaction(*keys_and_commands.renew_lease(worker_id, self.lease_ms))
        self._subscriber.forget_inbox()
        # Either Redis has lost everything, or other workers take this one for dead and end its streams.
        for recorder in self._streams.own.values():
            self._writer.look_up(recorder)

    def _renew_own(self) -> None:
        now = time.monotonic()
        if now < self._renew_own_at or not self._streams.own:
            return
        worker_id = self._streams.worker_id
        # Without a transaction, which a Redis that is full would refuse as a whole: it takes some of these commands.
        self._client.execute(
            *(
                command
                for stream_id in self._streams.own
                for command in keys_and_commands.renew_stream(stream_id, worker_id, self.running_ms)
            )
        )
        self._renew_own_at = now + self._running_seconds / 3

    def _check_followed(self) -> set[str]:
        """Return the ids of followed streams whose producer is dead."""
        streams = list(self._streams.followed.values())
        if not streams:
            return set()
        owners = list({stream.owner for stream in streams})
        replies = self._client.execute(
            *(("EXISTS", inbox_key(owner)) for owner in owners),
            *(("EXISTS", stream_key(stream.stream_id)) for stream in streams),
        )
        living = {owner for owner, is_there in zip(owners, replies, strict=False) if is_there}
        now = time.monotonic()
        orphaned: set[str] = set()
        for stream, is_there in zip(streams, replies[len(owners) :], strict=True):
            if not is_there:
                self._note_missing(stream, now)
                continue
            stream.missing_since = None
            if stream.owner not in living and self.would_know(now):
                orphaned.add(stream.stream_id)
        return orphaned

    def would_know(self, now: float) -> bool:
        """Return whether a worker without a lease is dead: Redis was there for so long that it could have renewed it."""
        since = self._client.reached_since
        return since is not None and now - since >= self._lease_seconds

    def _note_missing(self, stream: FollowedStream, now: float) -> None:
        """Give up a stream that Redis does not have, unless its producer may still write it again."""
        if stream.window.is_finished:
            return  # Its terminal event arrived during the wait.
        if stream.missing_since is None:
            stream.missing_since = now
        elif now - stream.missing_since >= self._lease_seconds and self.would_know(now):
            self._streams.unfollow(stream)
            stream.window.finish(self._lost_event)
            stream.window.wake()

    def end_streams(self, stream_ids: Iterable[str]) -> None:
        """End streams whose producer is gone, for all their readers. Raises JournalUnavailableError."""
        for stream_id in stream_ids:
            ended, *_ = self._client.transaction(
                *keys_and_commands.finish_stream(stream_id, self._lost_event, self.history_ms)
            )
            self._to_end.discard(stream_id)
            # An error if the stream had its end already, None if it has expired.
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
        for stream_id, left_ms in zip(stream_ids, replies, strict=True):
            if not self._is_still_unread(stream_id):
                continue
            if isinstance(left_ms, int) and left_ms > 0:
                self._unread.set(stream_id, time.monotonic() + left_ms / 1000)
            else:
                self._streams.own[stream_id].stop_request.give("abandoned")

    def _is_unread(self, stream_id: str) -> bool:
        recorder = self._streams.own.get(stream_id)
        return recorder is not None and not recorder.window.is_followed

    def _is_still_unread(self, stream_id: str) -> bool:
        """Return whether the stream had no reader during a wait, either: the last to leave sets a new deadline."""
        return self._is_unread(stream_id) and stream_id not in self._unread

    def _announce_readers(self) -> None:
        """Tell the producers of followed streams that they have readers here."""
        followed = self._streams.followed
        if followed and self._abandon_seconds:
            self._client.transaction(
                *(keys_and_commands.has_readers(key, self.readers_ms) for key in followed)
            )
