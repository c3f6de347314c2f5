"""How much history a worker keeps."""

from flask_sluice.journal.errors import JournalFullError
from flask_sluice.journal.protocol import Limits

STREAM_BYTES = 4096
"""What a stream counts beside its events: its objects, its timers, those of its producer."""

_LEAST_HISTORY_BYTES = 64 * 1024
"""What a stream needs, and may keep in a full worker: its readers are some events behind, also those that keep up."""


class Budget:
    """Counts the bytes of all the streams that a worker produces."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._least_history_bytes = min(_LEAST_HISTORY_BYTES, limits.total_history_bytes // 4)
        self.byte_count = 0

    def add_stream(self) -> None:
        """Raises JournalFullError if there is no room for another."""
        if self.byte_count + self._least_history_bytes > self._limits.total_history_bytes:
            raise JournalFullError
        self.byte_count += STREAM_BYTES

    def forget_stream(self, history_bytes: int) -> None:
        self.byte_count -= history_bytes + STREAM_BYTES

    def max_history_bytes(self, before: int, added: int) -> int:
        """How much a stream may keep that has so many bytes and gets some more.

        Without room there are no new streams, and those that run do not grow.
        """
        limits = self._limits
        if self.byte_count + added <= limits.total_history_bytes:
            return limits.history_bytes
        return min(limits.history_bytes, max(before, self._least_history_bytes))
