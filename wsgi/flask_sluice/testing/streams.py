"""Reads the events of a view in a test: which ones, when each came, and how the stream ended."""

import errno
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import EventFramer, EventParser, ReceivedEvent
from flask_sluice.stream.serving import TEST_STREAMS

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers
    from werkzeug.test import Client

    from flask_sluice.stream.threads.thread_stream import ThreadStream

__all__ = ["SeenEvent", "StreamReader", "open_stream", "read_events"]

Ending = Literal["complete", "error", "cut", "left", "not a stream"]

_TIMEOUT_SECONDS = 10
_decode_json = msgspec.json.Decoder().decode


class SeenEvent(ReceivedEvent, frozen=True, gc=False):
    """An event as a browser's EventSource would see it.

    data: text
    event: its type, "message" where the view names none
    id: the last event id as of this event, "" where there is none
    retry: milliseconds, None where the event has none
    at_seconds: when it came, since the request was sent
    """

    at_seconds: float = 0.0

    def json(self) -> Any:
        """Return the data, decoded from JSON. Raises ValueError if it is not JSON."""
        try:
            return _decode_json(self.data)
        except msgspec.DecodeError as error:
            raise ValueError(f"the data is not JSON: {self.data!r}") from error


class StreamReader:
    """A view's response. Iterating reads it event by event, each as the view's generator yields it.

    The generator runs only while the next event is asked for. An exception of the generator ends the iteration: it is
    not raised here but is in ``error``.

    status, headers: the response's
    events: those that were read
    comments: the texts of the comment lines, keep-alives among them
    body: the bytes that were read
    outcome: how the stream ended; None while it runs:
        "complete": the generator has returned
        "error": it has failed, its deadline was over, or it was stopped; ``error`` says why
        "cut": the body breaks off
        "left": the reader has left before the end
        "not a stream": the response is none of events, but the view's refusal for example
    error: the exception with which the stream ended
    """

    def __init__(
        self, client: "Client", path: str, timeout_seconds: float, request: dict[str, Any]
    ) -> None:
        self.events: list[SeenEvent] = []
        self.comments: list[str] = []
        self.body = b""
        self.outcome: Ending | None = None
        self.error: Exception | None = None
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._began_at = time.monotonic()
        self._pending: deque[ReceivedEvent] = deque()
        self._streams: list[ThreadStream] = []
        self._is_late = False
        self._is_closed = False
        environ = {**request.pop("environ_overrides", {}), TEST_STREAMS: self._streams}
        self._response = client.open(path, environ_overrides=environ, **request)
        self._chunks: Iterator[bytes] = self._response.iter_encoded()
        self.status: int = self._response.status_code
        self.headers: Headers = self._response.headers
        sent_id = self._response.request.headers.get("Last-Event-ID", "")
        self._parser = EventParser(sent_id, on_comment=self._add_comment)
        self._timer = threading.Timer(timeout_seconds, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    @property
    def text(self) -> str:
        """What was read, as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def is_generator_closed(self) -> bool:
        """Whether the view's generator has come to its end, or was closed when the reader left.

        It was not where it waits for something else than its next ``yield``, as in a time.sleep().
        """
        if self._streams:
            return self._streams[-1].is_generator_done
        return self._is_closed

    def __iter__(self) -> "StreamReader":
        return self

    def __next__(self) -> SeenEvent:
        """Return the next event. Raises TimeoutError if the stream is not over in time."""
        while not self._pending:
            if self.outcome is not None:
                raise StopIteration
            self._read()
        found = self._pending.popleft()
        seconds = time.monotonic() - self._began_at
        event = SeenEvent(found.data, found.event, found.id, found.retry, seconds)
        self.events.append(event)
        return event

    def _read(self) -> None:
        """Take the next bytes of the body, or its end."""
        try:
            chunk = next(self._chunks, None)
        except Exception as error:  # noqa: BLE001 - it is how the stream ended
            self.error = error
            is_cut = isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ECONNRESET)
            self._end("cut" if is_cut else "error")
            return
        if self._is_late or time.monotonic() > self._began_at + self._timeout_seconds:
            self._end("left")
            raise TimeoutError(
                f"{self!r} was not over after {self._timeout_seconds:g} seconds: a stream without an end is read with "
                "leave_after=number of events"
            )
        if chunk is None:
            self._end(self._how_it_ended())
            return
        self.body += chunk
        if self._is_stream:
            self._pending += self._parser.feed(chunk)

    def _add_comment(self, text: str) -> None:
        self.comments.append(text.removeprefix(" "))

    def _how_it_ended(self) -> Ending:
        if not self._is_stream:
            return "not a stream"
        if self._streams:
            stream = self._streams[-1]
            self.error = stream.error
            if stream.outcome is Outcome.CANCELLED and self.error is None:
                return "left"
            return "complete" if stream.outcome is Outcome.COMPLETE else "error"
        framer = EventFramer()
        framer.feed(self.body)
        return "cut" if framer.holds_part else "complete"

    @property
    def _is_stream(self) -> bool:
        return bool(self._response.mimetype == "text/event-stream")

    def _end(self, outcome: Ending) -> None:
        self.outcome = outcome
        self.close()

    def _give_up(self) -> None:
        self._is_late = True
        for stream in self._streams:
            stream.mark_left()

    def close(self) -> None:
        """Leave, as a client does that disconnects; nothing after the end."""
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.cancel()
        if self.outcome is None:
            self.outcome = "left"
        self._response.close()

    def __enter__(self) -> "StreamReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        ended = self.outcome or "running"
        because = "" if self.error is None else f": {self.error!r}"
        return (
            f"<stream of {self._path} {self.status}, {len(self.events)} events, {ended}{because}>"
        )


def open_stream(
    client: "Client", path: str, *, timeout_seconds: float = _TIMEOUT_SECONDS, **request: Any
) -> StreamReader:
    """Send a request and return its stream, to be read in a ``with`` block. The block's end leaves.

    client: Flask's test client
    timeout_seconds: after so long TimeoutError is raised
    request: as the test client takes them: method, json, data, headers, query_string, ...
    """
    return StreamReader(client, path, timeout_seconds, request)


def read_events(
    client: "Client",
    path: str,
    *,
    leave_after: int | None = None,
    timeout_seconds: float = _TIMEOUT_SECONDS,
    **request: Any,
) -> StreamReader:
    """Send a request and read its stream to the end, or leave before it. Returns it with its events.

    client: Flask's test client
    leave_after: the number of events after which to leave; None: not before the end
    timeout_seconds: after so long TimeoutError is raised
    request: as the test client takes them: method, json, data, headers, query_string, ...
    """
    with open_stream(client, path, timeout_seconds=timeout_seconds, **request) as stream:
        while leave_after is None or len(stream.events) < leave_after:
            if next(stream, None) is None:
                break
    return stream


class StreamFixture:
    """Reads streams through one test client: ``sse(path, …)`` as ``read_events``, ``sse.open(path, …)`` as ``open_stream``."""

    def __init__(self, client: "Client") -> None:
        self.client = client
        self._opened: list[StreamReader] = []

    def __call__(self, path: str, **arguments: Any) -> StreamReader:
        return read_events(self.client, path, **arguments)

    def open(self, path: str, **arguments: Any) -> StreamReader:
        stream = open_stream(self.client, path, **arguments)
        self._opened.append(stream)
        return stream

    def close(self) -> None:
        """Leave the streams that the test has left open."""
        for stream in self._opened:
            stream.close()
