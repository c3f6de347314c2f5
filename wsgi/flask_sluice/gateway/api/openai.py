"""OpenAI's API, answered by the simulator: chat completions, text completions, models."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from flask import Blueprint, Response

from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import decode, read_json
from flask_sluice.gateway.request.models import check_model
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.request_schema import (
    SMALL_BODY_BYTES,
    AnswerRequest,
    ChatRequest,
    CompletionRequest,
    StreamOptionsField,
    check_size,
)
from flask_sluice.gateway.simulator.simulator import simulate
from flask_sluice.gateway.simulator.timed_feed import TimedFeed
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.headers_and_errors import error_for_openai
from flask_sluice.stream.loop.give_way import heavy_work
from flask_sluice.stream.responses import (
    StreamResponse,
    context_of,
    stream_response,
)
from flask_sluice.stream.transport.client_socket import client_of

Asked = TypeVar("Asked", bound=AnswerRequest)

DEFAULT_MODEL = "sluice-simulator"
"""Listed where any name is accepted: programs that let people choose a model need one."""


def blueprint(settings: Settings) -> Blueprint:
    """Return the routes below /v1 for a gateway without an upstream."""
    routes = Blueprint("openai", __name__, url_prefix="/v1")
    stream_options = settings.stream_options
    # A comment would spoil a JSON document.
    document_options = replace(stream_options, keepalive_seconds=0)
    started_at = int(time.time())

    @routes.post("/chat/completions")
    def chat_completions() -> Response:
        return answer(_read(ChatRequest))

    @routes.post("/completions")
    def completions() -> Response:
        return answer(_read(CompletionRequest))

    @routes.get("/models")
    def models() -> dict[str, object]:
        names = settings.models or (DEFAULT_MODEL,)
        return {"object": "list", "data": [model_card(name) for name in names]}

    @routes.get("/models/<path:name>")
    def model(name: str) -> dict[str, object]:
        check_model(name, settings.models)
        return model_card(name)

    def answer(asked: AnswerRequest) -> Response:
        check_model(asked.model, settings.models)
        request = current_request()
        context = context_of(request)
        context.notes.update(model=asked.model, stream=asked.stream)
        stream = EventStream(
            TimedFeed(simulate(asked, context), context, settings.channel_size),
            context=context,
            render_error=error_for_openai,
            client=client_of(request.environ),
            options=stream_options if asked.stream else document_options,
        )
        # An answer that is not streamed sends no header before it is complete, so a failure keeps its status.
        stream.wait_for_first_event(settings.commit_seconds if asked.stream else None)
        if asked.stream:
            return stream_response(stream)
        headers = [("Content-Type", "application/json"), ("X-Request-Id", context.request_id)]
        return StreamResponse(stream, headers)

    def model_card(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": started_at, "owned_by": "sluice"}

    return routes


def chat_feed(settings: Settings) -> Callable[[StreamContext], TimedFeed]:
    """Return a function that opens the feed of a chat completion, which is always a stream and tells its usage."""

    def open_feed(context: StreamContext) -> TimedFeed:
        chat = _read(ChatRequest)
        check_model(chat.model, settings.models)
        context.notes["model"] = chat.model
        chat.stream = True
        chat.stream_options = StreamOptionsField(include_usage=True)
        return TimedFeed(simulate(chat, context), context, settings.channel_size)

    return open_feed


def _read(type_: type[Asked]) -> Asked:
    """Read the current request's body. Raises ApiError for one that is not of the type, or would take long to decode."""
    body = read_json(current_request())
    if len(body) <= SMALL_BODY_BYTES:
        return decode(body, type_)
    with heavy_work():
        check_size(body)
        return decode(body, type_)
