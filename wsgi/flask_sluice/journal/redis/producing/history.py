"""How much of the streams of this process Redis keeps."""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask_sluice.journal.budget import Budget, Share
from flask_sluice.journal.deadlines import StreamDeadlines

if TYPE_CHECKING:
    from flask_sluice.journal.redis.producing.recorder import RedisRecorder

_BLOCKS = 64


class History:
    """Counts how many bytes of a stream Redis keeps, and determines which event is to be the oldest.

    Sizes are counted in blocks of a 64th of the limit, and a whole block is dropped at a time, so that a worker needs
    no list of a million events.
    """

    __slots__ = ("_blocks", "byte_count")

    def __init__(self) -> None:
        # For each block the number of its first event, and the bytes of all its events.
        self._blocks: deque[tuple[int, int]] = deque([(1, 0)])
        self.byte_count = 0

    @property
    def oldest(self) -> int:
        return self._blocks[0][0]

    def add(self, number: int, event_bytes: int, max_bytes: int) -> None:
        first, block_bytes = self._blocks[-1]
        if block_bytes > max_bytes // _BLOCKS:
            self._blocks.append((number, event_bytes))
        else:
            self._blocks[-1] = (first, block_bytes + event_bytes)
        self.byte_count += event_bytes
        while self.byte_count > max_bytes and len(self._blocks) > 1:
            self.byte_count -= self._blocks.popleft()[1]


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

    def add(self, recorder: "RedisRecorder") -> None:
        """Note that a stream has its end."""
        stream_id = recorder.stream_id
        self._budget.end_stream(recorder.share, stream_id)
        self._kept[stream_id] = recorder.share, recorder.history.byte_count
        self._deadlines.set(stream_id, time.monotonic() + self._history_seconds)

    def begin_stream(self, owner: str) -> Share:
        """Make room for a stream and count it. Raises JournalFullError, and what ``delete`` raises."""
        for stream_id in self._deadlines.pop_due(time.monotonic()):
            self._forget(stream_id)
        budget = self._budget
        while not budget.has_room_for_stream and (first := budget.first_to_go()) is not None:
            self._deadlines.clear(first)
            self._forget(first)
            self._delete(first)
        return budget.add_stream(owner)

    def withdraw(self, recorder: "RedisRecorder") -> None:
        """Stop counting a stream that could not be begun."""
        self._budget.end_stream(recorder.share, recorder.stream_id)
        self._budget.forget_stream(recorder.share, recorder.stream_id, 0)

    def _forget(self, stream_id: str) -> None:
        share, history_bytes = self._kept.pop(stream_id)
        self._budget.forget_stream(share, stream_id, history_bytes)
