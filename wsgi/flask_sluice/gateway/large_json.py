"""How much work reading JSON would be, told before it is done.

An object of two bytes takes 64 in memory: 10 MiB of them would hold the event loop up for half a second.
"""

from typing import Any

import msgspec

_MANY_VALUES = 200_000
"""Takes some 30 ms to read. A text of 10 MiB has fewer commas."""
_SLICE_BYTES = 256 * 1024


def has_many_values(data: bytes) -> bool:
    """Return whether there may be too many values in this JSON for reading them in one go.

    It counts commas, also those in texts. Without a comma between them values can only be nested, which decoders limit.
    """
    count = 0
    for begin in range(0, len(data), _SLICE_BYTES):
        end = begin + _SLICE_BYTES
        count += data.count(b",", begin, end)
        if count > _MANY_VALUES:
            return True
    return False


def small_value(raw: msgspec.Raw, max_bytes: int) -> Any:
    """Return the value, None where it takes more than ``max_bytes`` or cannot be read."""
    data = memoryview(raw)
    if data.nbytes > max_bytes:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
