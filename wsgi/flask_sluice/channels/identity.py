"""Who reads channels, as the app says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from flask_sluice.channels.events import is_unicode

Owner: TypeAlias = str | int | None
"""Whose reader it is, such as the id of a user; None: not said."""
Details: TypeAlias = Mapping[str, str | int]

_OWNER = "owner"


@dataclass(frozen=True, slots=True, eq=False)
class ReaderIdentity:
    """One response that reads channels. Two of them are never the same, though they may look so.

    owner: None: not said
    details: what else the app knows, for ``kick`` and presence, such as the id of a session
    """

    owner: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def has(self, where: Mapping[str, str]) -> bool:
        """Whether the owner and the details have these values."""
        return all(
            (self.owner if name == _OWNER else self.details.get(name)) == value
            for name, value in where.items()
        )


def identity_of(owner: Owner, details: Details | None) -> ReaderIdentity:
    """Raises TypeError or ValueError for what cannot be an owner or details."""
    named = _texts("details", details or {})
    if _OWNER in named:
        raise ValueError("details has no 'owner'; it is an argument of its own")
    return ReaderIdentity(None if owner is None else _text("owner", owner), named)


def where_of(where: Details | str | int | None) -> dict[str, str]:
    """Return which readers are meant: those with these values, those of this owner, or all for None."""
    if where is None:
        return {}
    if isinstance(where, str | int):
        return {_OWNER: _text("where", where)}
    if not where:
        raise ValueError("where={} says nothing of the readers; None means all of them")
    return _texts("where", where)


def _texts(name: str, values: object) -> dict[str, str]:
    if not isinstance(values, Mapping):
        raise TypeError(f"{name} takes a dict of text, got {type(values).__name__}")
    for key in values:
        if not isinstance(key, str):
            raise TypeError(f"the keys of {name} are text, got {key!r:.50}")
    return {
        _text(f"a key of {name}", key): _text(f"{name}[{key!r}]", value)
        for key, value in values.items()
    }


def _text(name: str, value: object) -> str:
    """Return text, or a number, as text: an app has a user's id in either form."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"{name} takes text or an integer, got {type(value).__name__}")
    text = str(value)
    # Redis, and its JSON, would refuse half of a surrogate pair, and with it all that is written at the same time.
    if not is_unicode(text):
        raise ValueError(f"{name} takes Unicode text, got {value!r:.50}")
    return text
