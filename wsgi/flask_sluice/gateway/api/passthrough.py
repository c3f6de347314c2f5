"""Every route below /v1, passed on to an upstream."""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
from flask import Blueprint, Request, Response
from flask.globals import request_ctx

from flask_sluice.gateway.relay.exchange import UpstreamRequest
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.gateway.request.body import check_model, decode, read_bytes, read_json
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.socket_feed import SocketFeed
from flask_sluice.stream.headers_and_errors import (
    error_for_messages,
    error_for_openai,
    stream_headers,
)
from flask_sluice.stream.responses import (
    StreamResponse,
    client_of,
    context_of,
    stream_response,
)

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

# Dots as a segment, also before parameters (RFC 3986, section 3.3), and control characters.
_AMBIGUOUS = re.compile(r"[/\\]\.\.?([/\\;]|$)|[\x00-\x1f\x7f]")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_COMPLETIONS = ("chat/completions", "completions")
_ROUTES_TOLD_APART = (*_COMPLETIONS, "responses", "messages", "embeddings", "models")
"""In metrics. All others are one: a path may be anything."""

# Between two neighbours only (RFC 9110, section 7.6.1), or made anew here.
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "expect",
        "x-request-id",
        # Of an upstream Sluice is the client, and nobody's claims about others are ours to vouch for.
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
# Sluice's own, on a stream.
_NOT_PASSED_BACK = (_NOT_PASSED_ON - {"content-length"}) | {"date", "server"}
# Which pages may read an answer is said by SLUICE_CORS_ORIGINS alone.
_CORS_HEADERS = "access-control-"
_MADE_FOR_STREAMS = frozenset(
    {"content-type", "cache-control", "x-accel-buffering", "content-length"}
)


class Call(msgspec.Struct):
    """What is looked at of a completion's body; the upstream judges the rest."""

    model: str | None = None
    stream: bool | None = None


class StreamCall(Call):
    """What is changed of it where the answer is to be a stream, whatever was asked for."""

    stream_options: dict[str, msgspec.Raw] | None = None


def blueprint(relay: Relay, settings: Settings) -> Blueprint:
    routes = Blueprint("relay", __name__, url_prefix="/v1")
    stream_options = replace(
        settings.stream_options, idle_timeout_seconds=settings.idle_timeout_seconds
    )

    @routes.route("/<path:rest>", methods=_METHODS)
    def pass_on(rest: str) -> Response:
        # Each use of Flask's own ``request`` costs 1 us.
        request = request_ctx.request
        is_completion = request.method == "POST" and rest in _COMPLETIONS
        body = read_json(request) if is_completion else read_bytes(request)
        call = decode(body, Call) if is_completion else _call_of(body)
        if call.model is not None:
            check_model(call.model, settings.models)
        context = context_of(request)
        context.notes.update(route=_route(rest), model=call.model, stream=bool(call.stream))
        upstream_request = UpstreamRequest(
            method=request.method,
            path=_path_below_v1(request),
            headers=_headers_for_upstream(request, settings, context.request_id, bool(call.stream)),
            body=body,
            is_completion=is_completion,
        )
        feed = SocketFeed(relay.open(upstream_request, context), context)
        stream = EventStream(
            feed,
            context=context,
            render_error=error_for_openai if is_completion else error_for_messages,
            client=client_of(request),
            options=stream_options,
        )
        stream.wait_for_first_event(settings.commit_seconds if call.stream else None)
        return _response(stream, feed.source)

    return routes


