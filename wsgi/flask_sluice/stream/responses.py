"""Flask responses with a stream as their body. It can be imported without gevent."""

import logging
import re
from collections.abc import Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import werkzeug.datastructures
from flask import Request, Response, after_this_request, has_request_context

from flask_sluice.observe.tracing.spans import current_spans, is_traced
from flask_sluice.stream.context import StreamContext, new_request_id
from flask_sluice.stream.headers_and_errors import Headers, stream_headers

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

    from flask_sluice.stream.event_stream import EventStream
    from flask_sluice.stream.threads.thread_stream import ThreadStream

logger = logging.getLogger("sluice.stream")

_REQUEST_ID = re.compile("[!-~]{1,128}")


class StreamResponse(Response):
    """Flask's response with a stream as its body.

    gunicorn iterates the stream itself, which saves two Python frames for each chunk, and nothing buffers it. Werkzeug
    then runs no ``call_on_close`` callbacks, so the stream does. The headers go out as they are.
    """

    default_mimetype = None  # A relayed answer without a content type gets none.

    def __init__(
        self, stream: "EventStream | ThreadStream", headers: Headers, status: int | str = 200
    ) -> None:
        # From a list they are taken one by one: 1 % of a short answer more.
        given = werkzeug.datastructures.Headers()
        given[:] = headers
        super().__init__(stream, status=status, headers=given, direct_passthrough=True)
        self.call_on_close = stream.call_on_close  # type: ignore[method-assign, assignment]
        if is_traced() and has_request_context():
            # Not here: a span that the view has opened for itself ends with the view.
            after_this_request(partial(_end_spans_with, stream))

    def get_wsgi_response(
        self, environ: "WSGIEnvironment"
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        return self.get_app_iter(environ), self.status, self.headers.to_wsgi_list()

    def get_data(self, as_text: bool = False) -> Any:
        """Raise RuntimeError, saying what to do, for a hook or a test that asks for the whole stream."""
        if self.direct_passthrough and not self.is_sequence:
            raise RuntimeError(
                "the data of a stream is not known before its end: let after_request functions skip a response "
                "with is_streamed; a test reads the response of app.test_client()"
            )
        return super().get_data(as_text)  # type: ignore[call-overload]

    # Werkzeug's own property calls its own method.
    data = property(get_data, Response.set_data)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Let a cache that pickles the response keep None, which it takes for nothing kept: a stream is for one client."""
        _warn_of_caching()
        return type(None), ()


@cache
def _warn_of_caching() -> None:
    logger.warning("a stream is for one client and is not cached: leave its view out of the cache")


def _end_spans_with(stream: "EventStream | ThreadStream", response: Response) -> Response:
    if response.response is stream:
        stream.end_with_stream(current_spans())
    return response


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
