"""Every route below /v1, and Azure's below /openai, passed on to an upstream."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

import msgspec
from flask import Blueprint, Request, Response

from flask_sluice.gateway.api.passed_back import (
    NOSNIFF,
    headers_passed_back,
    location_passed_back,
    status_passed_back,
)
from flask_sluice.gateway.api.passed_up import UpHeaders
from flask_sluice.gateway.relay.exchange import UpstreamRequest
from flask_sluice.gateway.relay.http1_parser import ResponseHead
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import check_model, decode, read_bytes, read_json
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, PlainAnswer
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.socket_feed import SocketFeed
from flask_sluice.stream.headers_and_errors import (
    error_for_messages,
    error_for_openai,
    stream_headers,
)
from flask_sluice.stream.loop.steps import Steps
from flask_sluice.stream.responses import StreamResponse, context_of
from flask_sluice.stream.transport.client_socket import client_of

# A segment of dots, also before parameters (RFC 3986, section 3.3), or a control character.
_AMBIGUOUS = re.compile(r"[/\\]\.\.?([/\\;]|$)|[\x00-\x1f\x7f]")
FindLocation = Callable[[ResponseHead], str | None]
"""Returns the Location for the client; raises ApiError where the upstream's leads elsewhere."""

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_COMPLETIONS = ("chat/completions", "completions")
_ROUTES_IN_METRICS = (*_COMPLETIONS, "responses", "messages", "embeddings", "models")
"""All others share one label, since a path may be anything."""
# The routes of a deployment that are known may have a deployment's name with a slash before them.
_DEPLOYMENT = re.compile(
    r"deployments/(?P<name>.+?)(?P<path>/(?:chat/completions|completions|embeddings|responses"
    r"|audio/(?:transcriptions|translations|speech)|images/(?:generations|edits)))"
    r"|deployments/(?P<other_name>[^/]+)(?P<other_path>/.+)"
)


class Call(msgspec.Struct):
    """The fields of a request's body that Sluice reads; the upstream judges the others."""

    model: str | None = None
    stream: bool | None = None


class StreamCall(Call):
    """The same with the field that Sluice changes where the answer is always to be a stream."""

    stream_options: dict[str, msgspec.Raw] | None = None


def blueprint(relay: Relay, settings: Settings) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("relay", __name__)
    up_headers = UpHeaders(settings)
    stream_options = replace(
        settings.stream_options, idle_timeout_seconds=settings.idle_timeout_seconds
    )

    @routes.route("/v1/<path:rest>", methods=_METHODS)
    def pass_on(rest: str) -> Response:
        request = current_request()
        return relay_to(rest, _path_below("/v1", request), None, None)

    @routes.route("/openai/<path:rest>", methods=_METHODS)
    def pass_on_azure(rest: str) -> Response:  # noqa: ARG001 - the path is taken as it came
        azure_path = _path_below("/openai", current_request())
        path, mark, query = azure_path.partition("?")
        path, deployment = _without_deployment(path)
        if deployment is not None:
            check_model(deployment, settings.models)
        return relay_to(path.removeprefix("/"), path + mark + query, azure_path, deployment)

    def relay_to(rest: str, path: str, azure_path: str | None, deployment: str | None) -> Response:
        """rest, path: below an upstream's URL, the one as the route's name, the other as it goes up"""
        request = current_request()
        is_completion = request.method == "POST" and rest in _COMPLETIONS
        body = read_json(request) if is_completion else read_bytes(request)
        call = decode(body, Call) if is_completion else _call_of(body)
        if call.model is not None:
            check_model(call.model, settings.models)
        context = context_of(request)
        model = call.model or deployment
        context.notes.update(route=_route(rest), model=model, stream=bool(call.stream))
        upstream_request = UpstreamRequest(
            method=request.method,
            path=path,
            headers=_headers_for_upstream(
                request, up_headers, context.request_id, is_stream=bool(call.stream)
            ),
            body=body,
            is_completion=is_completion,
            azure_path=azure_path,
        )
        find_location = partial(
            location_passed_back,
            path=path,
            upstreams=settings.upstream,
            our_base=request.script_root + "/v1",
        )
        opening = _open(relay.open(upstream_request, context), context, find_location)
        feed = SocketFeed(opening, context)
        stream = EventStream(
            feed,
            context=context,
            render_error=error_for_openai if is_completion else error_for_messages,
            client=client_of(request.environ),
            options=stream_options,
        )
        stream.wait_for_first_event(settings.commit_seconds if call.stream else None)
        return _response(stream, feed.source, find_location)

    return routes


