"""An upstream's response, read from its connection without blocking, in whole events."""

import re
from collections.abc import Callable

from flask_sluice.gateway.relay.answer.state import (
    AnswerState,
    before_hidden_error,
    is_comment,
    lacks_only_its_blank_line,
)
from flask_sluice.gateway.relay.answer.told_error import ToldError
from flask_sluice.gateway.relay.connection import WOULD_BLOCK, UpstreamConnection
from flask_sluice.gateway.relay.connection_pool import ConnectionPool
from flask_sluice.gateway.relay.held_bytes import SMALL_BYTES, HeldBytes
from flask_sluice.gateway.relay.http1_parser import Body, ResponseHead
from flask_sluice.gateway.relay.usual_chunks import take_one_line_events, whole_chunk
from flask_sluice.sse import EventFramer, EventTooLargeError
from flask_sluice.stream.errors import ApiError

READ_BYTES = 65536
_MANY_EVENTS_BYTES = 2048
_MAX_EARLY_BYTES = 16 * 1024
_MAX_LINES = 20_000
_DONE = b"[DONE]"
_MAX_DONE_BYTES = 4096
"""How long the last event may be to be recognised before its blank line, comments before it included."""


class UpstreamResponse:
    """The ``Source`` of a relayed stream: gives the response's bytes in whole events.

    pool: gets the connection back at the response's end, if that may carry another request
    held: counts what is kept of an event or a body that has come in part
    has_known_end: whether an answer without one event that shows its API is not whole
    choice_count: how many choices the request asks for
    on_failure: called with the reason when the upstream itself reports a failure in mid-stream
    head: there until ``drop_head``
    error: why the response failed; None while it has not
    is_reset: whether the upstream ended the connection with RST
    """

    __slots__ = (
        "_answer",
        "_body",
        "_counted_bytes",
        "_early",
        "_framer",
        "_has_known_end",
        "_held",
        "_is_at_boundary",
        "_keeps_connection",
        "_on_failure",
        "_pool",
        "_ready",
        "_receive_now",
        "connection",
        "error",
        "event_count",
        "head",
        "is_compressed",
        "is_event_stream",
        "is_finished",
        "is_json",
        "is_reset",
    )

    def __init__(
        self,
        head: ResponseHead,
        body: Body,
        connection: UpstreamConnection,
        pool: ConnectionPool,
        held: HeldBytes,
        *,
        has_known_end: bool,
        choice_count: int = 1,
        on_failure: Callable[[str], None],
    ) -> None:
        content_type = head.values.get("content-type", "").lower()
        self.head = head
        self.connection = connection
        # A compressed body, which was not asked for, has no events that could be told apart.
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
        self.is_reset = False
        self.event_count = 0
        self._body = body
        self._pool = pool
        self._has_known_end = has_known_end
        self._keeps_connection = head.keeps_connection
        self._on_failure = on_failure
        self._held = held
        self._counted_bytes = 0
        self._framer = (
            EventFramer(held.max_event_bytes, _MAX_LINES) if self.is_event_stream else None
        )
        self._answer = AnswerState(choice_count)
        self._ready = b""
        self._early = b""
        """Comments that came before the first event. They do not begin the answer, and go out with it."""
        self._receive_now = connection.receive_now
        self._is_at_boundary = self.is_event_stream and body.is_at_chunk
        """Whether the next byte begins a chunk and an event alike."""
        if body.is_complete:
            self._finish()

    def fileno(self) -> int:
        return self.connection.sock.fileno()

    @property
    def has_events(self) -> bool:
        return bool(self._ready)

    @property
    def must_go_out(self) -> bool:
        """Whether there is no room to wait for more of the body."""
        return self._held.is_full

    @property
    def is_cut(self) -> bool:
        """Whether it has ended before its body did."""
        body = self._body
        return self.is_finished and not (body.is_complete or body.ends_with_connection)

    @property
    def has_terminal_event(self) -> bool:
        """Whether the client has been told how the answer ended: by its last event, or by an error of the upstream's own."""
        answer = self._answer
        return answer.has_terminal_event or (answer.error is not None and not answer.hides_error)

    @property
    def first_error(self) -> ToldError | None:
        """The error that the stream begins with, None if it begins with anything else."""
        return self._answer.error if self._answer.begins_with_error else None

    @property
    def answer(self) -> AnswerState:
        return self._answer

    def peek(self) -> bytes:
        """Return what the next ``take`` returns without reading."""
        return self._ready

    def take(self) -> bytes:
        """Read once, and return what is whole: of a stream, events. Never blocks, and never raises."""
        if self._ready or self.is_finished:
            ready, self._ready = self._ready, b""
            self._count_held()
            self._report_error()
            return ready
        try:
            data = self._receive_now(READ_BYTES)
        except WOULD_BLOCK:
            return b""
        except OSError as error:
            # It must not leave this method: the server would take the upstream's OSError for the client's.
            self.is_reset = isinstance(error, ConnectionResetError)
            events = self._end_of_connection(f"the upstream's connection broke: {error}")
            self._report_error()
            return events
        # Nearly every read brings whole chunks of whole events, mostly one, and the last of them ends with JSON.
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
            if self._answer.changes_by(events, count):
                events = self._read(events)
                self._report_error()
            return events
        events = self._decode(data)
        self._report_error()
        return events

    def feed(self, data: bytes) -> None:
        """Keep for ``take`` what is whole by ``data``: bytes that were read before the stream began, b"" for the end."""
        events = self._decode(data)
        has_ended = self.is_finished and self.error is None
        if self._framer is None or self._answer.has_begun or has_ended:
            self._ready += self._early + events
            self._early = b""
        elif len(self._early) < _MAX_EARLY_BYTES:
            self._early += events
        self._count_held()

    def drop_head(self) -> None:
        """Free the headers once the client has its own: eight of them would take 1.8 KiB of a stream that waits."""
        del self.head

    def abandon(self) -> None:
        """Close the connection, unless the response is finished."""
        if not self.is_finished:
            self.is_finished = True
            self.connection.close()
        self._ready = b""
        self._framer = None
        self._count_held()

    def _count_held(self) -> None:
        """Count what is held, if it is much. Fails the stream if all responses together hold too much."""
        size = len(self._ready)
        if self._framer is not None and not self.is_finished:
            size += self._framer.held_bytes
        size = size if size > SMALL_BYTES else 0
        if size != self._counted_bytes:
            self._held.change(self._counted_bytes, size)
            has_grown, self._counted_bytes = size > self._counted_bytes, size
            if has_grown and self._held.is_full and self.is_event_stream and not self.is_finished:
                self._fail("upstream_invalid", self._held.explain())

    def _decode(self, data: bytes) -> bytes:
        if not data:
            return self._end_of_connection()
        count = self.event_count
        try:
            events = self._whole_events(data)
        except EventTooLargeError:
            limit = self._held.max_event_bytes
            message = (
                f"an event is larger than SLUICE_MAX_EVENT_BYTES={limit}, or has too many lines"
            )
            self._fail("upstream_invalid", message)
            return b""
        count = self.event_count - count
        if self._framer is not None:
            # In a large event, searching takes longer than reading.
            if events and (len(events) > READ_BYTES or self._answer.changes_by(events, count)):
                events = self._read(events)
            if self._body.is_complete or (
                data.rfind(_DONE) >= 0 and self._holds_done(self._framer)
            ):
                events += self._event_without_blank_line(self._framer)
            if self._framer.held_bytes > SMALL_BYTES or self._counted_bytes:
                self._count_held()
        if self.is_finished:
            return events
        if self._body.is_broken:
            self._fail("upstream_invalid", "the body of the upstream's answer is not HTTP")
        elif self._body.is_complete:
            self._finish()
        return events

    def _read(self, events: bytes) -> bytes:
        """Note what the events say about the answer's end, and return those that the client gets."""
        answer = self._answer
        answer.read(events)
        if answer.hides_error and answer.error is not None and not self.is_finished:
            # A client would take the end for that of a whole answer. It is told in a form that it sees.
            self._fail("upstream_error", answer.error.text)
            return before_hidden_error(events)
        # The last LF of CRLFs may still be to come.
        if answer.is_done and not (self.is_finished or events.endswith(b"\r\n\r")):
            # The client has all that it waits for, even if the end of the framing is still on its way.
            self._end()
        return events

    def _holds_done(self, framer: EventFramer) -> bool:
        part = framer.end_of_part(_MAX_DONE_BYTES)
        return len(part) < _MAX_DONE_BYTES and part.rstrip(b"\r\n").endswith(_DONE)

    def _event_without_blank_line(self, framer: EventFramer) -> bytes:
        """Take what the framer holds at the end, and return it as an event, if it is one but for its blank line."""
        part = framer.part
        if is_comment(part):
            framer.drop_part()
            return b""
        if not lacks_only_its_blank_line(part):
            return b""
        framer.drop_part()
        self.event_count += 1
        event = part.rstrip(b"\r\n") + b"\n\n"
        return self._read(event)

    def _whole_events(self, data: bytes) -> bytes:
        """Return the events that are whole by ``data``, or of a body without events its bytes.

        Raises EventTooLargeError.
        """
        rest_of_chunk = events = b""
        # A full read ends anywhere, and only behind the chunk that it cuts can many events be taken at once. To divide a
        # read in three pays where it has ten events or more.
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

    def _end_of_connection(self, fault: str | None = None) -> bytes:
        """Return the last event, if it lacked only its blank line. fault: why the connection ended; None: it was closed"""
        self._keeps_connection = False
        event = b"" if self._framer is None else self._event_without_blank_line(self._framer)
        if self.is_finished:
            return event
        if fault is None and self._body.ends_with_connection:
            self._finish()
        else:
            fault = fault or "the upstream's connection ended before its answer"
            self._fail("upstream_truncated", fault)
        return event

    def _finish(self) -> None:
        """End where the body ends, if that is the end of the answer."""
        if self._framer is not None and not self._has_proper_end(self._framer):
            self._fail("upstream_truncated", "the upstream's answer ended without its last event")
        else:
            self._end()

    def _has_proper_end(self, framer: EventFramer) -> bool:
        answer = self._answer
        if answer.has_terminal_event or answer.error is not None:
            return True
        if framer.holds_part or (self._has_known_end and answer.api is None):
            return False
        return answer.is_whole

    def _end(self) -> None:
        self.is_finished = True
        self._count_held()
        body = self._body
        if self._keeps_connection and not (body.is_broken or body.ends_with_connection):
            self.connection.unread = None if body.is_complete else body
            self._pool.put(self.connection)
        else:
            self.connection.close()

    def _fail(self, code: str, message: str) -> None:
        self.is_finished = True
        self._count_held()
        self.connection.close()
        # Behind the terminal event nothing is missing, and behind an error of the upstream's own a second one would be
        # one too many.
        if not self.has_terminal_event:
            self.error = ApiError(502, code, message)

    def _report_error(self) -> None:
        if self._answer.error is not None:
            self._on_failure(f"upstream: {self._answer.error.text}")
