"""Ollama's API."""

from typing import TypeVar

import msgspec
from flask import Blueprint, Response

from flask_sluice.gateway.api.openapi.operation import (
    NUMBER,
    OBJECT,
    TEXT,
    Json,
    Operation,
    Operations,
    array_of,
    json_object,
)
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.api.simulated.models import DEFAULT_MODEL
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import decode, read_json
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.ollama.chat import OllamaChatRequest
from flask_sluice.gateway.simulator.apis.ollama.embed import (
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
)
from flask_sluice.gateway.simulator.apis.ollama.generate import OllamaGenerateRequest
from flask_sluice.gateway.simulator.apis.ollama.models import OllamaModels
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.stream.errors import ApiError

Asked = TypeVar("Asked", bound=ApiRequest)

_VERSION = "0.12.6"
"""That of Ollama whose API this is."""
_TAG = "Ollama"
_MANAGING = (
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
)


class ShowRequest(msgspec.Struct):
    """The body of POST /api/show; ``name`` is the older field."""

    model: str = ""
    name: str = ""


def _answering(name: str, summary: str, body: type, *fields: str) -> Operations:
    answer = json_object("model", "created_at", *fields, model=TEXT, created_at=TEXT)
    operation = Operation(
        summary, _TAG, body=body, answer=answer, streams="application/x-ndjson", errors=(404,)
    )
    return {("POST", f"/api/{name}"): operation}


OPERATIONS: Operations = {
    **_answering("chat", "Answer a conversation", OllamaChatRequest, "message"),
    **_answering("generate", "Continue a text", OllamaGenerateRequest, "response"),
    ("POST", "/api/embed"): Operation(
        "Make vectors of texts",
        _TAG,
        body=OllamaEmbedRequest,
        answer=json_object("model", "embeddings", embeddings=array_of(array_of(NUMBER))),
    ),
    ("POST", "/api/embeddings"): Operation(
        "Make a vector of a text",
        _TAG,
        body=OllamaEmbeddingsRequest,
        answer=json_object("embedding", embedding=array_of(NUMBER)),
    ),
    ("GET", "/api/tags"): Operation(
        "List the models", _TAG, answer=json_object("models", models=array_of(OBJECT))
    ),
    ("GET", "/api/ps"): Operation(
        "List the models that are loaded",
        _TAG,
        answer=json_object("models", models=array_of(OBJECT)),
    ),
    ("GET", "/api/version"): Operation(
        "Tell the version", _TAG, answer=json_object("version", version=TEXT)
    ),
    ("POST", "/api/show"): Operation("Describe a model", _TAG, body=ShowRequest, answer=OBJECT),
    **{
        (method, path): Operation("Refuse to manage models", _TAG, status=501, answer=OBJECT)
        for method, path in _MANAGING
    },
}


def add(routes: Blueprint, answering: Answering, settings: Settings) -> None:
    """Add the routes."""
    models = OllamaModels(settings.models, DEFAULT_MODEL)

    @routes.post("/api/chat")
    def ollama_chat() -> Response:
        return answering.respond(read(OllamaChatRequest))

    @routes.post("/api/generate")
    def ollama_generate() -> Response:
        return answering.respond(read(OllamaGenerateRequest))

    @routes.post("/api/embed")
    def ollama_embed() -> Response:
        return answering.respond(read(OllamaEmbedRequest))

    @routes.post("/api/embeddings")
    def ollama_embeddings() -> Response:
        return answering.respond(read(OllamaEmbeddingsRequest))

    @routes.get("/api/tags")
    def ollama_tags() -> Json:
        return models.listed()

    @routes.get("/api/ps")
    def ollama_ps() -> Json:
        return models.loaded()

    @routes.get("/api/version")
    def ollama_version() -> Json:
        return {"version": _VERSION}

    @routes.post("/api/show")
    def ollama_show() -> Json:
        asked = decode(read_json(current_request()), ShowRequest)
        name = asked.model or asked.name
        check(name)
        return models.described(name)

    def ollama_manage() -> Response:
        raise ApiError(
            501,
            "not_implemented",
            "the simulator has no files of models to manage: it answers for any model "
            "(where SLUICE_MODELS is set, for those) without pulling it",
        )

    for method, path in _MANAGING:
        routes.add_url_rule(path, f"ollama_{path[5:]}", ollama_manage, methods=[method])

    def read(type_: type[Asked]) -> Asked:
        asked = answering.read_for_any_model(type_)
        check(asked.model)
        return asked

    def check(name: str) -> None:
        if not name:
            raise ApiError(400, "invalid_request", "model is required", param="model")
        if not models.has(name):
            raise ApiError(404, "model_not_found", f"model '{name[:256]}' not found", param="model")
