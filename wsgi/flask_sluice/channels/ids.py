"""The ids of events: how far a reader is in each of its channels.

An event's id is ``TAG:POSITION``. The tag stands for the channel, and the position is that of the event in it, such as
``1764516731123-417``: milliseconds since 1970 and microseconds, or a little later where events come faster. A reader of several channels gets
the positions in all of them, separated by commas, since there is no order between the events of two channels.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from flask_sluice.stream.errors import ApiError

Position: TypeAlias = tuple[int, int]

_TAG_LENGTH = 8
_ID_START = b"id: "
_POSITION_AT = len(_ID_START) + _TAG_LENGTH + 1
# Redis has 64 bits for each of the two numbers, and Lua counts exactly up to 15 digits.
_ONE_ID = r"([A-Za-z0-9_-]{8}):(\d{1,15})-(\d{1,15})"
_IDS = re.compile(rf"{_ONE_ID}(?: ?, ?{_ONE_ID})*", re.ASCII)
_EACH_ID = re.compile(_ONE_ID, re.ASCII)


class InvalidChannelIdError(ApiError):
    """The client sent a last event id that no channel has given out."""

    def __init__(self) -> None:
        super().__init__(
            400,
            "invalid_request",
            "Last-Event-ID takes the id of an event of these channels, such as kDU2xq0b:1764516731123-417",
            param="last_event_id",
        )


@lru_cache(maxsize=1024)
def tag_of(name: str) -> bytes:
    """Return what stands for a channel in ids: names may be long, and may have characters that a header cannot."""
    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:6])


def position_from(text: bytes) -> Position:
    """Return the position that is written so: ``1764516731123-417``."""
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number)


def position_text(position: Position) -> bytes:
    return b"%d-%d" % position


def id_text(name: str, position: Position) -> str:
    """Return the id of an event, or of a place between two."""
    return f"{tag_of(name).decode()}:{position_text(position).decode()}"


def with_id(tag: bytes, position: bytes, event: bytes) -> bytes:
    """Return the event with its id, as it is sent. event: with its blank line"""
    return b"id: %b:%b\n%b" % (tag, position, event)


def without_id(event: bytes) -> bytes:
    """Return what ``with_id`` was given."""
    return event[event.index(b"\n") + 1 :]


def position_of(event: bytes) -> Position:
    """Return the position in the id of an event that ``with_id`` has made."""
    return position_from(event[_POSITION_AT : event.index(b"\n")])


def id_of(event: bytes) -> bytes:
    """Return the id of an event that ``with_id`` has made."""
    return event[len(_ID_START) : event.index(b"\n")]


def with_ids(ids: Iterable[bytes], event: bytes) -> bytes:
    """Return the event with these ids in place of its own."""
    return b"id: %b%b" % (b",".join(ids), event[event.index(b"\n") :])


def positions_in(last_event_id: str) -> dict[bytes, Position]:
    """Return the positions that a client has, by the tags of their channels; none for an empty text.

    Raises InvalidChannelIdError for anything that is not an id.
    """
    if not last_event_id:
        return {}
    if not _IDS.fullmatch(last_event_id):
        raise InvalidChannelIdError
    return {
        match[1].encode(): (int(match[2]), int(match[3]))
        for match in _EACH_ID.finditer(last_event_id)
    }


def ids_of(names: Iterable[str], last_event_id: str) -> str:
    """Return what an id says of these channels. Raises InvalidChannelIdError."""
    positions = positions_in(last_event_id)
    return ",".join(
        id_text(name, position)
        for name in names
        if (position := positions.get(tag_of(name))) is not None
    )
