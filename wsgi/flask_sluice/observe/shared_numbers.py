"""The numbers of all workers of a server, in memory that they share: no file is needed, and no disk can be full.

Each worker has a slot, which only it writes, and the master has one for those that have ended. A slot has two halves: the
next numbers are written beside those that are read. Behind the numbers of a half come single counts, which are added
between one publication and the next: whenever a worker is killed, they are there.
"""

import mmap
import os
from collections import Counter
from functools import cache
from operator import add
from typing import NamedTuple

import msgspec

Labels = tuple[str, ...]
Values = dict[str, list[tuple[Labels, list[float]]]]
"""The values of each metric by its name: pairs of the labels' values and the numbers."""

_SLOTS = 128
_HALF_BYTES = 256 * 1024
"""Memory is taken for what is written only: some KiB of each. 32 models on all routes need 150 KiB."""
_WORDS_OF_SLOT = 5
_VERSION, _LENGTHS, _ADDED_LENGTHS = 0, 1, 3
_LENGTH_BYTES = 2
"""The length of a single count stands before it."""
_WORD_BYTES = 8
_TRIES = 5
_KEPT_ENDS = 64


class Numbers(msgspec.Struct, array_like=True):
    """What one process has counted.

    pid: the worker
    counts: what goes on counting when the worker has ended
    states: what is true of a worker that lives
    ended: the latest workers whose counts are in these, in the master's slot
    """

    pid: int
    counts: Values
    states: Values
    ended: list[int] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Numbers).decode
_decode_count = msgspec.msgpack.Decoder(tuple[str, Labels]).decode


class _Slot(NamedTuple):
    words: "memoryview[int]"
    halves: "memoryview[int]"


class SharedNumbers:
    """Made in the master, before the first fork."""

    def __init__(self) -> None:
        head_bytes = _SLOTS * _WORDS_OF_SLOT * _WORD_BYTES
        memory = memoryview(mmap.mmap(-1, head_bytes + _SLOTS * 2 * _HALF_BYTES))
        self._words = memory[:head_bytes].cast("q")
        self._halves = memory[head_bytes:]

    def publish(self, worker: int, counts: Values, states: Values) -> bool:
        """Show a worker's numbers to all. Returns whether there was room for them.

        worker: the number of its row on the board, which no other living worker has
        """
        return self._write(worker + 1, Numbers(os.getpid(), counts, states))

    def add(self, worker: int, count: bytes) -> bool:
        """Add one to a count of a worker's last publication. Returns whether there was one, and room.

        count: what ``encode_count`` returns
        """
        slot = worker + 1
        if slot >= _SLOTS:
            return False
        # Without the slices of ``_slot``: this is done at the end of each stream.
        words, word = self._words, slot * _WORDS_OF_SLOT
        version = words[word + _VERSION]
        half = version % 2
        added = words[word + _ADDED_LENGTHS + half]
        start = words[word + _LENGTHS + half] + added
        if not version or start + len(count) > _HALF_BYTES:
            return False
        start += (slot * 2 + half) * _HALF_BYTES
        self._halves[start : start + len(count)] = count
        words[word + _ADDED_LENGTHS + half] = added + len(count)
        return True

    def retire(self, worker: int) -> None:
        """Add the counts of a worker that has ended to those of its predecessors. Called in the master."""
        last = self._read(worker + 1)
        if last is None:
            return
        total = self._read(0) or Numbers(0, {}, {})
        for name, values in last.counts.items():
            sums = dict(total.counts.get(name, ()))
            for labels, value in values:
                before = sums.get(labels)
                sums[labels] = value if before is None else list(map(add, before, value))
            total.counts[name] = list(sums.items())
        total.ended = [*total.ended, last.pid][-_KEPT_ENDS:]
        self._write(0, total)
        self._slot(worker + 1).words[_VERSION] = 0

    def read_all(self) -> list[Numbers]:
        """Return the numbers of all workers, and of those that have ended, each of them once."""
        workers = [self._read(number) for number in range(1, _SLOTS)]
        # Afterwards: a worker that ends meanwhile is in both, and left out of one.
        total = self._read(0) or Numbers(0, {}, {})
        living = [numbers for numbers in workers if numbers and numbers.pid not in total.ended]
        return [total, *living]

    def _write(self, slot_number: int, numbers: Numbers) -> bool:
        data = _encode(numbers)
        if slot_number >= _SLOTS or len(data) > _HALF_BYTES:
            return False
        words, halves = self._slot(slot_number)
        version = words[_VERSION] + 1
        half = version % 2
        halves[half * _HALF_BYTES : half * _HALF_BYTES + len(data)] = data
        words[_LENGTHS + half] = len(data)
        words[_ADDED_LENGTHS + half] = 0
        words[_VERSION] = version
        return True

    def _read(self, slot_number: int) -> Numbers | None:
        if slot_number >= _SLOTS:
            return None
        words, halves = self._slot(slot_number)
        for _ in range(_TRIES):
            version = words[_VERSION]
            if not version:
                return None
            half = version % 2
            start, length = half * _HALF_BYTES, words[_LENGTHS + half]
            data = bytes(halves[start : start + length + words[_ADDED_LENGTHS + half]])
            # If it has been written meanwhile, the next one may already be on its way into this half.
            if words[_VERSION] == version:
                return _with_added(_decode(data[:length]), data[length:])
        return None

    def _slot(self, number: int) -> _Slot:
        words = self._words[number * _WORDS_OF_SLOT : (number + 1) * _WORDS_OF_SLOT]
        start = number * 2 * _HALF_BYTES
        return _Slot(words, self._halves[start : start + 2 * _HALF_BYTES])


def encode_count(name: str, labels: Labels) -> bytes:
    """Return one count for ``SharedNumbers.add``. name: the metric's; labels: their values"""
    data = _encode((name, labels))
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data


def _with_added(numbers: Numbers, added: bytes) -> Numbers:
    """Add single counts to the numbers."""
    # Most are of the same few kinds, and there may be thousands.
    times: Counter[bytes] = Counter()
    start = 0
    while start < len(added):
        end = start + _LENGTH_BYTES
        end += int.from_bytes(added[start:end], "little")
        times[added[start + _LENGTH_BYTES : end]] += 1
        start = end
    for count, amount in times.items():
        name, labels = _decode_count(count)
        values = dict(numbers.counts.get(name, ()))
        (before,) = values.get(labels, [0.0])
        values[labels] = [before + amount]
        numbers.counts[name] = list(values.items())
    return numbers


@cache
def shared_numbers() -> SharedNumbers:
    """Return the numbers of this server, which all its processes share if the master was the first to ask for them."""
    return SharedNumbers()
