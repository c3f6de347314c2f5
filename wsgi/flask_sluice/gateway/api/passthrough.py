"""Every route below /v1, passed on to an upstream."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

import msgspec
from flask import Blueprint, Request, Response

from flask_sluice.gateway.api.passed_headers import headers_passed_back, headers_passed_on
from flask_sluice.gateway.relay.answer.error_events import api_of_route, error_event
from flask_sluice.gateway.relay.exchange import UpstreamRequest
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import check_model, decode, read_bytes, read_json
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.socket_feed import SocketFeed
from flask_sluice.stream.headers_and_errors import error_for_openai, stream_headers
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
_ABSENT = msgspec.Raw(b"null")


class Call(msgspec.Struct):
    """The fields of a request's body that Sluice reads; the upstream judges the others."""

    model: str | None = None
    stream: bool | None = None
    n: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT

    @property
    def choice_count(self) -> int:
        """How many choices the answer has: ``n`` of them for each prompt (of ``/v1/completions``, which takes a list)."""
        n, prompts = _decoded(self.n), _decoded(self.prompt)
        count = n if isinstance(n, int) and n > 0 else 1
        if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
            count *= len(prompts)
        return count


class StreamCall(Call):
    """The same with the field that Sluice changes where the answer is always to be a stream."""

    stream_options: dict[str, msgspec.Raw] | None = None


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
            has_known_end=api_of_route(rest) is not None,
            choice_count=call.choice_count,
        )
        feed = SocketFeed(relay.open(upstream_request, context), context)
        stream = EventStream(
            feed,
            context=context,
            render_error=error_for_openai if is_completion else partial(error_event, feed, rest),
            client=client_of(request.environ),
            options=stream_options,
        )
        stream.wait_for_first_event(settings.commit_seconds if call.stream else None)
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
        call = decode(given, StreamCall)
        if call.model is not None:
            check_model(call.model, settings.models)
            context.notes["model"] = call.model
        # Raw leaves the other fields as they came, numbers of any size too.
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
            has_known_end=True,
            choice_count=call.choice_count,
        )
        return SocketFeed(relay.open(upstream_request, context), context)

    return open_feed


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


def _decoded(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _call_of(body: bytes) -> Call:
    """Read the body of a route that Sluice does not know; a body that is not such JSON has no fields."""
    try:
        return msgspec.json.decode(body, type=Call)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Call()


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
