"""OpenAI's embeddings and moderations."""

from flask import Blueprint, Response

from flask_sluice.gateway.api.openapi.operation import (
    OBJECT,
    TEXT,
    Operation,
    Operations,
    array_of,
    json_object,
)
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.simulator.apis.embeddings.request import EmbeddingsRequest
from flask_sluice.gateway.simulator.apis.moderations.request import ModerationsRequest

OPERATIONS: Operations = {
    ("POST", "/v1/embeddings"): Operation(
        "Make vectors of texts",
        "OpenAI",
        body=EmbeddingsRequest,
        answer=json_object(
            *("object", "data", "model", "usage"),
            object={"const": "list"},
            data=array_of(OBJECT),
            model=TEXT,
            usage=OBJECT,
        ),
    ),
    ("POST", "/v1/moderations"): Operation(
        "Judge texts and images",
        "OpenAI",
        body=ModerationsRequest,
        answer=json_object("id", "model", "results", id=TEXT, model=TEXT, results=array_of(OBJECT)),
    ),
}


def add(routes: Blueprint, answering: Answering) -> None:
    """Add the routes."""

    @routes.post("/v1/embeddings")
    def embeddings() -> Response:
        return answering.respond(answering.read(EmbeddingsRequest))

    @routes.post("/v1/moderations")
    def moderations() -> Response:
        return answering.respond(answering.read(ModerationsRequest))