def chat_feed(
    relay: Relay, settings: Settings
) -> Callable[[StreamContext], SocketFeed[UpstreamResponse]]:
    """Gives the feed of a chat completion that is always a stream, and says its usage."""

    def open_feed(context: StreamContext) -> SocketFeed[UpstreamResponse]:
        request = request_ctx.request
        given = read_json(request)
        call = decode(given, StreamCall)
        if call.model is not None:
            check_model(call.model, settings.models)
            context.notes["model"] = call.model
        # Raw: the other fields go on as they came, numbers of any size too.
        body = decode(given, dict[str, msgspec.Raw])
        options = {**(call.stream_options or {}), "include_usage": msgspec.Raw(b"true")}
        body["stream"] = msgspec.Raw(b"true")
        body["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
        upstream_request = UpstreamRequest(
            method="POST",
            path="/chat/completions",
            headers=_headers_for_upstream(request, settings, context.request_id, is_stream=True),
            body=msgspec.json.encode(body),
            is_completion=True,
        )
        return SocketFeed(relay.open(upstream_request, context), context)

    return open_feed


def _headers_for_upstream(
    request: Request, settings: Settings, request_id: str, is_stream: bool
) -> dict[str, str]:
    headers = _end_to_end_headers(request.environ)
    headers["x-request-id"] = request_id
    if settings.api_keys:
        # The client's is Sluice's, and nobody else's business.
        headers.pop("authorization", None)
        headers.pop("x-api-key", None)
    if settings.upstream_api_key:
        headers["authorization"] = f"Bearer {settings.upstream_api_key}"
    if is_stream:
        # A compressed stream cannot be cut into events.
        headers["accept-encoding"] = "identity"
    return headers


def _end_to_end_headers(environ: "WSGIEnvironment") -> dict[str, str]:
    named = _named_by(environ.get("HTTP_CONNECTION"))
    return {
        name: value
        for key, value in environ.items()
        if (name := _header_of(key)) and name not in _NOT_PASSED_ON and name not in named
    }


def _named_by(connection: str | None) -> Collection[str]:
    """The headers that are for the next hop alone (RFC 9110, section 7.6.1), in lower case."""
    if connection is None:
        return ()
    return {name.strip().lower() for name in connection.split(",")}


# werkzeug's headers do the same for each request anew: 20 us of a short answer's 700.
@lru_cache(maxsize=1024)
def _header_of(environ_key: str) -> str | None:
    """The name of the header that is in the WSGI environment under this key, None if none is."""
    if environ_key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        return environ_key.replace("_", "-").lower()
    if environ_key.startswith("HTTP_"):
        return environ_key.removeprefix("HTTP_").replace("_", "-").lower()
    return None


def _response(stream: EventStream, source: UpstreamResponse | None) -> Response:
    if source is None:
        # The commit time has come first, or the client has left.
        return stream_response(stream)
    named = _named_by(source.head.values.get("connection"))
    headers = [
        (name, value)
        for name, value in source.head.headers
        if name not in _NOT_PASSED_BACK and name not in named and not name.startswith(_CORS_HEADERS)
    ]
    if not source.is_event_stream:
        # Beside chunks a Content-Length does not count (RFC 9112, section 6.3).
        if "transfer-encoding" in source.head.values:
            headers = [header for header in headers if header[0] != "content-length"]
        headers.append(("X-Request-Id", stream.request_id))
        return StreamResponse(stream, headers, source.head.status)
    source.drop_head()
    headers = [header for header in headers if header[0] not in _MADE_FOR_STREAMS]
    return StreamResponse(stream, headers + stream_headers(stream.request_id))


def _route(rest: str) -> str:
    return f"/v1/{rest}" if rest in _ROUTES_TOLD_APART else "/v1/<path:rest>"


def _call_of(body: bytes) -> Call:
    """For a route that Sluice does not know: what its body says if it is such JSON, whatever its Content-Type."""
    try:
        return msgspec.json.decode(body, type=Call)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Call()


def _path_below_v1(request: Request) -> str:
    """The path and query as they came, percent-encoding and all.

    Raises ApiError for one with ``.`` or ``..`` as a segment, which could lead out of the upstream's URL, and
    for one with a fragment or control characters, which no path has and servers understand in many ways.
    """
    target: str = request.environ["RAW_URI"]
    if not target.startswith("/"):
        # The absolute form (RFC 9112, section 3.2.2): what it names as host is not asked.
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, mark, query = target.partition("?")
    prefix = f"{request.script_root}/v1/"
    if not path.startswith(prefix) or "#" in target or _is_ambiguous(path):
        raise ApiError(404, "not_found", f"there is no {request.path} here")
    return "/" + path.removeprefix(prefix) + mark + query


def _is_ambiguous(path: str) -> bool:
    if not ("." in path or "%" in path):
        return False
    return _AMBIGUOUS.search(unquote(path)) is not None
