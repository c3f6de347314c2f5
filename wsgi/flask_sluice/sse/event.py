"""One server-sent event, and its bytes."""

from collections.abc import Sequence
from typing import Any

import msgspec

_encode_json = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event to send (WHATWG HTML, section 9.2.6 "Interpreting an event stream").

    All fields are optional. An event without ``data`` carries only the fields that it has; one without any field is sent
    as nothing at all.

    data: text; each of its lines becomes a ``data:`` line. ``Event.json(value)`` sends any value
    event: the event's type; absent means ``message``
    id: what a client sends back as ``Last-Event-ID`` when it reconnects
    retry: how long a client waits before it reconnects, in milliseconds
    comment: text that the client's code does not see, or a list of such texts; each line becomes a comment line

    Raises ValueError for an ``event`` or ``id`` with CR, LF or NUL (it would end the line and begin another, or
    the client would ignore it) and for a ``retry`` that is not an integer >= 0; TypeError for a field that is not
    text. The check is made here, so that the traceback shows the code that made the event.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.data is not None and not isinstance(self.data, str):
            kind = type(self.data).__name__
            is_bytes = isinstance(self.data, bytes | bytearray | memoryview)
            advice = (
                "decode() makes text of it" if is_bytes else "Event.json(value) makes JSON of it"
            )
            raise TypeError(f"data takes text, got {kind}; {advice}")
        if isinstance(self.comment, list | tuple):
            for line in self.comment:
                _check_text("comment", line)
        elif self.comment is not None:
            _check_text("comment", self.comment)
        if self.event is not None:
            _check_single_line("event", self.event)
        if self.id is not None:
            _check_single_line("id", self.id)
        # bool is a subclass of int, and `retry: True` is not a number on the wire.
        if self.retry is not None and (type(self.retry) is not int or self.retry < 0):
            raise ValueError(f"retry takes whole milliseconds, an integer >= 0, got {self.retry!r}")

    @classmethod
    def json(
        cls,
        value: Any,
        *,
        event: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the field
        retry: int | None = None,
        comment: str | Sequence[str] | None = None,
    ) -> "Event":
        """Return an event whose data is ``value`` as JSON (compact, as msgspec encodes it).

        value: None, numbers, text, lists, dicts, dataclasses, datetimes and whatever else msgspec encodes

        Raises TypeError for a value that cannot be JSON, and what ``Event`` raises.
        """
        return Event(_encode_json(value).decode(), event, id, retry, comment)

    def encode(self) -> bytes:
        """Return the event's bytes, with the blank line; b"" for an event without any field. Lines end with LF.

        A comment and a ``retry`` take effect with their line. Alone they get no blank line, of which several clients make
        an empty event; the next event's lines follow them.

        UTF-8 has no form for a lone surrogate: it becomes U+FFFD, as in every browser's encoder.
        """
        lines = []
        if self.comment is not None:
            comments = (self.comment,) if isinstance(self.comment, str) else self.comment
            lines += [f": {line}\n" for comment in comments for line in _lines(comment)]
        if self.event is not None:
            lines.append(f"event: {self.event}\n")
        if self.id is not None:
            lines.append(f"id: {self.id}\n")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}\n")
        if self.data is not None:
            lines += [f"data: {line}\n" for line in _lines(self.data)]
        elif self.event is None and self.id is None:
            return _utf8("".join(lines))
        return _utf8("".join((*lines, "\n")))


class ReceivedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as a client sees it: the parser's output.

    ``data`` and ``event`` are always set ("message" where the stream named no type), ``id`` is the last event id
    as of this event ("" at first), ``retry`` is set if this event's block carried one.
    """

    data: str = ""
    event: str = "message"
    id: str = ""
    retry: int | None = None

    def encode(self) -> bytes:
        """Return the event's bytes. Raises ValueError for a field that ``Event`` refuses."""
        return Event(self.data, self.event, self.id, self.retry).encode()


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{field} takes text, got {type(value).__name__}")


def _check_single_line(field: str, value: str) -> None:
    _check_text(field, value)
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError(f"{field} must not contain CR, LF or NUL, got {value!r}")


def _lines(text: str) -> list[str]:
    # Only CRLF, CR and LF end a line here; str.splitlines() would also cut at U+2028, FF and others.
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Through UTF-16, so that two halves of a pair become the character that they mean.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
