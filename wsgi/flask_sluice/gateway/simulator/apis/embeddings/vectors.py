"""Vectors of texts: of unit length, the same for the same text, and similar for texts with similar words.

Each word, and each three letters of one, is a feature. A feature adds to one place in each octave of the vector (0, 1, 2-3,
4-7, 8-15, ...), by its hash, so that the first part of a vector is, once of unit length, a vector of the same text too: that is
what ``dimensions`` asks for.
"""

import math
import re
import struct
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice

_OCTAVES = 14
MAX_DIMENSIONS = 2 ** (_OCTAVES - 1)
_HASH = struct.Struct(f"<{_OCTAVES}H")

_WORD = re.compile(r"\w+")
_READ_CHARACTERS = 64 * 1024
_MAX_FEATURES = 2000
"""Of a long text the first; each takes some 3 us."""
_MAX_LETTERS = 24
"""Of a word that are looked at in threes."""
_SHORT_WORD_LETTERS = 3
_SHORT_WORD_WEIGHT = 0.2
"""Most of them are in all texts."""
_LETTERS_WEIGHT = 0.25

_PLACES = [(1, 0, 1.0)] + [(2**n, 2**n - 1, math.sqrt(2**n)) for n in range(_OCTAVES - 1)]


def vector_of(text: str | Sequence[int], dimensions: int) -> "array[float]":
    """Return the vector of a text, or of token ids, as numbers of 32 bits.

    dimensions: at most ``MAX_DIMENSIONS``
    """
    vector = [0.0] * dimensions
    for feature, weight in islice(_features(text), _MAX_FEATURES):
        numbers = _HASH.unpack(blake2b(feature.encode(), digest_size=_HASH.size).digest())
        for (size, start, share), number in zip(_PLACES, numbers, strict=True):
            if start >= dimensions:
                break
            place = start + (number >> 1) % size
            if place < dimensions:
                vector[place] += weight * share if number & 1 else -weight * share
    length = math.sqrt(sum(number * number for number in vector))
    if not length:
        # The features have cancelled each other out, as they may where there are few dimensions.
        vector[0] = length = 1.0
    return array("f", [number / length for number in vector])


def _features(text: str | Sequence[int]) -> Iterator[tuple[str, float]]:
    """Yield the features with their weights, the words before parts of them."""
    weights = _words(text)
    if not weights:
        # It has signs alone.
        yield f"text {text}", 1.0
    yield from weights.items()
    for word, weight in weights.items():
        letters = f"<{word[:_MAX_LETTERS]}>"
        for begin in range(len(letters) - 2):
            yield f"letters {letters[begin : begin + 3]}", weight * _LETTERS_WEIGHT


def _words(text: str | Sequence[int]) -> dict[str, float]:
    """Return the weight of each word."""
    if isinstance(text, str):
        counts = Counter(_WORD.findall(text[:_READ_CHARACTERS].casefold()))
    else:
        counts = Counter(f"token{number}" for number in text)
    return {
        word: (1 + math.log(count))
        * (_SHORT_WORD_WEIGHT if len(word) <= _SHORT_WORD_LETTERS else 1)
        for word, count in islice(counts.items(), _MAX_FEATURES)
    }
