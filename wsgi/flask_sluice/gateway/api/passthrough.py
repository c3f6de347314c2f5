"""Every route below /v1, and Azure's below /openai, passed on to an upstream."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import msgspec
from flask import Blueprint, Request, Response

from flask_sluice.gateway.api.call import asks_for_stream, read_call
from flask_sluice.gateway.api.openapi.operation import OBJECT, Operation, Operations
from flask_sluice.gateway.api.passed_back import (
    NOSNIFF,
    headers_passed_back,
    location_passed_back,
    status_passed_back,
)
from flask_sluice.gateway.api.passed_up import UpHeaders
from flask_sluice.gateway.api.paths import path_below, without_deployment
from flask_sluice.gateway.relay.answer.error_events import api_of_route, error_event
from flask_sluice.gateway.relay.exchange import UpstreamRequest
from flask_sluice.gateway.relay.http1_parser import ResponseHead
from flask_sluice.gateway.relay.recording.recorded import RelayedResponse
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import decode, read_bytes, read_json
from flask_sluice.gateway.request.body_budget import while_held
from flask_sluice.gateway.request.client_identity import note_user
from flask_sluice.gateway.request.models import check_model, check_models
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, PlainAnswer
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.socket_feed import SocketFeed
from flask_sluice.stream.headers_and_errors import error_for_openai, stream_headers
from flask_sluice.stream.loop.steps import Steps
from flask_sluice.stream.responses import StreamResponse, context_of
from flask_sluice.stream.transport.client_socket import client_of

FindLocation = Callable[[ResponseHead], str | None]
"""Returns the Location for the client; raises ApiError where the upstream's leads elsewhere."""

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_COMPLETIONS = ("chat/completions", "completions")
_ROUTES_IN_METRICS = (*_COMPLETIONS, "responses", "messages", "embeddings", "models")
"""All others share one label, since a path may be anything."""
_JSON_ROUTES = (*_COMPLETIONS, "responses", "messages", "embeddings")


_PASSED_ON = Operation(
    "Pass the request on to the upstream, and its answer back",
    "Relay",
    body=OBJECT,
    answer={},
    streams="text/event-stream",
)
OPERATIONS: Operations = {
    (method, rule): _PASSED_ON
    if method in ("POST", "PUT", "PATCH")
    else replace(_PASSED_ON, body=None)
    for method in _METHODS
    for rule in ("/v1/<path:rest>", "/openai/<path:rest>")
}


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
        return relay_to(rest, path_below("/v1", request), None, None)

    @routes.route("/openai/<path:rest>", methods=_METHODS)
    def pass_on_azure(rest: str) -> Response:  # noqa: ARG001 - the path is taken as it came
        azure_path = path_below("/openai", current_request())
        path, mark, query = azure_path.partition("?")
        path, deployment = without_deployment(path)
        if deployment is not None:
            check_model(deployment, settings.models)
        return relay_to(path.removeprefix("/"), path + mark + query, azure_path, deployment)

    def relay_to(rest: str, path: str, azure_path: str | None, deployment: str | None) -> Response:
        """rest, path: below an upstream's URL, the one as the route's name, the other as it goes up"""
        request = current_request()
        is_completion = request.method == "POST" and rest in _COMPLETIONS
        is_json = request.method == "POST" and rest.rstrip("/") in _JSON_ROUTES
        body = read_json(request) if is_json else read_bytes(request)
        if settings.models:
            check_models(request, path, body, settings.models)
        call = read_call(body, is_completion=is_completion)
        is_stream = asks_for_stream(request, call, body, is_completion=is_completion)
        context = context_of(request)
        context.may_commit = is_stream
        model = call.model_name or deployment
        context.notes.update(route=_route(rest), model=model, stream=is_stream)
        upstream_request = UpstreamRequest(
            method=request.method,
            path=path,
            headers=_headers_for_upstream(
                request, up_headers, context.request_id, is_stream=is_stream
            ),
            body=body,
            is_completion=is_completion,
            has_known_end=api_of_route(rest) is not None,
            choice_count=call.choice_count,
            azure_path=azure_path,
        )
        find_location = partial(
            location_passed_back,
            path=path,
            upstreams=settings.upstream,
            our_base=request.script_root + "/v1",
        )
        asking = while_held(request.environ, relay.open(upstream_request, context))
        opening = _open(asking, context, find_location)
        feed = SocketFeed(opening, context)
        stream = EventStream(
            feed,
            context=context,
            render_error=error_for_openai if is_completion else partial(error_event, feed, rest),
            client=client_of(request.environ),
            options=stream_options,
        )
        stream.wait_for_first_event(settings.commit_seconds)
        return _response(stream, feed.source, find_location)

    return routes


def chat_feed(
    relay: Relay, settings: Settings
) -> Callable[[StreamContext], SocketFeed[RelayedResponse]]:
    """Return a function that checks the current request and returns its feed: a chat completion as a stream, with usage,
    whatever the request asks for."""
    up_headers = UpHeaders(settings)

    def open_feed(context: StreamContext) -> SocketFeed[RelayedResponse]:
        request = current_request()
        given = read_json(request)
        if settings.models:
            check_models(request, "/chat/completions", given, settings.models)
        call = read_call(given, is_completion=True)
        note_user(request, given)
        context.notes["model"] = call.model_name
        # Raw leaves the other fields as they came, numbers of any size too.
        body = decode(given, dict[str, msgspec.Raw])
        body["stream"] = msgspec.Raw(b"true")
        upstream_request = UpstreamRequest(
            method="POST",
            path="/chat/completions",
            headers=_headers_for_upstream(request, up_headers, context.request_id, is_stream=True),
            body=msgspec.json.encode(body),
            is_completion=True,
            has_known_end=True,
            choice_count=call.choice_count,
        )
        opening = _open_with_usage(relay, upstream_request, body, context)
        return SocketFeed(while_held(request.environ, opening), context)

    return open_feed


def _open_with_usage(
    relay: Relay, request: UpstreamRequest, body: dict[str, msgspec.Raw], context: StreamContext
) -> Steps[RelayedResponse]:
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
    request: Request, up_headers: UpHeaders, request_id: str, *, is_stream: bool
) -> dict[str, str]:
    headers = up_headers.choose(request.environ, request.path)
    headers["x-request-id"] = request_id
    if is_stream:
        # A compressed stream cannot be cut into events.
        headers["accept-encoding"] = "identity"
    return headers


def _open(
    opening: Steps[RelayedResponse], context: StreamContext, find_location: FindLocation
) -> Steps[RelayedResponse]:
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
    stream: EventStream, source: RelayedResponse | None, find_location: FindLocation
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
        if source.head.status >= 400:
            registry.stats().refuse(source.head.status, "upstream_error")
        return StreamResponse(stream, headers, status_passed_back(source.head))
    source.drop_head()
    return StreamResponse(stream, headers + stream_headers(stream.request_id))


def _route(rest: str) -> str:
    return f"/v1/{rest}" if rest in _ROUTES_IN_METRICS else "/v1/<path:rest>"
