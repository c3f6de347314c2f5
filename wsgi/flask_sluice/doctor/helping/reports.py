"""What a server has seen of single streams, in memory that its processes share.

Made before the first fork (gunicorn's ``preload_app``, or our gateway's master), all workers read it: the report may be asked
of another worker than the one that had the stream. Each process writes to an area of its own, in which the oldest report is
forgotten for the next one.
"""

import itertools
import json
import mmap
import os
import re
import time
from functools import cache
from typing import Any

_AREAS = 256
_REPORTS_OF_AREA = 64
_FIELDS = 7
_ID_HIGH, _ID_LOW, _OPENED, _LAST_ITEM, _ITEMS, _CLOSED, _OUTCOME = range(_FIELDS)
_FIELD_BYTES = 8
_ID_DIGITS = 32
_ID = re.compile(r"[0-9a-f]{32}")

OPEN, COMPLETE, LEFT, FAILED = "open", "complete", "left", "error"
_OUTCOMES = (OPEN, COMPLETE, LEFT, FAILED)


class Report:
    """The report of one stream, while it is written.

    outcome: "open"; "complete": the app came to the end of its body; "left": the server closed it before, since the reader had
        left; "error": the app failed
    """

    __slots__ = ("_words", "id")

    def __init__(self, id_: str, words: "memoryview[int]") -> None:
        self.id = id_
        self._words = words
        # The id comes last, so that a reader finds no report of which the fields are another's.
        words[_ID_LOW] = words[_ID_HIGH] = 0
        words[_LAST_ITEM] = words[_ITEMS] = words[_CLOSED] = words[_OUTCOME] = 0
        words[_OPENED] = _now_us()
        words[_ID_LOW], words[_ID_HIGH] = _id_words(id_)

    @property
    def is_mine(self) -> bool:
        """Whether no later report has taken the place of this one."""
        return (self._words[_ID_LOW], self._words[_ID_HIGH]) == _id_words(self.id)

    def add_item(self) -> None:
        """The app has given one more item of its body."""
        if self.is_mine:
            self._words[_LAST_ITEM] = _now_us()
            self._words[_ITEMS] += 1

    def close(self, outcome: str, items: int | None = None) -> None:
        """The stream is over. Only the first call counts. items: how many there were, if they were not counted one by one"""
        words = self._words
        if not self.is_mine or words[_CLOSED]:
            return
        if items is not None:
            words[_ITEMS] = items
        words[_OUTCOME] = _OUTCOMES.index(outcome)
        words[_CLOSED] = _now_us()


class Reports:
    """The latest reports of a server."""

    def __init__(self) -> None:
        size = _AREAS * _REPORTS_OF_AREA * _FIELDS * _FIELD_BYTES
        # Memory is taken for what is written only.
        self._words = memoryview(mmap.mmap(-1, size)).cast("q")
        self._numbers = itertools.count()

    def open(self, asked_id: str) -> Report:
        """Begin the report of a stream. asked_id: the header's value; what is not an id gets a new one."""
        id_ = asked_id if _is_id(asked_id) else os.urandom(_ID_DIGITS // 2).hex()
        area = os.getpid() % _AREAS
        number = area * _REPORTS_OF_AREA + next(self._numbers) % _REPORTS_OF_AREA
        return Report(id_, self._words[number * _FIELDS : (number + 1) * _FIELDS])

    def document(self, id_: str) -> dict[str, Any] | None:
        """Return the report as it is now, for JSON; None if it is unknown or forgotten.

        All times are Unix seconds of the server's clock; ``now`` tells how that differs from the reader's.
        """
        if not _is_id(id_):
            return None
        low, high = _id_words(id_)
        lows = self._words[_ID_LOW::_FIELDS].tolist()
        number = -1
        while low in lows[number + 1 :]:
            number = lows.index(low, number + 1)
            words = self._words[number * _FIELDS : (number + 1) * _FIELDS].tolist()
            if words[_ID_HIGH] == high and words[_ID_LOW] == low:
                return _document(words)
        return None

    def answer(self, id_: str) -> tuple[int, bytes]:
        """Return the status and the JSON of the answer to a request for a report."""
        document = self.document(id_)
        if document is None:
            return 404, b'{"error": "this stream is not known here, or forgotten"}'
        return 200, json.dumps(document).encode()


def _is_id(text: str) -> bool:
    # All zeros are an empty place.
    return bool(_ID.fullmatch(text)) and int(text, 16) != 0


def _document(words: list[int]) -> dict[str, Any]:
    return {
        "opened_at": _seconds(words[_OPENED]),
        "last_item_at": _seconds(words[_LAST_ITEM]),
        "items": words[_ITEMS],
        "closed_at": _seconds(words[_CLOSED]),
        "outcome": _OUTCOMES[words[_OUTCOME]],
        "now": _seconds(_now_us()),
    }


def _id_words(id_: str) -> tuple[int, int]:
    return (
        int.from_bytes(bytes.fromhex(id_[16:]), "little", signed=True),
        int.from_bytes(bytes.fromhex(id_[:16]), "little", signed=True),
    )


def _seconds(microseconds: int) -> float | None:
    return microseconds / 1e6 if microseconds else None


def _now_us() -> int:
    return time.time_ns() // 1000


@cache
def server_reports() -> Reports:
    """Return the reports of this server, which all its processes share if the master was the first to ask for them."""
    return Reports()
