"""Anthropic's Messages."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from flask import Blueprint, Response, jsonify

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
from flask_sluice.gateway.simulator.apis.messages.errors import error_json, in_their_words
from flask_sluice.gateway.simulator.apis.messages.request import (
    Conversation,
    CountRequest,
    MessagesRequest,
)
from flask_sluice.gateway.simulator.simulate import refuse
from flask_sluice.stream import registry
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.responses import request_id

Request = TypeVar("Request", bound=Conversation)

OPERATIONS: Operations = {
    ("POST", "/v1/messages"): Operation(
        "Write the next message of a conversation",
        "Anthropic",
        body=MessagesRequest,
        answer=json_object(
            *("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"),
            id=TEXT,
            type={"const": "message"},
            role={"const": "assistant"},
            model=TEXT,
            content=array_of(OBJECT),
            stop_reason=TEXT,
            stop_sequence={"type": ["string", "null"]},
            usage=OBJECT,
        ),
        streams="text/event-stream",
    ),
    ("POST", "/v1/messages/count_tokens"): Operation(
        "Count the tokens of a conversation",
        "Anthropic",
        body=CountRequest,
        answer=json_object("input_tokens", input_tokens=INTEGER),
    ),
}


def add(routes: Blueprint, answering: Answering) -> None:
    """Add the routes."""

    @routes.post("/v1/messages")
    @_with_their_errors
    def messages() -> Response:
        return answering.respond(_read(answering, MessagesRequest))

    @routes.post("/v1/messages/count_tokens")
    @_with_their_errors
    def count_tokens() -> Response:
        asked = _read(answering, CountRequest)
        if asked.simulator is not None and asked.simulator.fault is not None:
            refuse(asked.simulator.fault)
        return jsonify(input_tokens=asked.count_tokens())


def _read(answering: Answering, type_: type[Request]) -> Request:
    body = read_json(current_request())
    try:
        return answering.read(type_, body)
    except ApiError as error:
        raise in_their_words(error, body) from None


def _with_their_errors(view: Callable[[], Response]) -> Callable[[], Response]:
    """Return the view with Anthropic's form of a refusal, and their name of the request."""

    @wraps(view)
    def answer() -> Response:
        their_id = f"req_{request_id(current_request())}"
        try:
            response = view()
        except ApiError as error:
            registry.stats().refuse(error.status, error.code)
            response = Response(
                error_json(error, their_id),
                status=error.status,
                headers={"Content-Type": "application/json", **error.headers},
            )
        response.headers["request-id"] = their_id
        return response

    return answer
