"""Decodes bodies of each content type into events. No I/O."""

import contextlib
import re
from collections.abc import Callable
from typing import Protocol

import msgspec

from flask_sluice.client.event import BOM, JSON_ID, NOT_JSON
from flask_sluice.sse import BLANK_LINE_ENDS, EventParser, EventTooLargeError, ReceivedEvent

_NDJSON = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/stream+json",  # Spring sends one document a line, although the suffix means a single one
    }
)
_JSON = re.compile(r"(application|text)/json|[^/]+/[^/]+\+json")
_HEADER_VALUE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
"""One value of a header that was sent several times. A comma inside quotes belongs to the value."""
_ESSENCE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+", re.ASCII)
_COMMENT_LINES = re.compile(rb"(?:(?::[^\r\n]*)?[\r\n])+")
# An event without its blank line, whose only data is [DONE] or may be a JSON object.
_LAST_EVENT = re.compile(
    rb"(?:(?:event|id|retry)?:[^\r\n]*[\r\n]{1,2})*data: ?(\[DONE\]|\{[^\r\n]*\})[\r\n]*"
)


class Decoder(Protocol):
    """Decodes a body. ``feed`` and ``finish`` raise EventTooLargeError."""

    @property
    def last_event_id(self) -> str: ...

    @property
    def retry(self) -> int | None: ...

    def feed(self, data: bytes) -> list[ReceivedEvent]: ...

    def finish(self) -> list[ReceivedEvent]:
        """Return the events that are complete only because the body has ended properly."""

    @property
    def is_complete(self) -> bool:
        """Whether the body itself shows that it is complete."""

    @property
    def unfinished(self) -> bytes:
        """The bytes of an incomplete event."""


class EventStreamDecoder:
    """Decodes ``text/event-stream``.

    The arguments are those of EventParser, but ``on_comment`` gets the text without the space after the colon.
    """

    is_complete = False

    def __init__(
        self, last_event_id: str, max_event_bytes: int, on_comment: Callable[[str], object] | None
    ) -> None:
        self._on_comment = on_comment
        self._parser = EventParser(
            last_event_id, max_event_bytes, None if on_comment is None else self._tell_comment
        )
        self._behind_last_event = bytearray()

    @property
    def last_event_id(self) -> str:
        return self._parser.last_event_id

    @property
    def retry(self) -> int | None:
        return self._parser.retry

    def feed(self, data: bytes) -> list[ReceivedEvent]:
        if data.endswith(
            b"\n\n"
        ):  # Nearly every read returns whole events, as the server wrote them.
            self._behind_last_event.clear()
        else:
            self._keep(data)
        return self._parser.feed(data)

    def finish(self) -> list[ReceivedEvent]:
        # Some servers end the body without the last blank line. ``[DONE]`` and a JSON object are whole nevertheless,
        # since no part of a longer one looks so; an EventSource would drop them.
        last = _LAST_EVENT.fullmatch(self.unfinished)
        if last is None or not (last[1] == b"[DONE]" or _is_json(last[1])):
            return []
        self._behind_last_event.clear()
        return self._parser.feed(b"\n\n")

    @property
    def unfinished(self) -> bytes:
        # Comments, ``retry`` lines and blank lines are not parts of an event. Some servers send no blank line after a comment.
        rest = bytes(self._behind_last_event).lstrip(b"\r\n")
        if all(
            not line or line.startswith((b":", b"retry:")) for line in re.split(b"[\r\n]", rest)
        ):
            return b""
        return rest

    def _tell_comment(self, text: str) -> None:
        assert self._on_comment is not None
        self._on_comment(text.removeprefix(" "))

    def _keep(self, data: bytes) -> None:
        kept = self._behind_last_event
        searched_from = max(len(kept) - 2, 0)
        kept += data
        marks = BLANK_LINE_ENDS if b"\r" in data else BLANK_LINE_ENDS[:1]
        places = [(kept.rfind(mark, searched_from), len(mark)) for mark in marks]
        del kept[: max((place + size for place, size in places if place >= 0), default=0)]
        # Keep-alives may come for days without a blank line.
        if comments := _COMMENT_LINES.match(kept):
            del kept[: comments.end()]


class JsonDecoder:
    """Decodes one JSON document into one event, at the end of the body."""

    last_event_id = ""
    retry = None

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._body = bytearray()
        self.is_complete = False

    def feed(self, data: bytes) -> list[ReceivedEvent]:
        self._body += data
        if len(self._body) > self._max_event_bytes:
            raise EventTooLargeError(self._max_event_bytes)
        return []

    def finish(self) -> list[ReceivedEvent]:
        body = bytes(self._body).removeprefix(BOM)
        self.is_complete = _is_json(body)
        return (
            [ReceivedEvent(body.decode("utf-8", "replace"), id=JSON_ID)] if self.is_complete else []
        )

    @property
    def unfinished(self) -> bytes:
        return b"" if self.is_complete else bytes(self._body)


class NdjsonDecoder:
    """Decodes one JSON document a line into one event each.

    A line with ``"done": true``, with which Ollama ends a stream, becomes an event of type "done".
    """

    is_complete = False
    last_event_id = ""
    retry = None

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()

    def feed(self, data: bytes) -> list[ReceivedEvent]:
        self._line += data
        if b"\n" not in data:
            lines = []
        else:
            *lines, rest = self._line.split(b"\n")
            self._line = rest
        if len(self._line) > self._max_event_bytes:
            raise EventTooLargeError(self._max_event_bytes)
        return [_line_event(line) for line in lines if line.strip()]

    def finish(self) -> list[ReceivedEvent]:
        line = self._line
        if not _is_json(line):
            return []
        # Many servers send no line end after the last line.
        self._line = bytearray()
        return [_line_event(line)]

    @property
    def unfinished(self) -> bytes:
        return bytes(self._line) if self._line.strip() else b""


def essence_of(content_type: str) -> str:
    """Return the content type without its parameters, in lower case.

    Of several, which a header that was sent twice has, the last valid one counts, as in browsers (Fetch standard, "extract
    a MIME type").
    """
    essences: list[str] = [
        value.partition(";")[0].strip().lower() for value in _HEADER_VALUE.findall(content_type)
    ]
    valid = [each for each in essences if _ESSENCE.fullmatch(each) and each != "*/*"]
    return (valid or essences or [""])[-1]


def decoder_for(
    kind: str,
    last_event_id: str,
    max_event_bytes: int,
    on_comment: Callable[[str], object] | None,
) -> Decoder | None:
    """Return the decoder of a content type, or None if it is neither events nor JSON.

    kind: the content type in lower case, without parameters

    The other arguments are those of EventStreamDecoder.
    """
    if kind == "text/event-stream":
        return EventStreamDecoder(last_event_id, max_event_bytes, on_comment)
    if kind in _NDJSON:
        return NdjsonDecoder(max_event_bytes)
    return JsonDecoder(max_event_bytes) if _JSON.fullmatch(kind) else None


def _line_event(line: bytearray) -> ReceivedEvent:
    event = "message"
    if b'"done"' in line:
        with contextlib.suppress(*NOT_JSON):
            document = msgspec.json.decode(line)
            if isinstance(document, dict) and document.get("done") is True:
                event = "done"
    return ReceivedEvent(line.strip().decode("utf-8", "replace"), event)


def _is_json(data: bytes | bytearray) -> bool:
    try:
        msgspec.json.decode(data)
    except NOT_JSON:
        return False
    return True
