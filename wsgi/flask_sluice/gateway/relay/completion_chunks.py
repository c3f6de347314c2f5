"""A stream of completion chunks, taken apart."""

import json
from typing import Any

from flask_sluice.gateway.relay.response import as_json, choices_of
from flask_sluice.sse import Event, EventParser
from flask_sluice.stream.errors import ApiError

_CR = ord("\r")


class ChunkReader:
    """Takes the events of an OpenAI stream; gives each chunk as an event of its own, and says how it ended.

    is_over: ``[DONE]`` or an error has come; ``error`` says which
    """

    __slots__ = ("_last", "error", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.error: ApiError | None = None
        self._last = (b"", b"", b"")
        """Enough chunks to find the finish_reason, behind which usage may come."""

    def is_chunk(self, events: bytes) -> bool:
        """Whether ``events`` is one chunk, of one line, in which nothing is the matter; it is kept then.

        Nearly always it is: 0.4 us, where ``read`` takes 4.
        """
        # With ``find``, ``startswith`` and ``endswith``, which sort out arguments of many kinds, it was 0.7 us. ``in`` is
        # quick with a number, and slow with bytes: it makes an exception, as they are no number, and drops it.
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
        """The chunks in ``events``, which are whole: each ``data: …`` and a blank line, nothing else."""
        if self.is_chunk(events):
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
        # Not msgspec: it refuses some of what json has read.
        data = json.dumps(self.end(), separators=(",", ":"))
        return Event(data=data, event="done").encode()

    def end(self) -> dict[str, Any]:
        """What the last chunks say of the whole: ``finish_reason`` and ``usage``, None where they say nothing."""
        end: dict[str, Any] = {"finish_reason": None, "usage": None}
        for chunk in self._last:
            body = as_json(chunk[5:])
            end["usage"] = body.get("usage") or end["usage"]
            for choice in choices_of(body):
                end["finish_reason"] = choice.get("finish_reason") or end["finish_reason"]
        return end

    @staticmethod
    def _split(events: bytes) -> list[bytes]:
        pieces = events.split(b"\n\n")
        # Nothing but `data: {…}` lines, which need no parsing.
        if b"\r" not in events and all(
            piece.startswith(b"data: ") and b"\n" not in piece for piece in pieces[:-1]
        ):
            return [piece + b"\n\n" for piece in pieces[:-1]]
        return [Event(data=event.data).encode() for event in EventParser().feed(events)]
