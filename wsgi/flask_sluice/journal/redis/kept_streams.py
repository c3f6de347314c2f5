"""The finished streams that a worker has left in Redis, as far as they count in its budget."""

import time
from collections.abc import Callable

from flask_sluice.journal.budget import Budget, Share
from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.redis.recorder import RedisRecorder


class KeptStreams:
    """Counts each one for as long as Redis keeps it, or deletes it before, where others need its room.

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
