"""Every route below /v1, passed on to an upstream."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import msgspec
from flask import Blueprint, Request, Response

from flask_sluice.gateway.api.passed_headers import headers_passed_back, headers_passed_on
from flask_sluice.gateway.relay.exchange import UpstreamRequest
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import decode, read_bytes, read_json
from flask_sluice.gateway.request.form import InvalidFormError, fields_of, is_form
from flask_sluice.gateway.request.models import check_models
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
from flask_sluice.stream.loop.steps import Steps
from flask_sluice.stream.responses import (
    StreamResponse,
    context_of,
    stream_response,
)
from flask_sluice.stream.transport.client_socket import client_of

# A segment of dots, also before parameters (RFC 3986, section 3.3), or a control character.
_AMBIGUOUS = re.compile(r"[/\\]\.\.?([/\\;]|$)|[\x00-\x1f\x7f]")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_COMPLETIONS = ("chat/completions", "completions")
_ROUTES_IN_METRICS = (*_COMPLETIONS, "responses", "messages", "embeddings", "models")
"""All others share one label, since a path may be anything."""
_JSON_ROUTES = (*_COMPLETIONS, "responses", "messages", "embeddings")
_TRUE = ("true", "1", "on", "yes", "t", "y")
"""What the servers behind take for true, in any case (pydantic, "Booleans")."""


class Call(msgspec.Struct):
    """The fields of a request's body that Sluice reads. They may hold anything: the upstream judges them."""

    model: Any = None
    stream: Any = None
    stream_format: Any = None

    @property
    def model_name(self) -> str | None:
        return self.model if isinstance(self.model, str) else None


def blueprint(relay: Relay, settings: Settings) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("relay", __name__, url_prefix="/v1")
    stream_options = replace(
        settings.stream_options, idle_timeout_seconds=settings.idle_timeout_seconds
    )

    @routes.route("/<path:rest>", methods=_METHODS)
    def pass_on(rest: str) -> Response:
        request = current_request()
        is_completion = request.method == "POST" and rest in _COMPLETIONS
        is_json = request.method == "POST" and rest.rstrip("/") in _JSON_ROUTES
        body = read_json(request) if is_json else read_bytes(request)
        path = _path_below_v1(request)
        if settings.models:
            check_models(request, path, body, settings.models)
        call = _call_of(body, is_completion=is_completion)
        is_stream = _asks_for_stream(request, call, body, is_completion=is_completion)
        context = context_of(request)
        context.may_commit = is_stream
        context.notes.update(route=_route(rest), model=call.model_name, stream=is_stream)
        upstream_request = UpstreamRequest(
            method=request.method,
            path=path,
            headers=_headers_for_upstream(request, settings, context.request_id, is_stream),
            body=body,
            is_completion=is_completion,
        )
        feed = SocketFeed(relay.open(upstream_request, context), context)
        stream = EventStream(
            feed,
            context=context,
            render_error=error_for_openai if is_completion else error_for_messages,
            client=client_of(request.environ),
            options=stream_options,
        )
        stream.wait_for_first_event(settings.commit_seconds)
        return _response(stream, feed.source)

    return routes


def chat_feed(
    relay: Relay, settings: Settings
) -> Callable[[StreamContext], SocketFeed[UpstreamResponse]]:
    """Return a function that checks the current request and returns its feed: a chat completion as a stream, with usage,
    whatever the request asks for."""

    def open_feed(context: StreamContext) -> SocketFeed[UpstreamResponse]:
        request = current_request()
        given = read_json(request)
        if settings.models:
            check_models(request, "/chat/completions", given, settings.models)
        context.notes["model"] = decode(given, Call).model_name
        # Raw leaves the other fields as they came, numbers of any size too.
        body = decode(given, dict[str, msgspec.Raw])
        body["stream"] = msgspec.Raw(b"true")
        upstream_request = UpstreamRequest(
            method="POST",
            path="/chat/completions",
            headers=_headers_for_upstream(request, settings, context.request_id, is_stream=True),
            body=msgspec.json.encode(body),
            is_completion=True,
        )
        return SocketFeed(_open_with_usage(relay, upstream_request, body, context), context)

    return open_feed


