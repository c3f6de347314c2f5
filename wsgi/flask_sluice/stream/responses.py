"""Flask responses with a stream as their body. ``sse_response`` makes one for any view of any Flask app.

No other file outside of the gateway and the channels knows Flask. It can be imported without gevent.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import werkzeug.datastructures
from flask import Request, Response, request

from flask_sluice.stream.context import StreamContext, new_request_id
from flask_sluice.stream.gevent_check import require_gevent_in_view
from flask_sluice.stream.headers_and_errors import (
    Headers,
    error_for_event_source,
    stream_headers,
)
from flask_sluice.stream.options import StreamOptions

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

    from flask_sluice.stream.event_stream import EventStream
    from flask_sluice.stream.feeds.encode_items import StreamItem

_REQUEST_ID = re.compile("[!-~]{1,128}")


def sse_response(
    items: "Iterable[StreamItem]",
    *,
    keepalive: float = StreamOptions.keepalive_seconds,
    on_disconnect: Callable[[], object] | None = None,
    deadline: float | None = None,
    context: StreamContext | None = None,
) -> Response:
    """Stream what a generator yields to the client of the current request, as server-sent events.

    items: yields ``Event``s (``Event.json(value)`` for JSON) or bytes that are framed events already. The
        generator runs outside of the request, with the request's context variables but without Flask's contexts; pass
        it what it needs of ``request`` or ``session``. It ends by returning. When the client leaves it gets
        GeneratorExit, also while it waits for something. An exception that it raises becomes one ``event: error``, and a
        traceback in the log
    keepalive: seconds of silence after which a comment is sent; 0: never
    on_disconnect: called without arguments after the client has left before the end
    deadline: seconds after which the stream ends with an error event; None: never
    context: for a generator that asks whether it has been stopped, or for code elsewhere that stops the stream

    Raises RuntimeError if this process cannot stream, saying how to start the server.
    """
    require_gevent_in_view(request.environ)
    # Not above: this package can be imported where gevent is not installed.
    from flask_sluice.stream.event_stream import EventStream  # noqa: PLC0415
    from flask_sluice.stream.feeds.event_queue import EventQueue  # noqa: PLC0415
    from flask_sluice.stream.feeds.generator_feed import GeneratorFeed  # noqa: PLC0415
    from flask_sluice.stream.transport.client_socket import client_of  # noqa: PLC0415

    context = context_of(request, context)
    options = StreamOptions(keepalive_seconds=keepalive, deadline_seconds=deadline)
    stream = EventStream(
        GeneratorFeed(items, context, EventQueue(options.channel_size)),
        context=context,
        render_error=error_for_event_source,
        client=client_of(request.environ),
        options=options,
        preamble=options.preamble,
        on_disconnect=on_disconnect,
    )
    return stream_response(stream)


class StreamResponse(Response):
    """Flask's response with a stream as its body.

    gunicorn iterates the stream itself, which saves two Python frames for each chunk, and nothing buffers it. Werkzeug
    then runs no ``call_on_close`` callbacks, so the stream does. The headers go out as they are.
    """

    default_mimetype = None  # A relayed answer without a content type gets none.

    def __init__(self, stream: "EventStream", headers: Headers, status: int | str = 200) -> None:
        # From a list they are taken one by one: 1 % of a short answer more.
        given = werkzeug.datastructures.Headers()
        given[:] = headers
        super().__init__(stream, status=status, headers=given, direct_passthrough=True)
        self.call_on_close = stream.call_on_close  # type: ignore[method-assign, assignment]

    def get_wsgi_response(
        self, environ: "WSGIEnvironment"
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        return self.get_app_iter(environ), self.status, self.headers.to_wsgi_list()


def stream_response(stream: "EventStream") -> StreamResponse:
    return StreamResponse(stream, stream_headers(stream.request_id))


def context_of(request: Request, context: StreamContext | None = None) -> StreamContext:
    """Return the context for a stream of the request, with the request's own fields for the log line."""
    if context is None:
        context = StreamContext(request_id(request))
    else:
        context.request_id = request_id(request)
    rule = request.url_rule
    context.notes.update(
        client=request.remote_addr,
        method=request.method,
        path=request.path,
        route=None if rule is None else rule.rule,
    )
    return context


def request_id(request: Request) -> str:
    """Return the client's X-Request-Id if it is 1 to 128 visible ASCII characters, else one made for the request."""
    environ = request.environ
    known: str | None = environ.get("sluice.request_id")
    if known is None:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        known = given if _REQUEST_ID.fullmatch(given) else new_request_id()
        environ["sluice.request_id"] = known
    return known
