"""Flask responses with a stream as their body. It can be imported without gevent."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import flask.globals
import werkzeug.datastructures
from flask import Request, Response

from flask_sluice.stream.context import StreamContext, new_request_id
from flask_sluice.stream.feeds.context_variables import keeps_flask_context
from flask_sluice.stream.headers_and_errors import Headers, stream_headers

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

    from flask_sluice.stream.event_stream import EventStream
    from flask_sluice.stream.threads.thread_stream import ThreadStream

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

    def get_data(self, as_text: bool = False) -> Any:
        """Raise RuntimeError, saying what to do, for a hook or a test that asks for the whole stream."""
        if self.direct_passthrough and not self.is_sequence:
            raise RuntimeError(
                "the data of a stream is not known before its end: let after_request functions skip a response "
                "with is_streamed; a test reads the response of app.test_client()"
            )
        return super().get_data(as_text)  # type: ignore[call-overload]

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


def check_flask_context(items: Iterable[object]) -> None:
    """Raise TypeError, saying what to do, for ``stream_with_context`` inside of other items, with Flask before 3.1.2.

    Such a Flask pushes the request's context when it is called, and pops it in the generator's thread or greenlet, where it was
    not pushed. Of a generator that is wrapped as a whole the stream takes care.
    """
    if _times_pushed() > 1 and not keeps_flask_context(items):
        raise TypeError(
            "stream_with_context has to be the outermost of what sse_response takes with Flask before 3.1.2: "
            "sse_response(stream_with_context(wrapped(generate()))) replaces "
            "sse_response(wrapped(stream_with_context(generate())))"
        )


def _times_pushed() -> int:
    """Return how many times the request's context is pushed, as far as this release of Flask shows it."""
    names = vars(flask.globals)
    if "request_ctx" in names:
        return len(getattr(names["request_ctx"]._get_current_object(), "_cv_tokens", ()))
    if "_request_ctx_stack" in names:
        # Flask 2.1
        return len(getattr(names["_request_ctx_stack"].top, "_implicit_app_ctx_stack", ()))
    return 1


def request_id(request: Request) -> str:
    """Return the client's X-Request-Id if it is 1 to 128 visible ASCII characters, else one made for the request."""
    environ = request.environ
    known: str | None = environ.get("sluice.request_id")
    if known is None:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        known = given if _REQUEST_ID.fullmatch(given) else new_request_id()
        environ["sluice.request_id"] = known
    return known
