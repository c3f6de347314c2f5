"""OpenAI's chat completions and text completions."""

from collections.abc import Callable

from flask import Blueprint, Response

from flask_sluice.gateway.api.openapi.operation import (
    INTEGER,
    OBJECT,
    TEXT,
    Operation,
    Operations,
    array_of,
    json_object,
)
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import read_json
from flask_sluice.gateway.request.client_identity import note_user
from flask_sluice.gateway.simulator.apis.chat.request import ChatRequest
from flask_sluice.gateway.simulator.apis.completions.request import CompletionRequest
from flask_sluice.gateway.simulator.apis.openai_fields import StreamOptions
from flask_sluice.gateway.simulator.timed_feed import TimedFeed
from flask_sluice.stream.context import StreamContext


def _answer(name: str) -> dict[str, object]:
    return json_object(
        *("id", "object", "created", "model", "choices", "usage"),
        id=TEXT,
        object={"const": name},
        created=INTEGER,
        model=TEXT,
        choices=array_of(OBJECT),
        usage=OBJECT,
    )


OPERATIONS: Operations = {
    ("POST", "/v1/chat/completions"): Operation(
        "Answer a conversation",
        "OpenAI",
        body=ChatRequest,
        answer=_answer("chat.completion"),
        streams="text/event-stream",
    ),
    ("POST", "/v1/completions"): Operation(
        "Continue a text",
        "OpenAI",
        body=CompletionRequest,
        answer=_answer("text_completion"),
        streams="text/event-stream",
    ),
}


def add(routes: Blueprint, answering: Answering) -> None:
    """Add the routes."""

    @routes.post("/v1/chat/completions")
    def chat_completions() -> Response:
        return answering.respond(answering.read(ChatRequest))

    @routes.post("/v1/completions")
    def completions() -> Response:
        return answering.respond(answering.read(CompletionRequest))


def chat_feed(answering: Answering) -> Callable[[StreamContext], TimedFeed]:
    """Return a function that opens the feed of a chat completion, which is always a stream and tells its usage."""

    def open_feed(context: StreamContext) -> TimedFeed:
        body = read_json(current_request())
        chat = answering.read(ChatRequest, body)
        note_user(current_request(), body)
        context.notes["model"] = chat.model
        chat.stream = True
        chat.stream_options = StreamOptions(include_usage=True)
        chat.check()
        return answering.feed(chat, context)

    return open_feed
