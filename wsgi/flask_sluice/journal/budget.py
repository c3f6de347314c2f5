"""How much history a worker keeps in all, and which finished stream goes first where that is not enough."""

from flask_sluice.journal.errors import JournalFullError
from flask_sluice.journal.protocol import Limits

STREAM_BYTES = 4096
"""How much a stream counts in addition to its events: for its objects, its timers, and its producer's."""

_LEAST_HISTORY_BYTES = 16 * 1024
"""How much a running stream may keep in a worker that is full: even readers that keep up are a few events behind."""


class Share:
    """What one owner's streams count.

    owner: its name
    finished: the ids of its finished streams, the one that ended first at the front
    """

    __slots__ = ("byte_count", "finished", "owner")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.byte_count = 0
        self.finished: dict[str, None] = {}


class Budget:
    """Counts the bytes of all the streams that a worker produces, by owner.

    For each running stream the least that it may keep is set aside, so that all together stay within the limit.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._least_history_bytes = min(_LEAST_HISTORY_BYTES, limits.total_history_bytes // 4)
        self._running_count = 0
        self._shares: dict[str, Share] = {}
        self.byte_count = 0

    def has_room(self, added: int) -> bool:
        """Whether so many bytes may be added beside what is set aside."""
        set_aside = self._running_count * self._least_history_bytes
        return self.byte_count + added + set_aside <= self._limits.total_history_bytes

    @property
    def has_room_for_stream(self) -> bool:
        return self.has_room(self._least_history_bytes)

    def add_stream(self, owner: str = "") -> Share:
        """Count a new stream, and return its owner's share. Raises JournalFullError if there is no room for it."""
        if not self.has_room_for_stream:
            raise JournalFullError
        share = self._shares.setdefault(owner, Share(owner))
        self._running_count += 1
        self.count(share, STREAM_BYTES)
        return share

    def count(self, share: Share, added: int) -> None:
        """Count bytes more, or fewer, of a stream."""
        share.byte_count += added
        self.byte_count += added

    def end_stream(self, share: Share, stream_id: str) -> None:
        """Note that a stream has its end: from now on it may go where others need its room."""
        self._running_count -= 1
        share.finished[stream_id] = None

    def forget_stream(self, share: Share, stream_id: str, history_bytes: int) -> None:
        """Stop counting a stream that has ended, and so many bytes of its events."""
        del share.finished[stream_id]
        self.count(share, -history_bytes - STREAM_BYTES)
        if not share.byte_count:
            del self._shares[share.owner]

    def first_to_go(self) -> str | None:
        """Return the id of the stream that ended first of the owner that holds most; None if all streams run."""
        shares = (share for share in self._shares.values() if share.finished)
        largest = max(shares, key=lambda share: share.byte_count, default=None)
        return None if largest is None else next(iter(largest.finished))

    def max_history_bytes(self, before: int, added: int) -> int:
        """Return how much a stream may keep that had ``before`` bytes and gets ``added`` more.

        In a worker that is full, running streams keep what they have and do not grow.
        """
        limits = self._limits
        if self.has_room(added):
            return limits.history_bytes
        return min(limits.history_bytes, max(before, self._least_history_bytes))
