"""The response of a reader, of a stream that is kept or of channels, on any server."""

import math
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flask import Response, request

from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.reading.reader import Follow
from flask_sluice.journal.turns import Turns
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import (
    Headers,
    RenderError,
    error_for_event_source,
    stream_headers,
)
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.responses import StreamResponse
from flask_sluice.stream.serving import TEST_STREAMS, is_test_client, streams_on_gevent

if TYPE_CHECKING:
    from flask_sluice.stream.feeds.feed import Feed
    from flask_sluice.stream.transport.client_socket import ClientSocket

RETRY_MS = 2000
"""How long an EventSource waits before it reconnects."""
_MAX_ID_DIGITS = 18
"""More than any stream's numbers have. int() takes quadratic time."""


def given_event_id() -> str:
    """Return the id of the last event that the client has, as the current request says it; "" if it has none.

    It is the newest of what the request says: the header, which comes with a reconnection; ``lastEventId``, which polyfills of
    EventSource add to the URL instead, the last one if there are several; ``last_event_id``, with which an app begins.
    """
    by_polyfill = request.args.getlist("lastEventId")
    return (
        request.headers.get("Last-Event-ID")
        or (by_polyfill and by_polyfill[-1])
        or request.args.get("last_event_id")
        or ""
    )


def last_event_id(newest: float = math.inf) -> int:
    """Return the number of the last event that the client has, 0 if it has none. See ``given_event_id``.

    Raises ApiError 400 for anything but a number from 0 to ``newest``; EventSource then gives up.
    """
    given = given_event_id() or "0"
    is_number = given.isascii() and given.isdigit() and len(given) <= _MAX_ID_DIGITS
    if not is_number or int(given) > newest:
        raise ApiError(
            400,
            "invalid_request",
            "Last-Event-ID takes the number of an event of this stream",
            param="last_event_id",
        )
    return int(given)


def no_more_events() -> Response:
    """Return the only answer after which an EventSource does not reconnect: 204."""
    return Response(status=204)


def _told_id(event_id: bytes, retry_ms: int) -> bytes:
    """Return what tells the client of the current request an id without an event.

    For an EventSource that is a block without data, which dispatches no event (WHATWG HTML, section 9.2.6). Clients that make an empty
    event of it do not say ``Cache-Control: no-cache``, as an EventSource does (the standard has its requests' cache mode as
    no-store); some of them take the line alone.
    """
    is_event_source = "no-cache" in request.headers.get("Cache-Control", "")
    end = b"\n" if is_event_source else b""
    return b"retry: %d\nid: %b\n%b" % (retry_ms, event_id, end)


class ReadingResponse:
    """What the responses of readers have in common, however their events come.

    context: of the reader's stream
    options: keep-alive and the like; the comment that opens the stream is written at once, however late the first event is
    headers: None: those of every stream
    render_error: makes the error event of the reader alone, and of an answer whose producer has died
    retry_ms: sent with the first event
    preamble: follows the comment that opens the stream
    """

    def __init__(
        self,
        context: StreamContext,
        options: StreamOptions,
        *,
        headers: Headers | None = None,
        render_error: RenderError = error_for_event_source,
        retry_ms: int = RETRY_MS,
        preamble: bytes = b"",
    ) -> None:
        self._context = context
        self._options = options
        self._headers = stream_headers(context.request_id) if headers is None else headers
        self._render_error = render_error
        self._retry_ms = retry_ms
        self._preamble = options.preamble + preamble

    def follow(self, turns: Turns, follow: Follow) -> Response:
        """Return the response of a follower: 204 if it has nothing, and nothing will come.

        Raises what ``follow`` raises, and TooManyStreamsError.
        """
        if streams_on_gevent(request.environ):
            # Not above: this package can be imported where gevent is not installed.
            from flask_sluice.stream.transport.client_socket import socket_of  # noqa: PLC0415

            return self.on_gevent(follow, socket_of(request.environ))
        return self._on_threads(turns, follow)

    def on_gevent(self, follow: Follow, client: "ClientSocket | None") -> Response:
        """See ``follow``. client: the connection of the current request; None where there is none to watch"""
        from flask_sluice.journal.reading.feed import JournalFeed  # noqa: PLC0415

        feed = JournalFeed(
            self._beginning(follow), self._retry_ms, self._context, self._render_error
        )
        if feed.is_finished and not feed.has_events:
            feed.stop()
            return no_more_events()
        return self.of_feed(feed, client)

    def _beginning(self, follow: Follow) -> Follow:
        """Return what follows, and has the response begin with the id that a new client is to know."""

        def begin(wake: Callable[[], None]) -> Follower:
            follower = follow(wake)
            if follower.new_id:
                self._preamble += _told_id(follower.new_id, self._retry_ms)
            return follower

        return begin

    def of_feed(self, feed: "Feed", client: "ClientSocket | None") -> Response:
        """Return the response of any feed, on gevent. The feed is stopped where this raises TooManyStreamsError."""
        from flask_sluice.stream.event_stream import EventStream  # noqa: PLC0415

        with ExitStack() as on_failure:
            # A feed may hold something already, such as a reader's place in a journal.
            on_failure.callback(feed.stop)
            stream = EventStream(
                feed,
                context=self._context,
                render_error=self._render_error,
                client=client,
                options=self._options,
                preamble=self._preamble,
            )
            on_failure.callback(stream.close)
            if request.method != "HEAD":
                stream.start()
            response = StreamResponse(stream, self._headers)
            on_failure.pop_all()
        return response

    def _on_threads(self, turns: Turns, follow: Follow) -> Response:
        from flask_sluice.journal.reading.thread_feed import JournalThreadFeed  # noqa: PLC0415
        from flask_sluice.stream.threads.client import client_of  # noqa: PLC0415
        from flask_sluice.stream.threads.thread_stream import ThreadStream  # noqa: PLC0415

        environ: MutableMapping[str, Any] = request.environ
        is_test = is_test_client(environ)
        feed = JournalThreadFeed(
            turns,
            self._beginning(follow),
            self._retry_ms,
            self._context,
            self._render_error,
            is_in_step=is_test,
        )
        if feed.is_over:
            feed.close()
            return no_more_events()
        stream = ThreadStream(
            feed,
            context=self._context,
            render_error=self._render_error,
            client=client_of(environ),
            options=self._options,
            preamble=self._preamble,
            on_disconnect=None,
            propagates=False,
        )
        if is_test:
            environ.get(TEST_STREAMS, []).append(stream)
        return StreamResponse(stream, self._headers)
