"""Which slot of a cluster a command belongs to."""

from collections.abc import Sequence

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from flask_sluice.journal.redis.servers.packing import Command

SLOT_COUNT: int = REDIS_CLUSTER_HASH_SLOTS

_HAS_NO_KEY = frozenset(
    (
        *("ACL", "AUTH", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "ECHO", "FUNCTION"),
        *("HELLO", "INFO", "LATENCY", "PING", "ROLE", "SCRIPT", "TIME", "WAIT"),
    )
)
_KEYS_FOLLOW_THEIR_NUMBER = frozenset(
    ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO")
)
_KEY_FOLLOWS_SUBCOMMAND = frozenset(("MEMORY", "OBJECT", "PUBSUB", "XGROUP", "XINFO"))
"""PUBSUB has channels there. With them it goes where a connection for that key goes, and else to any server."""
_KEYS_FOLLOW_STREAMS = frozenset(("XREAD", "XREADGROUP"))


def slot_of_key(key: str | bytes | int) -> int:
    slot: int = key_slot(key if isinstance(key, bytes) else str(key).encode())
    return slot


def slot_of_commands(commands: Sequence[Command]) -> int | None:
    """Return the slot of the first key among these commands; None: they have no key."""
    for command in commands:
        key = _first_key(command)
        if key is not None:
            return slot_of_key(key)
    return None


def _first_key(command: Command) -> str | bytes | int | None:
    name, place = command[0], 1
    if name in _HAS_NO_KEY:
        return None
    if name in _KEYS_FOLLOW_THEIR_NUMBER:
        place = 3 if int(command[2]) > 0 else len(command)
    elif name in _KEY_FOLLOWS_SUBCOMMAND:
        place = 2
    elif name in _KEYS_FOLLOW_STREAMS:
        place = command.index("STREAMS") + 1
    return command[place] if place < len(command) else None
