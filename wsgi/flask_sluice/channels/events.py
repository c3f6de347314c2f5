"""What an app may publish, and the names that its channels may have."""

import re
from typing import Any

from flask_sluice.sse import Event

_MAX_NAME_LENGTH = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_name(name: object) -> None:
    """Raise TypeError or ValueError, which say what to do, for what cannot be the name of a channel."""
    if not isinstance(name, str):
        raise TypeError(
            f"the name of a channel is text, got {type(name).__name__} {name!r:.50}; str() makes text of it"
        )
    if not name:
        raise ValueError("the name of a channel must not be empty")
    if len(name) > _MAX_NAME_LENGTH:
        raise ValueError(
            f"the name of a channel has at most {_MAX_NAME_LENGTH} characters, got {len(name)}; "
            "a hash makes a short name of a long one"
        )
    if _CONTROL.search(name):
        raise ValueError(f"the name of a channel has no control characters, got {name!r}")
    if not is_unicode(name):
        raise ValueError(f"the name of a channel is Unicode text, got {name!r}")


def is_unicode(text: str) -> bool:
    """Return whether no character is half of a surrogate pair, which UTF-8 does not have."""
    return _SURROGATE.search(text) is None


def encode_event(data: object, event: str | None) -> bytes:
    """Return the bytes of an event without its id.

    data: an Event, or anything that JSON can say
    event: the event's type

    Raises TypeError or ValueError for what cannot be published.
    """
    if isinstance(data, Event):
        return _encode_own(data, event)
    if isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(
            f"publish takes text or JSON, got {type(data).__name__}; decode() makes text of it"
        )
    return _json_event(data, event).encode()


def _json_event(data: Any, event: str | None) -> Event:
    try:
        return Event.json(data, event=event)
    except TypeError as error:
        raise TypeError(f"publish takes what JSON can say: {error}") from None


def _encode_own(event: Event, type_: str | None) -> bytes:
    if type_ is not None:
        raise TypeError("the Event has its type itself: publish(name, Event(data=…, event=…))")
    if event.id is not None:
        raise ValueError(
            "the id of a published event is its position in the channel, so that readers can go on after it; "
            "put an id of your own into the data"
        )
    if event.data is None:
        raise ValueError("an Event without data reaches no reader; publish one with data")
    return event.encode()
