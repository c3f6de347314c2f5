"""Finds out which streams have had no readers on any worker for too long."""

import time

from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.keys_and_commands import readers_key
from flask_sluice.journal.redis.producing.feed import EventFeed
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.times import LeaseTimes


class Abandonment:
    """Asks the producers of such streams to stop.

    A worker of an earlier release that follows a stream, or one that its producer does not tell of it, keeps a key for it.
    """

    def __init__(
        self,
        client: RedisClient,
        own: dict[str, RedisRecorder],
        feed: EventFeed,
        times: LeaseTimes,
    ) -> None:
        self._client = client
        self._feed = feed
        self._own = own
        self._times = times
        self._abandon_seconds = times.limits.abandon_seconds
        self._unread: StreamDeadlines[str] = StreamDeadlines()
        # Streams that were seen not to have readers elsewhere, once.
        self._maybe_abandoned: set[str] = set()

    def has_no_reader(self, stream_id: str) -> None:
        if self._abandon_seconds:
            self._unread.set(stream_id, time.monotonic() + self._abandon_seconds)

    def has_reader(self, stream_id: str) -> None:
        self._unread.clear(stream_id)
        self._maybe_abandoned.discard(stream_id)

    def look(self, *, is_well: bool) -> None:
        """Stop what is abandoned. Raises JournalUnavailableError.

        is_well: whether Redis has been there for so long that a worker with readers would have said so
        """
        self._feed.forget_silent(self._times.lease_seconds)
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
            if self._is_still_unread(stream_id):
                self._judge(stream_id, left_ms, is_well=is_well)

    def _judge(self, stream_id: str, left_ms: Reply, *, is_well: bool) -> None:
        now = time.monotonic()
        if isinstance(left_ms, int) and left_ms > 0:
            self._maybe_abandoned.discard(stream_id)
            self._unread.set(stream_id, now + left_ms / 1000)
        elif stream_id in self._maybe_abandoned and is_well:
            self._maybe_abandoned.discard(stream_id)
            self._own[stream_id].stop_request.give("abandoned")
        else:
            # The key, or a message, may have been lost. A worker with readers says so again within a round.
            self._maybe_abandoned.add(stream_id)
            self._unread.set(stream_id, now + self._times.doubt_seconds)

    def _is_unread(self, stream_id: str) -> bool:
        recorder = self._own.get(stream_id)
        return not (recorder is None or recorder.window.is_followed or recorder.followers)

    def _is_still_unread(self, stream_id: str) -> bool:
        """Return whether the stream had no reader during a wait, either: the last to leave sets a new deadline."""
        return self._is_unread(stream_id) and stream_id not in self._unread
