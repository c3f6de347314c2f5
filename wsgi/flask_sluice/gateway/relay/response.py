"""An upstream's answer, read from its connection without blocking, in whole events."""

import json
import re
import ssl
from collections.abc import Callable
from typing import Any

from flask_sluice.gateway.relay.bulk_chunks import take_one_line_events
from flask_sluice.gateway.relay.http1_parser import Body, ResponseHead, whole_chunk
from flask_sluice.gateway.relay.upstream import Connection, Upstream
from flask_sluice.sse import EventFramer, EventParser, EventTooLargeError
from flask_sluice.stream.errors import ApiError

READ_BYTES = 65536
_MANY_EVENTS_BYTES = 2048
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError)

_DONE = (b"data: [DONE]", b"data:[DONE]")


class UpstreamResponse:
    """The ``Source`` of a relayed answer.

    is_completion: whether its end can be judged: a completion's stream ends with ``[DONE]``, or at least has
        a ``finish_reason``
    on_failure: called with the reason when the upstream itself reports a failure in mid-stream
    head: until it is dropped
    """

    __slots__ = (
        "_body",
        "_framer",
        "_is_at_boundary",
        "_is_completion",
        "_keeps_connection",
        "_last",
        "_on_failure",
        "_ready",
        "_receive_now",
        "_upstream",
        "connection",
        "error",
        "event_count",
        "head",
        "is_compressed",
        "is_event_stream",
        "is_finished",
        "is_json",
    )

    def __init__(
        self,
        head: ResponseHead,
        body: Body,
        upstream: Upstream,
        connection: Connection,
        *,
        is_completion: bool,
        on_failure: Callable[[str], None],
    ) -> None:
        content_type = head.values.get("content-type", "").lower()
        self.head = head
        self.connection = connection
        # One that is compressed, although not asked to be, has no events that could be told apart.
        encoding = head.values.get("content-encoding") or "identity"
        self.is_compressed = encoding.lower() != "identity"
        self.is_event_stream = (
            head.status == 200
            and content_type.startswith("text/event-stream")
            and not self.is_compressed
        )
        self.is_json = re.match(r"application/([\w.-]+\+)?json\b", content_type) is not None
        self.is_finished = False
        self.error: ApiError | None = None
        self.event_count = 0
        self._body = body
        self._upstream = upstream
        self._is_completion = is_completion
        self._keeps_connection = head.keeps_connection
        self._on_failure = on_failure
        self._framer = EventFramer() if self.is_event_stream else None
        self._ready = b""
        self._last = (b"", b"", b"")
        """Enough batches to find the finish_reason behind which usage came."""
        self._receive_now = connection.receive_now
        self._is_at_boundary = self.is_event_stream and body.is_at_chunk
        """Of a chunk and of an event alike."""
        if body.is_complete:
            self._finish()

    def fileno(self) -> int:
        return self.connection.sock.fileno()

    @property
    def has_events(self) -> bool:
        return bool(self._ready)

    def peek(self) -> bytes:
        """What ``take`` would give without reading."""
        return self._ready

    def take(self) -> bytes:
        if self._ready or self.is_finished:
            ready, self._ready = self._ready, b""
            return ready
        try:
            data = self._receive_now(READ_BYTES)
        except WOULD_BLOCK:
            return b""
        except OSError as error:
            # Never let out: an OSError of the upstream's would be taken for the client's.
            self._fail("upstream_truncated", f"the upstream's connection broke: {error}")
            return b""
        # Nearly always a read brings whole chunks of whole events, mostly one, and the last with JSON.
        if self._is_at_boundary and data.endswith(b"}\n\n\r\n"):
            events = whole_chunk(data)
            if events:
                is_one = events.find(b"\n") == len(events) - 2
                count = 1 if is_one else events.count(b"\n\n")
            else:
                events, count, rest = take_one_line_events(data)
                if rest:
                    return self._decode(data)
            self.event_count += count
            # ``in`` takes 0.1 us more: it makes an exception, as bytes are no number, and drops it.
            if events.find(b"data") >= 0:
                self._last = (self._last[1], self._last[2], events)
            return events
        return self._decode(data)

    def feed(self, data: bytes) -> None:
        """Bytes that were read while the connection was opened; b"" for its end."""
        self._ready += self._decode(data)

    def drop_head(self) -> None:
        """For when the client has its own: of a stream that waits, eight headers would keep 1.8 KiB."""
        del self.head

    def abandon(self) -> None:
        if not self.is_finished:
            self.is_finished = True
            self.connection.close()

    def _decode(self, data: bytes) -> bytes:
        if not data:
            self._at_end_of_connection()
            return b""
        try:
            events = self._whole_events(data)
        except EventTooLargeError as error:
            self._fail("upstream_invalid", str(error))
            return b""
        if b"data" in events:  # Not a comment, of which many may come behind the last event.
            self._last = (self._last[1], self._last[2], events)
        if self._body.is_broken:
            self._fail("upstream_invalid", "the body of the upstream's answer is not HTTP")
        elif self._body.is_complete:
            self._finish()
        elif (
            self._is_completion
            and _ends_with_done(events)
            and not events.endswith(b"\r\n\r")  # The last LF of CRLFs is still to come.
        ):
            # All that the client waits for. The end of the framing may still be on its way.
            self._finish()
        return events

    def _whole_events(self, data: bytes) -> bytes:
        """All that are whole by ``data``; where there are none to be told apart, what is in it.

        Raises EventTooLargeError.
        """
        rest_of_chunk = events = b""
        # A read that is full ends anywhere: only behind the chunk that it cut can many be taken at once. To take one
        # read apart in three costs 4 us; with ten events that is what it saves.
        if len(data) > _MANY_EVENTS_BYTES and (left := self._body.chunk_left):
            rest_of_chunk = self._unframe(data[:left])
            data = data[left:]
        if self._is_at_boundary:
            events, count, data = take_one_line_events(data)
            self.event_count += count
        if data:
            events += self._unframe(data)
        return rest_of_chunk + events

    def _unframe(self, data: bytes) -> bytes:
        events = self._body.feed(data)
        if self._framer is not None:
            events = self._framer.feed(events)
            self._is_at_boundary = self._body.is_at_chunk and self._framer.is_at_boundary
        if events:
            self.event_count += events.count(b"\n\n") or 1
        return events

    def _at_end_of_connection(self) -> None:
        if self._body.ends_with_connection:
            self._finish()
        else:
            self._fail("upstream_truncated", "the upstream's connection ended before its answer")

    def _finish(self) -> None:
        if self._framer is not None and not self._has_proper_end(self._framer):
            self._fail("upstream_truncated", "the upstream's answer ended without its last event")
            return
        self.is_finished = True
        body = self._body
        if self._keeps_connection and not (body.is_broken or body.ends_with_connection):
            unread = None if body.is_complete else body
            self._upstream.release(self.connection, unread)
        else:
            self.connection.close()

    def _has_proper_end(self, framer: EventFramer) -> bool:
        if framer.holds_part:
            return False
        if not self._is_completion or _ends_with_done(self._last[-1]):
            return True
        for event in EventParser().feed(b"".join(self._last)):
            if event.data == "[DONE]":
                return True
            chunk = as_json(event.data)
            if error := chunk.get("error"):
                # It has told the client; a second error event would be one too many.
                self._on_failure(f"upstream: {error}")
                return True
            if any(choice.get("finish_reason") for choice in choices_of(chunk)):
                return True
        return False

    def _fail(self, code: str, message: str) -> None:
        self.error = ApiError(502, code, message)
        self.is_finished = True
        self.connection.close()


def _ends_with_done(events: bytes) -> bool:
    return events[-24:].rstrip(b"\r\n").endswith(_DONE)


def as_json(text: str | bytes) -> dict[str, Any]:
    """The JSON object in ``text``, an empty one if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def choices_of(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a completion's chunk; what has another form is none."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]
