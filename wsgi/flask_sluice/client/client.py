"""The client: makes streams, or reads one to its end and calls back."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec

from flask_sluice.client.errors import Ending, StreamError
from flask_sluice.client.event import StreamEvent, is_terminal
from flask_sluice.client.reconnect import NEVER, Reconnect
from flask_sluice.client.request import Request, parse_http_url
from flask_sluice.client.stream import ReadOptions, SSEStream
from flask_sluice.client.timeouts import Timeouts

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""The default limit, the same as the parser's: images in base64 take a few MiB."""
# As an EventSource sends them; the caller's own headers replace them.
_HEADERS = {
    "accept": "text/event-stream",
    "cache-control": "no-cache",
    # A compressor holds events back until its buffer is full.
    "accept-encoding": "identity",
}


class StreamCallback(Protocol):
    """Receives a stream. ``SSEClient.post_stream`` calls the methods in the thread that called it."""

    def on_open(self, status: int, headers: Mapping[str, str]) -> object:
        """Receive the head of a response; called once for each connection."""

    def on_content(self, id: str, data: str) -> object:  # noqa: A002 - the name that callers know
        """Receive an event. id: the last event id, "-1" for a JSON body"""

    def on_comment(self, comment: str) -> object:
        """Receive a comment, such as a keep-alive, before the events that arrived with it."""

    def on_error(self, code: str, message: str) -> object:
        """Receive the reason why the answer is incomplete; called at most once."""

    def on_close(self, reason: str) -> object:
        """Receive the last call. reason: a value of ``Ending``; only "complete" means a complete answer"""


@dataclass(frozen=True)
class StreamCounts:
    """How many events and comments a stream had, and how it ended."""

    events: int
    comments: int
    ending: Ending


class SSEClient:
    """Reads streams of events from one server, any number at a time, each over its own connection.

    It works in plain threads, and under gevent after ``monkey.patch_all()``.

    base_url: http or https; the prefix of all paths
    headers: sent with all requests, such as Authorization
    timeouts: the limits of all streams that get none of their own
    max_event_bytes: the largest event, or JSON body
    ssl_context: for https; None uses the system's certificates

    Raises ValueError for a URL that is not valid.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        parse_http_url(base_url)
        self._base_url = base_url.rstrip("/")
        self._headers = {**_HEADERS, **_lower(headers)}
        self._timeouts = timeouts or Timeouts()
        self._max_event_bytes = max_event_bytes
        self._ssl_context = ssl_context

    def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        reconnect: Reconnect | None = None,
        done_when: Callable[[StreamEvent], object] | None = is_terminal,
        last_event_id: str = "",
        on_open: Callable[[int, Mapping[str, str]], object] | None = None,
        on_comment: Callable[[str], object] | None = None,
    ) -> SSEStream:
        """Return the stream of the server's answer. Nothing is sent before the stream is entered or read.

        json: the body, encoded by msgspec; None sends no body
        reconnect: with None, a GET reconnects as an EventSource does, unless the stream has no ids; a request with
            another method is never repeated (``NEVER``)
        done_when: recognises the terminal event, which completes the answer, such as ``lambda event:
            event.event == "end"``; with None, the proper end of the body completes it. By default ``is_terminal`` does,
            and without a terminal event the proper end of the body after a ``finish_reason`` of every choice
        last_event_id: where to continue an earlier stream
        on_open: called with status and headers at the beginning of each response
        on_comment: called with the text of each comment

        Entering and reading the stream raise StreamError (see ``flask_sluice.client.errors``).
        """
        method = method.upper()
        if reconnect is None:
            reconnect = Reconnect() if method == "GET" else NEVER
        all_headers = {**self._headers, **_lower(headers)}
        if json is not None:
            all_headers.setdefault("content-type", "application/json")
        request = Request(
            method,
            f"{self._base_url}/{path.lstrip('/')}",
            all_headers,
            None if json is None else msgspec.json.encode(json),
        )
        options = ReadOptions(
            timeouts=timeouts or self._timeouts,
            reconnect=reconnect,
            done_when=done_when,
            max_event_bytes=self._max_event_bytes,
            tls=lambda: self._tls,
            on_open=on_open,
            on_comment=on_comment,
            choice_count=_choice_count(json),
        )
        return SSEStream(request, options, last_event_id)

    def post_stream(
        self, path: str, *, json: Any, callback: StreamCallback, **options: Any
    ) -> StreamCounts:
        """Send a POST, call the callback for what arrives, and return at the end of the stream.

        A failure of the stream is not raised: the callback gets ``on_error(code, message)``, and the returned
        ``ending`` is not COMPLETE. An exception of the callback ends the stream and is raised here.

        options: those of ``stream``
        """
        comment_count = 0

        def on_comment(comment: str) -> None:
            nonlocal comment_count
            comment_count += 1
            callback.on_comment(comment)

        stream = self.stream(
            "POST", path, json=json, on_open=callback.on_open, on_comment=on_comment, **options
        )
        _read_to_end(stream, callback)
        assert stream.ending is not None
        return StreamCounts(stream.event_count, comment_count, stream.ending)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is not None:
            return self._ssl_context
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


def _read_to_end(stream: SSEStream, callback: StreamCallback) -> None:
    """Read the stream. What the callback raises is raised after ``on_close``."""
    try:
        for event in stream:
            callback.on_content(event.id, event.data)
    except StreamError as error:
        if error is not stream.error:
            raise
        callback.on_error(error.code, str(error))
    finally:
        stream.close()
        callback.on_close(str(stream.ending))


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _choice_count(body: Any) -> int:
    """Return how many choices a request asks for."""
    count = body.get("n") if isinstance(body, dict) else None
    return count if isinstance(count, int) and count > 0 else 1
