"""Flask responses with a stream as their body. It can be imported without gevent."""

import logging
import re
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import werkzeug.datastructures
from flask import Request, Response, after_this_request, has_request_context, json
from werkzeug.exceptions import HTTPException, default_exceptions

from flask_sluice.observe.tracing.spans import current_spans, is_traced
from flask_sluice.stream.context import StreamContext, new_request_id
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import Headers, stream_headers

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

    from flask_sluice.stream.event_stream import EventStream
    from flask_sluice.stream.threads.thread_stream import ThreadStream

logger = logging.getLogger("sluice.stream")

_REQUEST_ID = re.compile("[!-~]{1,128}")
_STATUS = re.compile(r"[2-5]\d\d(?: [^\r\n]*)?")
_WITHOUT_BODY = ("204", "205", "304")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\r\n\0\u0100-\U0010ffff]*")
_HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
    *("transfer-encoding", "upgrade"),
}
_NO_ENCODING = ("identity", "none")
"""Views send these to have proxies and extensions compress nothing. The second is not registered."""

GivenHeaders = Mapping[str, str] | Iterable[tuple[str, str]]


class OneClientResponse(Response):
    """A response that no other client may get."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Let a cache that pickles the response keep None, which it takes for nothing kept."""
        _warn_of_caching()
        return type(None), ()


class StreamResponse(OneClientResponse):
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
            # The request's context keeps the function, and the stream may keep the context: a body that is dropped has to go.
            after_this_request(partial(_end_spans_with, weakref.ref(stream)))

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


@cache
def _warn_of_caching() -> None:
    logger.warning("a stream is for one client and is not cached: leave its view out of the cache")


def _end_spans_with(
    stream_of: "Callable[[], EventStream | ThreadStream | None]", response: Response
) -> Response:
    stream = stream_of()
    if stream is not None and response.response is stream:
        stream.end_with_stream(current_spans())
    return response


def stream_response(stream: "EventStream") -> StreamResponse:
    return StreamResponse(stream, stream_headers(stream.request_id))


def http_exception(error: ApiError) -> HTTPException:
    """Return an error as an exception for which an app may have an error handler; else it is OpenAI's JSON."""
    response = Response(status=error.status, headers=error.headers)
    response.content_type = "application/json"
    response.data = json.dumps({"error": error.body()})
    # Flask looks for the handler of a status by the class.
    kind = default_exceptions.get(error.status, HTTPException)
    exception = kind(description=error.message, response=response)
    exception.code = error.status
    return exception


def check_status(status: object) -> None:
    """Raise ValueError for a status with which there is no stream."""
    if status == 200:
        return
    code = str(int(status)) if isinstance(status, int) else status
    if not isinstance(code, str) or not _STATUS.fullmatch(code):
        raise ValueError(
            f"status takes a code from 200 to 599, such as 200 or '200 OK', got {status!r}"
        )
    if code[:3] in _WITHOUT_BODY:
        raise ValueError(
            f"a response with the status {code[:3]} has no body: return Response(status={code[:3]}) in place of a stream"
        )


def headers_with(request_id: str, given: GivenHeaders | None) -> Headers:
    """Return the headers of a stream: those that every stream has, but where the app has given its own.

    Hop-by-hop headers are the server's (PEP 3333) and are left out.

    Raises ValueError for a header that cannot be sent, or not with a stream.
    """
    headers = stream_headers(request_id)
    own = checked_headers(given)
    own_names = {name.lower() for name, _ in own}
    return [*(each for each in headers if each[0].lower() not in own_names), *own]


def checked_headers(given: GivenHeaders | None) -> Headers:
    """Return the headers that the app has given, for a stream. Raises what ``headers_with`` raises."""
    if given is None:
        return []
    return [(name, value) for name, value in _pairs(given) if _may_be_sent(name, value)]


def _pairs(given: GivenHeaders) -> Headers:
    try:
        headers = werkzeug.datastructures.Headers(given)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"headers takes a dict of text, or a list of (name, value), and values without line ends, got {given!r}"
        ) from error
    return list(headers)


def _may_be_sent(name: str, value: str) -> bool:
    """Whether the header is not the server's. Raises ValueError for one that is wrong."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the header {name} takes Latin-1 text without line ends, got {value!r}")
    lower = name.lower()
    if lower == "content-type" and value.partition(";")[0].strip().lower() != "text/event-stream":
        raise ValueError(f"a stream's Content-Type is text/event-stream, got {value!r}")
    is_coded = lower == "content-encoding" and value.strip().lower() not in _NO_ENCODING
    if is_coded or lower == "content-length":
        raise ValueError(
            f"a stream has no {name}, since its bytes are not known before its end: leave the header out"
        )
    return lower not in _HOP_BY_HOP


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
