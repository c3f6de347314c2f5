"""An upstream's response, read from its connection without blocking, in whole events."""

import re
from collections.abc import Callable

from flask_sluice.gateway.relay.completion_chunks import end_of_completion, ends_with_done
from flask_sluice.gateway.relay.connection import WOULD_BLOCK, UpstreamConnection
from flask_sluice.gateway.relay.connection_pool import ConnectionPool
from flask_sluice.gateway.relay.http1_parser import Body, ResponseHead
from flask_sluice.gateway.relay.usual_chunks import take_one_line_events, whole_chunk
from flask_sluice.sse import EventFramer, EventTooLargeError
from flask_sluice.stream.errors import ApiError

READ_BYTES = 65536
_MANY_EVENTS_BYTES = 2048


class UpstreamResponse:
    """The ``Source`` of a relayed stream: gives the response's bytes in whole events.

    pool: gets the connection back at the response's end, if that may carry another request
    is_completion: whether the end can be judged: the stream of a completion ends with ``[DONE]``, or at least has a
        ``finish_reason``
    on_failure: called with the reason when the upstream itself reports a failure in mid-stream
    head: there until ``drop_head``
    error: why the response failed; None while it has not
    """

    __slots__ = (
        "_body",
        "_framer",
        "_is_at_boundary",
        "_is_completion",
        "_keeps_connection",
        "_last",
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
    )

    def __init__(
        self,
        head: ResponseHead,
        body: Body,
        connection: UpstreamConnection,
        pool: ConnectionPool,
        *,
        is_completion: bool,
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
        self.event_count = 0
        self._body = body
        self._pool = pool
        self._is_completion = is_completion
        self._keeps_connection = head.keeps_connection
        self._on_failure = on_failure
        self._framer = EventFramer() if self.is_event_stream else None
        self._ready = b""
        self._last = (b"", b"", b"")
        """The last batches of events: enough to find the finish_reason, behind which usage may come."""
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

    def peek(self) -> bytes:
        """Return the events that the next ``take`` returns without reading."""
        return self._ready

    def take(self) -> bytes:
        """Read once, and return what is whole: of a stream, events. Never blocks, and never raises."""
        if self._ready or self.is_finished:
            ready, self._ready = self._ready, b""
            return ready
        try:
            data = self._receive_now(READ_BYTES)
        except WOULD_BLOCK:
            return b""
        except OSError as error:
            # It must not leave this method: the server would take the upstream's OSError for the client's.
            self._fail("upstream_truncated", f"the upstream's connection broke: {error}")
            return b""
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
            if b"data" in events:  # Comments do not count: many may come behind the last event.
                self._last = (self._last[1], self._last[2], events)
            return events
        return self._decode(data)

    def feed(self, data: bytes) -> None:
        """Keep for ``take`` what is whole by ``data``: bytes that were read before the stream began, b"" for the end."""
        self._ready += self._decode(data)

    def drop_head(self) -> None:
        """Free the headers once the client has its own: eight of them would take 1.8 KiB of a stream that waits."""
        del self.head

    def abandon(self) -> None:
        """Close the connection, unless the response is finished."""
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
        if b"data" in events:
            self._last = (self._last[1], self._last[2], events)
        if self._body.is_broken:
            self._fail("upstream_invalid", "the body of the upstream's answer is not HTTP")
        elif self._body.is_complete:
            self._finish()
        elif (
            self._is_completion
            and ends_with_done(events)
            and not events.endswith(b"\r\n\r")  # The last LF of CRLFs is still to come.
        ):
            # The client has all that it waits for, even if the end of the framing is still on its way.
            self._finish()
        return events

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
            self.connection.unread = None if body.is_complete else body
            self._pool.put(self.connection)
        else:
            self.connection.close()

    def _has_proper_end(self, framer: EventFramer) -> bool:
        if framer.holds_part:
            return False
        if not self._is_completion:
            return True
        end = end_of_completion(b"".join(self._last))
        if end.error:
            # The upstream has told the client: a second error event would be one too many.
            self._on_failure(f"upstream: {end.error}")
        return end.is_whole

    def _fail(self, code: str, message: str) -> None:
        self.error = ApiError(502, code, message)
        self.is_finished = True
        self.connection.close()
