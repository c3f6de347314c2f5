"""The chunks of a streamed completion: what is in them, and how the stream ends."""

import json
from typing import Any, NamedTuple

from flask_sluice.sse import Event, EventParser
from flask_sluice.stream.errors import ApiError

_DONE = (b"data: [DONE]", b"data:[DONE]")
_CR = ord("\r")


def as_json(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in ``text``, an empty one for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def ends_with_done(events: bytes) -> bool:
    """Return whether the last of these events is ``[DONE]``, without parsing them."""
    return events[-24:].rstrip(b"\r\n").endswith(_DONE)


class CompletionEnd(NamedTuple):
    """How the last events of a completion's stream end it.

    is_whole: whether the stream may end behind them
    error: what the upstream says has failed; it has told the client already
    """

    is_whole: bool
    error: object = None


def end_of_completion(events: bytes) -> CompletionEnd:
    """Look for what ends a stream: ``[DONE]``, an error, or a ``finish_reason``.

    events: the last ones, whole: enough to reach the ``finish_reason``, behind which usage may come
    """
    if ends_with_done(events):
        return CompletionEnd(is_whole=True)
    for event in EventParser().feed(events):
        if event.data == "[DONE]":
            return CompletionEnd(is_whole=True)
        chunk = as_json(event.data)
        if error := chunk.get("error"):
            return CompletionEnd(is_whole=True, error=error)
        if any(choice.get("finish_reason") for choice in _choices_of(chunk)):
            return CompletionEnd(is_whole=True)
    return CompletionEnd(is_whole=False)


class ChunkReader:
    """Takes the events of an OpenAI stream; gives each chunk as an event of its own, and says how the stream ended.

    is_over: whether ``[DONE]`` or an error has come; ``error`` says which
    """

    __slots__ = ("_last", "error", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.error: ApiError | None = None
        self._last = (b"", b"", b"")
        """Enough chunks to find the finish_reason, behind which usage may come."""

    def take_plain_chunk(self, events: bytes) -> bool:
        """Remember ``events`` if it is one plain chunk of one line, without an error; return whether it is.

        Nearly every event is such a chunk. This takes a tenth of the time of parsing it.
        """
        # ``in`` takes longer with bytes: it raises an exception inside, since they are not a number, and drops it.
        line, _, rest = events.partition(b"\n")
        if (
            rest == b"\n"
            and line[:7] == b"data: {"
            and _CR not in line
            and not line.rpartition(b'"error"')[1]
            and not self.is_over
        ):
            self._last = (self._last[1], self._last[2], events)
            return True
        return False

    def read(self, events: bytes) -> list[bytes]:
        """Return the chunks in ``events``, which are whole: each as ``data: …`` and a blank line."""
        if self.take_plain_chunk(events):
            return [events]
        chunks = []
        for chunk in self._split(events):
            if self.is_over:
                break
            if chunk.startswith(b"data: [DONE]"):
                self.is_over = True
            elif b'"error"' in chunk and (error := as_json(chunk[5:]).get("error")):
                self.is_over = True
                message = error.get("message") if isinstance(error, dict) else error
                self.error = ApiError(502, "upstream_error", str(message))
            else:
                chunks.append(chunk)
                self._last = (self._last[1], self._last[2], chunk)
        return chunks

    @property
    def has_finish_reason(self) -> bool:
        return self.end()["finish_reason"] is not None

    def terminal_event(self) -> bytes:
        """Return ``event: done`` with the finish_reason and the usage, encoded."""
        # msgspec refuses some of the values that json has read.
        data = json.dumps(self.end(), separators=(",", ":"))
        return Event(data=data, event="done").encode()

    def end(self) -> dict[str, Any]:
        """Return the ``finish_reason`` and ``usage`` that the last chunks name, None for each that they do not."""
        end: dict[str, Any] = {"finish_reason": None, "usage": None}
        for chunk in self._last:
            body = as_json(chunk[5:])
            end["usage"] = body.get("usage") or end["usage"]
            for choice in _choices_of(body):
                end["finish_reason"] = choice.get("finish_reason") or end["finish_reason"]
        return end

    @staticmethod
    def _split(events: bytes) -> list[bytes]:
        pieces = events.split(b"\n\n")
        # Lines `data: {…}` and nothing else need no parsing.
        if b"\r" not in events and all(
            piece.startswith(b"data: ") and b"\n" not in piece for piece in pieces[:-1]
        ):
            return [piece + b"\n\n" for piece in pieces[:-1]]
        return [Event(data=event.data).encode() for event in EventParser().feed(events)]


def _choices_of(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a chunk's choices, without those of another form."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]