def chat_feed(
    relay: Relay, settings: Settings
) -> Callable[[StreamContext], SocketFeed[UpstreamResponse]]:
    """Return a function that checks the current request and returns its feed: a chat completion as a stream, with usage,
    whatever the request asks for."""
    up_headers = UpHeaders(settings)

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
            headers=_headers_for_upstream(request, up_headers, context.request_id, is_stream=True),
            body=msgspec.json.encode(body),
            is_completion=True,
        )
        return SocketFeed(relay.open(upstream_request, context), context)

    return open_feed


def _headers_for_upstream(
    request: Request, up_headers: UpHeaders, request_id: str, *, is_stream: bool
) -> dict[str, str]:
    headers = up_headers.choose(request.environ, request.path)
    headers["x-request-id"] = request_id
    if is_stream:
        # A compressed stream cannot be cut into events.
        headers["accept-encoding"] = "identity"
    return headers


def _open(
    opening: Steps[UpstreamResponse], context: StreamContext, find_location: FindLocation
) -> Steps[UpstreamResponse]:
    """Open a response. Raises ApiError also for one whose Location leads elsewhere; it is closed then."""
    try:
        response = yield from opening
    except PlainAnswer as answer:
        upstream_id = context.notes.get("upstream_request_id")
        if upstream_id is not None:
            answer.headers["X-Upstream-Request-Id"] = str(upstream_id)
        raise
    try:
        find_location(response.head)
    except ApiError:
        response.abandon()
        raise
    return response


def _response(
    stream: EventStream, source: UpstreamResponse | None, find_location: FindLocation
) -> Response:
    if source is None:
        # The commit time was over before the upstream answered, or the client has left.
        return StreamResponse(stream, [*stream_headers(stream.request_id), NOSNIFF])
    headers = headers_passed_back(source.head, is_event_stream=source.is_event_stream)
    if not source.is_event_stream:
        location = find_location(source.head)
        if location is not None:
            headers.append(("Location", location))
        headers.append(("X-Request-Id", stream.request_id))
        return StreamResponse(stream, headers, status_passed_back(source.head))
    source.drop_head()
    return StreamResponse(stream, headers + stream_headers(stream.request_id))


def _route(rest: str) -> str:
    return f"/v1/{rest}" if rest in _ROUTES_IN_METRICS else "/v1/<path:rest>"


def _call_of(body: bytes) -> Call:
    """Read the body of a route that Sluice does not know; a body that is not such JSON has no fields."""
    try:
        return msgspec.json.decode(body, type=Call)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Call()


def _path_below(base: str, request: Request) -> str:
    """Return the path and query below ``base`` as they came, with their percent-encoding.

    Raises ApiError for a path with the segment ``.`` or ``..``, which could lead out of the upstream's URL, and for one
    with a fragment or control characters, which servers understand in different ways.
    """
    target: str = request.environ["RAW_URI"]
    if not target.startswith("/"):
        # The absolute form (RFC 9112, section 3.2.2): the host that it names is ignored.
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, mark, query = target.partition("?")
    prefix = f"{request.script_root}{base}/"
    if not path.startswith(prefix) or "#" in target or _is_ambiguous(path):
        raise ApiError(404, "not_found", f"there is no {request.path} here")
    return "/" + path.removeprefix(prefix) + mark + query


def _without_deployment(path: str) -> tuple[str, str | None]:
    """Return the path of OpenAI's API that a path below Azure's /openai stands for, and the deployment that it names."""
    match = _DEPLOYMENT.fullmatch(path.removeprefix("/"))
    if match is None:
        return path.removeprefix("/v1") if path.startswith("/v1/") else path, None
    return (
        match["path"] or match["other_path"],
        unquote(match["name"] or match["other_name"]),
    )


def _is_ambiguous(path: str) -> bool:
    if not ("." in path or "%" in path):
        return False
    return _AMBIGUOUS.search(unquote(path)) is not None
