"""Every route below /v1, and Azure's below /openai, answered from recordings."""

import json
from dataclasses import replace
from functools import partial

from flask import Blueprint, Request, Response

from flask_sluice.gateway.api.passed_back import NOSNIFF
from flask_sluice.gateway.api.paths import path_below
from flask_sluice.gateway.relay.answer.error_events import api_of_route
from flask_sluice.gateway.relay.answer.state import Api
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import decode, read_bytes, read_json
from flask_sluice.gateway.request.client_identity import note_user
from flask_sluice.gateway.request.models import check_models
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.replay.asked import Asked, fields_of
from flask_sluice.gateway.simulator.replay.library import Library
from flask_sluice.gateway.simulator.replay.play import Answer, play
from flask_sluice.gateway.simulator.timed_feed import TimedFeed
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.headers_and_errors import (
    error_for_messages,
    error_for_openai,
    stream_headers,
)
from flask_sluice.stream.responses import StreamResponse, context_of
from flask_sluice.stream.transport.client_socket import client_of

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_CHAT = "/chat/completions"


class Replaying:
    """Answers the requests of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secrets = (settings.upstream_api_key, *settings.api_keys, *settings.secret_key)
        self._library = Library(settings.replay)
        # Now, and not while the first client waits.
        self._library.refresh()
        # A comment would spoil a document, and a recorded stream has those that it had.
        self._options = replace(settings.stream_options, keepalive_seconds=0)

    def respond(self, base: str) -> Response:
        """Return the response to the current request. base: /v1 or /openai"""
        request = current_request()
        path = path_below(base, request)
        body = read_bytes(request)
        if self._settings.models:
            check_models(request, path, body, self._settings.models)
        context = context_of(request)
        answer = self._answer(request, base + path, body, context)
        head = answer.head
        is_event_stream = head is not None and _is_event_stream(head.headers)
        is_messages = api_of_route(path.partition("?")[0]) is Api.MESSAGES
        stream = EventStream(
            self._feed(answer, context, is_event_stream=is_event_stream),
            context=context,
            render_error=error_for_messages if is_messages else error_for_openai,
            client=client_of(request.environ),
            options=self._options,
        )
        stream.wait_for_first_event(None)
        if head is None:
            # Only a recording that was cut before its head comes here.
            return StreamResponse(stream, [*stream_headers(context.request_id), NOSNIFF])
        given = {name.lower(): value for name, value in head.headers.items()}
        if is_event_stream:
            given.update(
                {name.lower(): value for name, value in stream_headers(context.request_id)}
            )
        given.setdefault("x-request-id", context.request_id)
        given["x-content-type-options"] = NOSNIFF[1]
        if head.status >= 400:
            registry.stats().refuse(head.status, "upstream_error")
        return StreamResponse(stream, list(given.items()), head.status)

    def chat_feed(self, context: StreamContext) -> TimedFeed:
        """Return the feed of a chat completion for a kept stream, asked as the relay would have asked for it."""
        request = current_request()
        given = read_json(request)
        note_user(request, given)
        body = decode(given, dict[str, object])
        options = body.get("stream_options")
        body["stream"] = True
        body["stream_options"] = {
            **(options if isinstance(options, dict) else {}),
            "include_usage": True,
        }
        context.notes["model"] = body.get("model")
        answer = self._answer(request, f"/v1{_CHAT}", json.dumps(body).encode(), context, "POST")
        return self._feed(answer, context, is_event_stream=True)

    def _answer(
        self,
        request: Request,
        target: str,
        body: bytes,
        context: StreamContext,
        method: str | None = None,
    ) -> Answer:
        headers = {name.lower(): value for name, value in request.headers.items()}
        fields = fields_of(method or request.method, target, headers, body, self._secrets)
        asked = Asked.from_fields(fields)
        recording = self._library.find(asked)
        if recording is None:
            raise ApiError(404, "recording_not_found", self._library.explain(asked, fields))
        context.notes.update(recording=recording.path.name, model=asked.model or None)
        return play(recording.path, self._settings.replay_speed)

    def _feed(self, answer: Answer, context: StreamContext, *, is_event_stream: bool) -> TimedFeed:
        return TimedFeed(
            answer.items, context, self._settings.channel_size, is_event_stream=is_event_stream
        )


def blueprint(replaying: Replaying) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("replay", __name__)
    routes.add_url_rule(
        "/v1/<path:rest>", "v1", partial(_respond, replaying, "/v1"), methods=_METHODS
    )
    routes.add_url_rule(
        "/openai/<path:rest>", "openai", partial(_respond, replaying, "/openai"), methods=_METHODS
    )
    return routes


def _respond(replaying: Replaying, base: str, rest: str) -> Response:  # noqa: ARG001 - the path is taken as it came
    return replaying.respond(base)


def _is_event_stream(headers: dict[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")