def _open_with_usage(
    relay: Relay, request: UpstreamRequest, body: dict[str, msgspec.Raw], context: StreamContext
) -> Steps[UpstreamResponse]:
    """Ask for the stream and its usage; of an upstream that refuses to be asked for usage, for the stream alone.

    A request that was refused was not worked on, so asking again costs nothing but the time.
    """
    given = bytes(body.get("stream_options", b"null"))
    try:
        options = {} if given == b"null" else decode(given, dict[str, msgspec.Raw])
    except ApiError:
        return (yield from relay.open(request, context))  # The upstream judges it.
    options["include_usage"] = msgspec.Raw(b"true")
    with_usage = {**body, "stream_options": msgspec.Raw(msgspec.json.encode(options))}
    try:
        return (
            yield from relay.open(
                msgspec.structs.replace(request, body=msgspec.json.encode(with_usage)), context
            )
        )
    except ApiError as error:
        # FastAPI's 422 is about the fields of a request, and names them in shapes of its own.
        is_about_options = "stream_options" in f"{error.param} {error.message}"
        if error.status != 422 and not (error.status == 400 and is_about_options):
            raise
    return (yield from relay.open(request, context))


def _headers_for_upstream(
    request: Request, settings: Settings, request_id: str, is_stream: bool
) -> dict[str, str]:
    headers = headers_passed_on(request.environ)
    headers["x-request-id"] = request_id
    if settings.api_keys:
        # The client's key is for Sluice, and must not reach the upstream.
        headers.pop("authorization", None)
        headers.pop("x-api-key", None)
    if settings.upstream_api_key:
        headers["authorization"] = f"Bearer {settings.upstream_api_key}"
    if is_stream:
        # A compressed stream cannot be cut into events.
        headers["accept-encoding"] = "identity"
    return headers


def _response(stream: EventStream, source: UpstreamResponse | None) -> Response:
    if source is None:
        # The commit time was over before the upstream answered, or the client has left.
        return stream_response(stream)
    headers = headers_passed_back(source.head, is_event_stream=source.is_event_stream)
    if not source.is_event_stream:
        headers.append(("X-Request-Id", stream.request_id))
        return StreamResponse(stream, headers, source.head.status)
    source.drop_head()
    return StreamResponse(stream, headers + stream_headers(stream.request_id))


def _route(rest: str) -> str:
    return f"/v1/{rest}" if rest in _ROUTES_IN_METRICS else "/v1/<path:rest>"


def _call_of(body: bytes, *, is_completion: bool) -> Call:
    """Read the fields that Sluice needs, as leniently as the servers behind read them.

    A body that is not a JSON object has no fields. Raises ApiError 400 for such a body of a completion.
    """
    if not body and not is_completion:
        return Call()
    try:
        return decode(body, Call)
    except ApiError as error:
        fields = _as_python_reads_it(body)
        if fields is not None:
            return Call(fields.get("model"), fields.get("stream"), fields.get("stream_format"))
        if is_completion:
            raise error from None
        return Call()


def _as_python_reads_it(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that most servers behind see: json.loads takes NaN, UTF-16 and half surrogate pairs too."""
    if body.lstrip()[:1] not in (b"{", b"\xef", b"\xff", b"\xfe", b"\0"):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _asks_for_stream(request: Request, call: Call, body: bytes, *, is_completion: bool) -> bool:
    """Return whether the answer will be a stream, as far as the request says so. The upstream may decide otherwise."""
    if call.stream is not None or is_completion:
        return _is_true(call.stream)
    if call.stream_format is not None:
        return bool(call.stream_format == "sse")
    environ = request.environ
    query = environ.get("QUERY_STRING", "")
    if "stream" in query and not body:
        return _is_true(request.args.get("stream"))
    content_type = environ.get("CONTENT_TYPE", "")
    if is_form(content_type):
        return _form_asks_for_stream(content_type, body)
    # A client that takes JSON as well must get it where the answer is JSON, even after the commit time.
    accept: str = environ.get("HTTP_ACCEPT", "")
    return "," not in accept and accept.partition(";")[0].strip().lower() == "text/event-stream"


def _form_asks_for_stream(content_type: str, body: bytes) -> bool:
    try:
        fields = {field.name: field.value for field in fields_of(content_type, body)}
    except InvalidFormError:
        return False
    return fields.get("stream_format") == b"sse" or _is_true(
        fields.get("stream", b"").decode("latin-1")
    )


def _is_true(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _TRUE
    return value is True or value == 1


def _path_below_v1(request: Request) -> str:
    """Return the path and query as they came, with their percent-encoding.

    Raises ApiError for a path with the segment ``.`` or ``..``, which could lead out of the upstream's URL, and for one
    with a fragment or control characters, which servers understand in different ways.
    """
    target: str = request.environ["RAW_URI"]
    if not target.startswith("/"):
        # The absolute form (RFC 9112, section 3.2.2): the host that it names is ignored.
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
