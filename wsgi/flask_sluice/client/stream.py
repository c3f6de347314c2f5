"""One stream, over one or more connections."""

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType

from urllib3.util import Url

from flask_sluice.client.body import EventBody
from flask_sluice.client.completions import ChoiceStates
from flask_sluice.client.connection import ClientConnection
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
from flask_sluice.client.event import DONE, RecentEvents, StreamEvent, is_terminal
from flask_sluice.client.reconnect import Reconnect
from flask_sluice.client.request import Request, port_of
from flask_sluice.client.response import send
from flask_sluice.client.timeouts import TimeLimits, Timeouts

_NO_CONTENT = (204, 205)
_FAILURES = frozenset({"error", "response.failed", "response.cancelled"})


@dataclass(frozen=True)
class ReadOptions:
    """The options of ``SSEClient.stream``, which describes them."""

    timeouts: Timeouts
    reconnect: Reconnect
    done_when: Callable[[StreamEvent], object] | None
    max_event_bytes: int
    tls: Callable[[], ssl.SSLContext]
    on_open: Callable[[int, Mapping[str, str]], object] | None
    on_comment: Callable[[str], object] | None
    choice_count: int
    """How many choices of chat or completions the request asks for."""


class SSEStream:
    """Iterates over the events of one answer. ``SSEClient.stream`` makes it; it is also a context manager.

    Entering it opens the connection; without ``with``, reading the first event does. The iteration ends only if the
    answer is complete: with the terminal event (which is returned like any other event, except ``[DONE]``), a
    ``finish_reason`` of every choice and the end of the body, a JSON body, or status 204. Otherwise it raises a
    StreamError with the events so far, and raises it again if it is continued.

    One thread or greenlet reads; any other may call ``close``.
    """

    def __init__(self, request: Request, options: ReadOptions, last_event_id: str) -> None:
        self.last_event_id = last_event_id
        """The id of the last event that was returned: where the stream can be continued."""
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.error: StreamError | None = None
        """Why the answer is incomplete."""
        self._request = request
        self._options = options
        self._choices = ChoiceStates(options.choice_count)
        self._recent = RecentEvents(on_forget=self._choices.add)
        self._ending: Ending | None = None
        self._closed = threading.Event()
        self._limits: TimeLimits | None = None
        self._connection: ClientConnection | None = None
        self._body: EventBody | None = None
        self._retry_ms: int | None = None
        self._failures = 0
        self._told_error: ErrorEventError | None = None
        """The error event after which the stream was asked for again, until there is an event."""
        self._has_taken = False

    @property
    def ending(self) -> Ending | None:
        """How the stream ended, None before its end."""
        return self._ending or (Ending.CLOSED if self._closed.is_set() else None)

    @property
    def event_count(self) -> int:
        """How many events have been returned."""
        return self._recent.count

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
        """Close the connection at once, so that the server stops.

        Any thread or greenlet may call it, any number of times. A reader that waits raises StreamClosedError, unless
        the stream is complete.
        """
        self._closed.set()
        if self._connection is not None:
            self._connection.close()

    def _run(self, step: Callable[[], StreamEvent | None]) -> StreamEvent | None:
        """Run a step, and reconnect or end the stream if it fails."""
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
            # The exception may have interrupted a read, so the next bytes could belong to any part of the response.
            self.close()
            raise
        return None

    def _open(self) -> None:
        if self._body is not None:
            return
        if self._limits is None:
            self._limits = TimeLimits(self._options.timeouts)
        self._limits.start_connection()
        self._has_taken = False
        request = self._request
        if self.last_event_id:
            # http.client sends one byte for each of these characters: the bytes of the id in UTF-8.
            last_event_id = self.last_event_id.encode().decode("latin-1")
            request = replace(request, headers={**request.headers, "last-event-id": last_event_id})
        response = send(request, self._connect)
        self.status, self.headers = response.status, response.headers
        if self._options.on_open is not None:
            self._options.on_open(response.status, response.headers)
        if response.status in _NO_CONTENT:
            if self._told_error is not None:
                raise self._told_error  # There is nothing after it: it was the end.
            self._finish(Ending.NO_CONTENT)
            return
        self._body = EventBody(
            response, self.last_event_id, self._options.max_event_bytes, self._options.on_comment
        )
        self._update_resume_point(self._body)

    def _connect(self, url: Url) -> ClientConnection:
        assert self._limits is not None
        self._connection = connection = ClientConnection(self._limits)
        if self._closed.is_set():
            # close() may have run before this connection existed.
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
                continue  # The status is 204 or 205, and _open() has ended the stream.
            if self._body.received:
                event = self._take(self._body)
                if event is not None:
                    return event
            elif self._body.has_ended:
                self._end(self._body)
            else:
                self._read(self._body)
        return None

    def _read(self, body: EventBody) -> None:
        assert self._limits is not None
        if self._has_taken:
            self._has_taken = False
            self._limits.await_next_event()
        body.read()
        self._update_resume_point(body)

    def _update_resume_point(self, body: EventBody) -> None:
        """Take over a ``retry``, and an ``id`` after the last event."""
        if body.decoder.retry is not None:
            self._retry_ms = body.decoder.retry
        if not body.received:
            self.last_event_id = body.decoder.last_event_id

    def _take(self, body: EventBody) -> StreamEvent | None:
        """Return the next received event, or None if it is ``[DONE]``."""
        received = body.received.popleft()
        event = StreamEvent(received.data, received.event, received.id, received.retry)
        self.last_event_id = event.id if body.received else body.decoder.last_event_id
        self._has_taken = True
        error = _error_in(event)
        if error is not None:
            raise ErrorEventError(event, error)
        self._failures = 0
        self._told_error = None
        done_when = self._options.done_when
        if done_when is not None and done_when(event):
            self._finish(Ending.COMPLETE)
        if event.data == DONE:
            return None
        self._recent.add(event)
        return event

    def _end(self, body: EventBody) -> None:
        if unfinished := body.decoder.unfinished:
            raise TruncatedError(unfinished)
        if not self._is_complete(body):
            raise TruncatedError(b"")
        self._finish(Ending.COMPLETE)

    def _is_complete(self, body: EventBody) -> bool:
        """Return whether the end of the body, without a terminal event before it, ends the answer."""
        if body.decoder.is_complete:
            return True
        if self._options.done_when is None:
            return body.response.is_delimited
        # Some servers send no [DONE]. This is judged here, and not with each event, because it needs the events decoded.
        is_default = self._options.done_when is is_terminal
        return is_default and self._choices.are_finished(self._recent.events())

    def _finish(self, ending: Ending) -> None:
        self._ending = ending
        if self._connection is not None:
            self._connection.close()

    def _fail(self, error: StreamError) -> None:
        error.events = self._recent.events()
        error.event_count = self._recent.count
        error.last_event_id = self.last_event_id
        if self._body is not None and not error.cut_event:
            error.cut_event = self._body.decoder.unfinished
        self.error = error
        self._finish(error.ending)

    def _prepare_another_try(self, error: StreamError) -> None:
        """Wait for the next try; raise the error if there is none."""
        if error is self._told_error:
            raise error
        policy = self._options.reconnect
        is_resumable = self.last_event_id or not self._recent.count or policy.without_ids
        if not (policy.covers(error) and self._failures < policy.max_tries and is_resumable):
            raise error
        self._failures += 1
        if isinstance(error, ErrorEventError):
            self._told_error = error
        seconds = policy.delay_seconds(self._failures, self._retry_ms, error.retry_after_seconds)
        assert self._limits is not None
        if seconds >= self._limits.seconds_left:
            raise error
        if self._connection is not None:
            self._connection.close()
        self._body = None
        if self._closed.wait(min(seconds, threading.TIMEOUT_MAX)):
            raise StreamClosedError


def _error_in(event: StreamEvent) -> ErrorDetails | None:
    """Return the error that the event reports, None if it reports none."""
    if event.event in _FAILURES:
        error = parse_error(event.data, is_failure=True)
        return error or ErrorDetails(quote(event.data) or "unspecified error")
    # Most events have no error. The search takes 0.1 us, and decoding the event would take 1 us.
    return parse_error(event.data) if '"error"' in event.data else None
