"""One server-sent event, and its bytes."""

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event to be sent.

    All fields are optional; one without ``data`` carries only what it has (a comment, a ``retry``).

    data: text; each of its lines becomes a ``data:`` line
    event: the event's type; absent means ``message``
    id: what a client sends back as ``Last-Event-ID`` when it reconnects
    retry: how long a client waits before it reconnects, in milliseconds
    comment: text that no client's code sees; each of its lines becomes a comment line

    Raises ValueError for an ``event`` or ``id`` with CR, LF or NUL (it would end the line and begin
    another, or be ignored by the client) and for a ``retry`` that is not an integer >= 0; TypeError
    for text that is none. Checked here, so that the traceback shows who made the event.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.data is not None and not isinstance(self.data, str):
            raise TypeError(
                f"data takes text, got {type(self.data).__name__}; Annotated(data=...) makes JSON of it"
            )
        if self.comment is not None:
            _check_text("comment", self.comment)
        if self.event is not None:
            _check_single_line("event", self.event)
        if self.id is not None:
            _check_single_line("id", self.id)
        # bool is a subclass of int, and `retry: True` is not a number on the wire.
        if self.retry is not None and (type(self.retry) is not int or self.retry < 0):
            raise ValueError(f"retry takes whole milliseconds, an integer >= 0, got {self.retry!r}")

    def encode(self) -> bytes:
        """The event's bytes, blank line included; lines end with LF.

        UTF-8 has no form for a lone surrogate: it becomes U+FFFD, as in every browser's encoder.
        """
        lines = []
        if self.comment is not None:
            lines += [f": {line}\n" for line in _lines(self.comment)]
        if self.event is not None:
            lines.append(f"event: {self.event}\n")
        if self.id is not None:
            lines.append(f"id: {self.id}\n")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}\n")
        if self.data is not None:
            lines += [f"data: {line}\n" for line in _lines(self.data)]
        lines.append("\n")
        return _utf8("".join(lines))


class ReceivedEvent(Event, frozen=True, gc=False):
    """An event as a client sees it: the parser's output.

    ``data`` and ``event`` are always set ("message" where the stream named none), ``id`` is the last
    event id as of this event ("" at first), ``retry`` is set if this event's block carried one.
    """

    data: str = ""
    event: str = "message"
    id: str = ""

    def __post_init__(self) -> None:
        # A type may carry NUL on the wire (the standard ignores it in ids only), so nothing is checked.
        pass

    def encode(self) -> bytes:
        """The event's bytes; raises ValueError where ``Event`` refuses what a stranger had sent."""
        return Event(self.data, self.event, self.id, self.retry, self.comment).encode()


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
