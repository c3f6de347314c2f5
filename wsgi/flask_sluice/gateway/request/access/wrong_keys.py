"""Limits how many wrong keys one address may try."""

import math
import time
from typing import Any

from flask_sluice.stream.errors import ApiError

MAX_WRONG_KEYS = 20
WINDOW_SECONDS = 60.0
_MAX_ADDRESSES = 10_000


class WrongKeys:
    """Counts wrong keys by address, in this worker, and remembers which keys have been right from where.

    While an address is blocked, a key that has been right from there before is still accepted: one client's guesses do not
    lock out the others behind the same proxy. Any other key is refused without a word on whether it is right, because else
    guessing could go on. Both tables are bounded; the oldest entry gives way.
    """

    def __init__(self) -> None:
        self._counts: dict[str, tuple[float, int]] = {}
        """When the window of an address began, and its wrong keys since then; in the order of the windows."""
        self._known: dict[tuple[str, int], None] = {}

    def check(self, address: str, key_number: int | None) -> None:
        """Count a key that was tried. Raises ApiError 429, with the time to wait, where too many were wrong.

        address: "" if the server does not know it; then nothing is counted, since all clients would be one
        key_number: which of the keys it is, None for a wrong one
        """
        if not address or (key_number is not None and (address, key_number) in self._known):
            return
        now = time.monotonic()
        start, count = self._counts.get(address, (now, 0))
        if now >= start + WINDOW_SECONDS:
            del self._counts[address]
            start, count = now, 0
        if count >= MAX_WRONG_KEYS:
            raise _too_many(start + WINDOW_SECONDS - now)
        if key_number is None:
            _make_room(self._counts, address)
            self._counts[address] = start, count + 1
        else:
            _make_room(self._known, (address, key_number))
            self._known[address, key_number] = None


def _make_room(table: dict[Any, Any], entry: object) -> None:
    if entry not in table and len(table) >= _MAX_ADDRESSES:
        del table[next(iter(table))]


def _too_many(wait_seconds: float) -> ApiError:
    seconds = math.ceil(wait_seconds)
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"too many wrong API keys came from this address; the next is looked at in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )
