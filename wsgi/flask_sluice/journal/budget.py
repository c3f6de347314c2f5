"""How much history a worker keeps in all."""

from flask_sluice.journal.errors import JournalFullError
from flask_sluice.journal.protocol import Limits

STREAM_BYTES = 4096
"""How much a stream counts in addition to its events: for its objects, its timers, and its producer's."""

_LEAST_HISTORY_BYTES = 64 * 1024
"""How much a stream may keep in a worker that is full: even readers that keep up are a few events behind."""


class Budget:
    """Counts the bytes of all the streams that a worker produces."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._least_history_bytes = min(_LEAST_HISTORY_BYTES, limits.total_history_bytes // 4)
        self.byte_count = 0

    def add_stream(self) -> None:
        """Count a new stream. Raises JournalFullError if there is no room for it."""
        if self.byte_count + self._least_history_bytes > self._limits.total_history_bytes:
            raise JournalFullError
        self.byte_count += STREAM_BYTES

    def forget_stream(self, history_bytes: int) -> None:
        """Stop counting a stream and so many bytes of its events."""
        self.byte_count -= history_bytes + STREAM_BYTES

    def max_history_bytes(self, before: int, added: int) -> int:
        """Return how much a stream may keep that had ``before`` bytes and gets ``added`` more.

        In a worker that is full, running streams keep what they have and do not grow.
        """
        limits = self._limits
        if self.byte_count + added <= limits.total_history_bytes:
            return limits.history_bytes
        return min(limits.history_bytes, max(before, self._least_history_bytes))
