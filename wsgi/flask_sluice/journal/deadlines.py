"""Deadlines of many streams, the earliest first."""

import heapq
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class StreamDeadlines(Generic[K]):
    """At most one deadline for each key. Reads no clock: the caller gives the time, in seconds.

    Setting and clearing leave the old entry in the heap, to be dropped when its time comes.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._entry_of: dict[K, tuple[float, int, K]] = {}
        # Orders entries of the same time, so that keys are never compared.
        self._numbers = count()

    def __contains__(self, key: K) -> bool:
        return key in self._entry_of

    def set(self, key: K, due: float) -> None:
        entry = (due, next(self._numbers), key)
        self._entry_of[key] = entry
        heapq.heappush(self._heap, entry)

    def clear(self, key: K) -> None:
        self._entry_of.pop(key, None)

    @property
    def next_due(self) -> float | None:
        heap = self._heap
        while heap and self._entry_of.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> list[K]:
        """Remove and return the keys whose time has come."""
        keys = []
        while (due := self.next_due) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._entry_of[key]
            keys.append(key)
        return keys
