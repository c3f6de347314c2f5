"""What a program calls."""

import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec

from flask_sluice.client.callback import CommentCounter, StreamCallback, StreamCounts, drive
from flask_sluice.client.event import StreamEvent, is_terminal
from flask_sluice.client.reconnect import NEVER, Reconnect
from flask_sluice.client.response import Request, parse_http_url
from flask_sluice.client.stream import SSEStream, StreamOptions
from flask_sluice.client.timeouts import Timeouts

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""As in the parser: far above any event seen."""
_HEADERS = {
    "accept": "text/event-stream, application/json;q=0.9, */*;q=0.1",
    # A compressor collects events before it lets go of them.
    "accept-encoding": "identity",
}


class SSEClient:
    """Reads streams of events from one server; any number at a time, each over a connection of its own.

    For plain threads, and for gevent after ``monkey.patch_all()``.

    base_url: http or https; what stands in front of the paths
    headers: for all requests, such as Authorization
    timeouts: for all streams that get none of their own
    max_event_bytes: the most that one event, or a JSON body, may take
    ssl_context: for https; None: the system's certificates

    Raises ValueError for a URL that is none.
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
        """The stream that the server answers with; nothing is sent before it is entered or read.

        json: the body, encoded by msgspec; None: no body
        reconnect: None: a GET connects again as an EventSource does, but for streams without ids; anything
            else is never sent twice (``NEVER``)
        done_when: tells the terminal event, with which the answer is complete, such as ``lambda event:
            event.event == "message_stop"``; None: there is none, and the proper end of the body completes it
        last_event_id: where to continue an earlier stream
        on_open: called with status and headers when the answer to each connection begins
        on_comment: called with the text of each comment

        Entering and reading raise StreamError (see ``flask_sluice.client.errors``).
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
        options = StreamOptions(
            timeouts=timeouts or self._timeouts,
            reconnect=reconnect,
            done_when=done_when,
            max_event_bytes=self._max_event_bytes,
            tls=lambda: self._tls,
            on_open=on_open,
            on_comment=on_comment,
        )
        return SSEStream(request, options, last_event_id)

    def post_stream(
        self, path: str, *, json: Any, callback: StreamCallback, **options: Any
    ) -> StreamCounts:
        """Posts, tells the callback what comes, and returns when it is over.

        A failure of the stream is not raised but told: ``on_error(code, message)``, and an ``ending`` that is not
        COMPLETE. What the callback raises ends the stream and is raised here.

        options: those of ``stream``
        """
        comments = CommentCounter(callback)
        stream = self.stream(
            "POST", path, json=json, on_open=callback.on_open, on_comment=comments, **options
        )
        drive(stream, callback)
        assert stream.ending is not None
        return StreamCounts(stream.event_count, comments.count, stream.ending)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is not None:
            return self._ssl_context
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}
