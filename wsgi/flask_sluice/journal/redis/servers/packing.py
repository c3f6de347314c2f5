"""Commands as they are sent to Redis (RESP, "Sending commands to a Redis server")."""

from collections.abc import Iterable
from typing import TypeAlias

Command: TypeAlias = tuple[str | bytes | int, ...]


class PackedCommand(tuple[str | bytes | int, ...]):
    """A command of which there are thousands in a second: it is made in the form in which it is sent.

    To pack an event like any other command takes 1.3 µs, with redis-py 2.4, and so 0.8.
    """

    packed: bytes


_ADD_TO_STREAM = (
    b"*6\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$10\r\nNOMKSTREAM\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
)


def pack(commands: Iterable[Command]) -> bytes:
    parts: list[bytes] = []
    for command in commands:
        if isinstance(command, PackedCommand):
            parts.append(command.packed)
            continue
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument if isinstance(argument, bytes) else str(argument).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def add_to_stream(key: str, entry_id: str, field: bytes, value: bytes) -> PackedCommand:
    """Return ``XADD key NOMKSTREAM entry_id field value``."""
    key_bytes, id_bytes = key.encode(), entry_id.encode()
    command = PackedCommand(("XADD", key, "NOMKSTREAM", entry_id, field, value))
    command.packed = _ADD_TO_STREAM % (
        *(len(key_bytes), key_bytes, len(id_bytes), id_bytes),
        *(len(field), field, len(value), value),
    )
    return command
