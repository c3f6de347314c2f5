"""Owners, keys, ids and numbers that a program gives, checked: a mistake is to be told by its name, and where it is made."""

import uuid
from typing import TypeGuard

from flask_sluice.journal.protocol import About, Limits

Owner = str | int | uuid.UUID | None
"""Whose stream it is, such as the id of a user; None: it belongs to none."""


def check_is_id(stream_id: object) -> None:
    """Raise TypeError for what is not a stream's id, such as the stream itself: the stores would only say that it is unknown."""
    if not isinstance(stream_id, str):
        raise TypeError(
            f"a stream is named by its id, a str such as stream.id, got {type(stream_id).__name__}"
        )


def owner_text(owner: Owner) -> str | None:
    """Return the owner as the stores have it. Raises TypeError or ValueError for what does not tell one owner from others."""
    if owner == "":
        raise ValueError(
            "owner takes what tells one user from others, got '': give each visitor without an account an id of their own"
        )
    return None if owner is None else _text("owner", owner)


def about_of(owner: Owner, key: str | None) -> About:
    """Raises what ``owner_text`` raises, and the same for the key."""
    if key == "":
        raise ValueError("key takes a name such as 'chat:7', got ''")
    return About(owner_text(owner) or "", "" if key is None else _text("key", key))


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | uuid.UUID):
        raise TypeError(
            f"{name} takes text, an integer or a UUID, such as an id, not {type(value).__name__}"
        )
    return str(value)


def check_limits(limits: Limits, streams_per_owner: int | None) -> None:
    """Raise ValueError, with the limit's name, for one that is not such a number."""
    check_count("history_bytes", limits.history_bytes)
    check_count("total_history_bytes", limits.total_history_bytes)
    check_seconds("history_seconds", limits.history_seconds)
    check_seconds_or_0("abandon_seconds", limits.abandon_seconds, "never")
    if streams_per_owner is not None:
        check_count("streams_per_owner", streams_per_owner)


def check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} takes an integer >= 1, got {value!r}")


def check_seconds(name: str, value: object) -> None:
    if not (_is_number(value) and value > 0):
        raise ValueError(f"{name} takes a number of seconds > 0, got {value!r}")


def check_seconds_or_0(name: str, value: object, meaning_of_0: str) -> None:
    if not (_is_number(value) and value >= 0):
        raise ValueError(
            f"{name} takes a number of seconds >= 0, of which 0 means {meaning_of_0}, got {value!r}"
        )


def check_milliseconds(name: str, value: object) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} takes a number of milliseconds >= 0, got {value!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
