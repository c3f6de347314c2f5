"""Google's Gemini API."""

from typing import TypeVar

from flask import Blueprint, Response

from flask_sluice.gateway.api.openapi.operation import (
    INTEGER,
    OBJECT,
    TEXT,
    Json,
    Operation,
    Operations,
    array_of,
    json_object,
)
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import read_json
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.gemini.embed import (
    GeminiBatchEmbedRequest,
    GeminiCountRequest,
    GeminiEmbedRequest,
)
from flask_sluice.gateway.simulator.apis.gemini.names import in_camel_case
from flask_sluice.gateway.simulator.apis.gemini.request import GeminiArrayRequest, GeminiRequest
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.bounds import SMALL_BODY_BYTES, check_size
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import heavy_work

Asked = TypeVar("Asked", bound=ApiRequest)

_TAG = "Gemini"
_BASES = ("/v1beta", "/v1")
"""Google's clients ask for either."""
_RULE = "/models/<path:name>:"
_METHODS = (
    *("generateContent", "streamGenerateContent", "countTokens"),
    *("embedContent", "batchEmbedContents"),
)
_CARD = json_object("name", "supportedGenerationMethods", name=TEXT)
_ANSWER = json_object("candidates", "usageMetadata", candidates=array_of(OBJECT))
_STREAM_QUERY = {"alt": "sse: the answer is a stream of events; otherwise one list of JSON"}


def _operation(method: str, summary: str, body: type, answer: Json, **more: object) -> Operations:
    operation = Operation(summary, _TAG, body=body, answer=answer, **more)  # type: ignore[arg-type]
    return {("POST", base + _RULE + method): operation for base in _BASES}


OPERATIONS: Operations = {
    **_operation("generateContent", "Answer a conversation", GeminiRequest, _ANSWER),
    **_operation(
        "streamGenerateContent",
        "Answer a conversation with a stream",
        GeminiRequest,
        array_of(_ANSWER),
        streams="text/event-stream",
        query=_STREAM_QUERY,
    ),
    **_operation(
        "countTokens",
        "Count the tokens of a prompt",
        GeminiCountRequest,
        json_object("totalTokens", totalTokens=INTEGER),
    ),
    **_operation(
        "embedContent", "Make a vector of a text", GeminiEmbedRequest, json_object("embedding")
    ),
    **_operation(
        "batchEmbedContents",
        "Make vectors of texts",
        GeminiBatchEmbedRequest,
        json_object("embeddings", embeddings=array_of(OBJECT)),
    ),
    ("GET", "/v1beta/models"): Operation(
        "List the models", _TAG, answer=json_object("models", models=array_of(_CARD))
    ),
    ("GET", "/v1beta/models/<path:name>"): Operation("Describe a model", _TAG, answer=_CARD),
}


def add(
    routes: Blueprint, answering: Answering, settings: Settings, listed: tuple[str, ...]
) -> None:
    """Add the routes. listed: the names of the models that are listed"""

    def generate(name: str) -> Response:
        return answering.respond(read(GeminiRequest, name))

    def stream(name: str) -> Response:
        is_event_stream = current_request().args.get("alt") == "sse"
        asked = read(GeminiRequest if is_event_stream else GeminiArrayRequest, name)
        asked.stream = True
        return answering.respond(asked)

    def count(name: str) -> Response:
        return answering.respond(read(GeminiCountRequest, name))

    def embed(name: str) -> Response:
        return answering.respond(read(GeminiEmbedRequest, name))

    def embed_many(name: str) -> Response:
        return answering.respond(read(GeminiBatchEmbedRequest, name))

    views = dict(zip(_METHODS, (generate, stream, count, embed, embed_many), strict=True))
    for base in _BASES:
        for method, view in views.items():
            routes.add_url_rule(
                base + _RULE + method, f"gemini_{method}_{base[1:]}", view, methods=["POST"]
            )

    @routes.get("/v1beta/models")
    def gemini_models() -> Json:
        return list_models(listed)

    @routes.get("/v1beta/models/<path:name>")
    def gemini_model(name: str) -> Json:
        check(name)
        return describe_model(name)

    def read(type_: type[Asked], name: str) -> Asked:
        check(name)
        body = read_json(current_request())
        if len(body) > SMALL_BODY_BYTES:
            with heavy_work():
                check_size(body)
                body = in_camel_case(body, type_)
        else:
            body = in_camel_case(body, type_)
        asked = answering.read_for_any_model(type_, body)
        asked.model = name
        # The path alone says whether the answer is a stream.
        asked.stream = False
        return asked

    def check(name: str) -> None:
        if settings.models and name not in settings.models:
            raise ApiError(
                404,
                "model_not_found",
                f"models/{name[:256]} is not found for API version v1beta, or is not supported for this method. "
                "Call ListModels to see the list of available models and their supported methods.",
            )


def list_models(names: tuple[str, ...]) -> Json:
    """Return what Google's API tells of these models."""
    return {"models": [describe_model(name) for name in names]}


def describe_model(name: str) -> Json:
    """Return what Google's API tells of a model."""
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "Simulated by Sluice",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": list(_METHODS),
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
