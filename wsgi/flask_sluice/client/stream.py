"""One stream, over as many connections as it takes."""

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType

from urllib3.util import Url

from flask_sluice.client.body import Body
from flask_sluice.client.connection import Connection
from flask_sluice.client.errors import (
    Ending,
    ErrorDetails,
    ErrorEventError,
    StreamClosedError,
    StreamError,
    TruncatedError,
    parse_error,
    quote,
)
from flask_sluice.client.event import DONE, History, StreamEvent
from flask_sluice.client.reconnect import Reconnect
from flask_sluice.client.response import Request, port_of, send
from flask_sluice.client.timeouts import Deadlines, Timeouts

_NO_CONTENT = (204, 205)


@dataclass(frozen=True)
class StreamOptions:
    """What ``SSEClient.stream`` takes; described there."""

    timeouts: Timeouts
    reconnect: Reconnect
    done_when: Callable[[StreamEvent], object] | None
    max_event_bytes: int
    tls: Callable[[], ssl.SSLContext]
    on_open: Callable[[int, Mapping[str, str]], object] | None
    on_comment: Callable[[str], object] | None


class SSEStream:
    """An iterable context manager of events; made by ``SSEClient.stream``.

    Entering it, or else the first event, opens the connection. The iteration ends only if the answer is
    whole: with the terminal event (given out like any other, but for the text ``[DONE]``), a JSON body, or
    status 204. Otherwise it raises a StreamError that has the events so far, and raises it again if it is
    asked again.

    One thread or greenlet reads; any other may ``close``.
    """

    def __init__(self, request: Request, options: StreamOptions, last_event_id: str) -> None:
        self.last_event_id = last_event_id
        """Of the last event that was given out: where the stream would be continued."""
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.error: StreamError | None = None
        """Why the answer is not whole."""
        self._request = request
        self._options = options
        self._history = History()
        self._ending: Ending | None = None
        self._closed = threading.Event()
        self._deadlines: Deadlines | None = None
        self._connection: Connection | None = None
        self._body: Body | None = None
        self._retry_ms: int | None = None
        self._failures = 0
        self._has_taken = False

    @property
    def ending(self) -> Ending | None:
        """None while it goes on."""
        return self._ending or (Ending.CLOSED if self._closed.is_set() else None)

    @property
    def event_count(self) -> int:
        """How many have been given out."""
        return self._history.count

    def __enter__(self) -> "SSEStream":
        self._run(self._open)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> "SSEStream":
        return self

    def __next__(self) -> StreamEvent:
        event = self._run(self._next)
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Closes the connection at once, so that the server stops. From any thread or greenlet, any number of
        times; one that reads wakes and raises StreamClosedError, unless the stream is complete."""
        self._closed.set()
        if self._connection is not None:
            self._connection.close()

    def _run(self, step: Callable[[], StreamEvent | None]) -> StreamEvent | None:
        """A step that ends the stream if it fails."""
        if self.error is not None:
            raise self.error
        try:
            while self._ending is None:
                try:
                    return step()
                except StreamError as error:
                    self._prepare_another_try(error)
        except StreamError as error:
            self._fail(error)
            raise
        except BaseException:
            # Interrupted in the middle of a read: what follows there would make no sense.
            self.close()
            raise
        return None

    def _open(self) -> None:
        if self._body is not None:
            return
        if self._deadlines is None:
            self._deadlines = Deadlines(self._options.timeouts)
        self._deadlines.connection_begins()
        self._has_taken = False
        request = self._request
        if self.last_event_id:
            # http.client sends each of these characters as one byte: together they are the id in UTF-8.
            last_event_id = self.last_event_id.encode().decode("latin-1")
            request = replace(request, headers={**request.headers, "last-event-id": last_event_id})
        response = send(request, self._connect)
        self.status, self.headers = response.status, response.headers
        if self._options.on_open is not None:
            self._options.on_open(response.status, response.headers)
        if response.status in _NO_CONTENT:
            self._finish(Ending.NO_CONTENT)
            return
        self._body = Body(
            response, self.last_event_id, self._options.max_event_bytes, self._options.on_comment
        )
        self._note(self._body)

    def _connect(self, url: Url) -> Connection:
        assert self._deadlines is not None
        self._connection = connection = Connection(self._deadlines)
        if self._closed.is_set():
            # Since before there was this connection, so that close() knows nothing of it.
            raise StreamClosedError
        is_tls = url.scheme == "https"
        connection.open(
            (url.host or "").strip("[]"), port_of(url), self._options.tls() if is_tls else None
        )
        return connection

    def _next(self) -> StreamEvent | None:
        while self._ending is None:
            if self._closed.is_set():
                raise StreamClosedError
            self._open()
            if self._body is None:
                continue  # Status 204.
            if self._body.received:
                event = self._take(self._body)
                if event is not None:
                    return event
            elif self._body.has_ended:
                self._end(self._body)
            else:
                self._read(self._body)
        return None

    def _read(self, body: Body) -> None:
        assert self._deadlines is not None
        if self._has_taken:
            self._has_taken = False
            self._deadlines.awaiting_next_event()
        body.read()
        self._note(body)

    def _note(self, body: Body) -> None:
        """What counts without an event."""
        if body.decoder.retry is not None:
            self._retry_ms = body.decoder.retry
        if not body.received:
            self.last_event_id = body.decoder.last_event_id

    def _take(self, body: Body) -> StreamEvent | None:
        """The next event that was received; None if it is the text [DONE]."""
        received = body.received.popleft()
        event = StreamEvent(received.data, received.event, received.id, received.retry)
        self.last_event_id = event.id if body.received else body.decoder.last_event_id
        self._has_taken = True
        error = _error_in(event)
        if error is not None:
            raise ErrorEventError(event, error)
        self._failures = 0
        done_when = self._options.done_when
        if done_when is not None and done_when(event):
            self._finish(Ending.COMPLETE)
        if event.data == DONE:
            return None
        self._history.add(event)
        return event

    def _end(self, body: Body) -> None:
        if unfinished := body.decoder.unfinished:
            raise TruncatedError(unfinished)
        is_end_expected = self._options.done_when is None and body.response.is_delimited
        if not (body.decoder.is_complete or is_end_expected):
            raise TruncatedError(b"")
        self._finish(Ending.COMPLETE)

    def _finish(self, ending: Ending) -> None:
        self._ending = ending
        if self._connection is not None:
            self._connection.close()

    def _fail(self, error: StreamError) -> None:
        error.events = self._history.events()
        error.event_count = self._history.count
        error.last_event_id = self.last_event_id
        if self._body is not None and not error.cut_event:
            error.cut_event = self._body.decoder.unfinished
        self.error = error
        self._finish(error.ending)

    def _prepare_another_try(self, error: StreamError) -> None:
        """Waits until it is due; raises the error if there is to be none."""
        policy = self._options.reconnect
        is_resumable = self.last_event_id or not self._history.count or policy.without_ids
        if not (policy.covers(error) and self._failures < policy.max_tries and is_resumable):
            raise error
        self._failures += 1
        seconds = policy.delay_seconds(self._failures, self._retry_ms, error.retry_after_seconds)
        assert self._deadlines is not None
        if seconds >= self._deadlines.seconds_left:
            raise error
        if self._connection is not None:
            self._connection.close()
        self._body = None
        if self._closed.wait(min(seconds, threading.TIMEOUT_MAX)):
            raise StreamClosedError


def _error_in(event: StreamEvent) -> ErrorDetails | None:
    """What the event reports, if it is the report of a failure."""
    if event.event == "error":
        return parse_error(event.data) or ErrorDetails(quote(event.data) or "unspecified error")
    # The search costs 0.1 us where decoding every event would cost 1 us.
    return parse_error(event.data) if '"error"' in event.data else None
