"""The streams in Redis that concern this worker."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flask_sluice.journal.budget import Budget, Share
from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.redis.recorder import RedisRecorder
from flask_sluice.journal.window import Window


@dataclass(slots=True, eq=False)
class FollowedStream:
    """A running stream that readers of this worker follow and another worker produces.

    owner: the id of the worker that produces it; "" if that is not known
    missing_since: when Redis was first seen not to have the stream, in monotonic seconds
    """

    stream_id: str
    owner: str
    window: Window
    missing_since: float | None = None


@dataclass(slots=True)
class WorkerStreams:
    """All of them, by id. A stream is in at most one of the two dictionaries.

    worker_id: of this process. It is never used again, so that a worker that was taken for dead stays dead
    own: the running streams that this worker produces
    """

    own: dict[str, RedisRecorder] = field(default_factory=dict)
    followed: dict[str, FollowedStream] = field(default_factory=dict)
    worker_id: str = field(default_factory=lambda: os.urandom(8).hex())

    def unfollow(self, stream: FollowedStream) -> None:
        """Remove a stream, unless it was left and followed anew, which makes it another object."""
        if self.followed.get(stream.stream_id) is stream:
            del self.followed[stream.stream_id]


class KeptStreams:
    """The finished streams that this worker has left in Redis.

    Counts each one for as long as Redis keeps it, or deletes it before, where others need its room.

    delete: deletes a stream in Redis. May block
    """

    def __init__(
        self, budget: Budget, history_seconds: float, delete: Callable[[str], None]
    ) -> None:
        self._budget = budget
        self._history_seconds = history_seconds
        self._delete = delete
        self._deadlines: StreamDeadlines[str] = StreamDeadlines()
        self._kept: dict[str, tuple[Share, int]] = {}
        """By id: where its bytes count, and how many there are."""

    def add(self, recorder: RedisRecorder) -> None:
        """Note that a stream has its end."""
        stream_id = recorder.stream_id
        self._budget.end_stream(recorder.share, stream_id)
        self._kept[stream_id] = recorder.share, recorder.history.byte_count
        self._deadlines.set(stream_id, time.monotonic() + self._history_seconds)

    def begin_stream(self, client: str) -> Share:
        """Make room for a stream and count it. Raises JournalFullError, and what ``delete`` raises."""
        for stream_id in self._deadlines.pop_due(time.monotonic()):
            self._forget(stream_id)
        budget = self._budget
        while not budget.has_room_for_stream and (first := budget.first_to_go()) is not None:
            self._deadlines.clear(first)
            self._forget(first)
            self._delete(first)
        return budget.add_stream(client)

    def withdraw(self, recorder: RedisRecorder) -> None:
        """Stop counting a stream that could not be begun."""
        self._budget.end_stream(recorder.share, recorder.stream_id)
        self._budget.forget_stream(recorder.share, recorder.stream_id, 0)

    def _forget(self, stream_id: str) -> None:
        share, history_bytes = self._kept.pop(stream_id)
        self._budget.forget_stream(share, stream_id, history_bytes)
