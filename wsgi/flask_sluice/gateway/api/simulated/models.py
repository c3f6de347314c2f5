"""The models that the simulator lists."""

import time

from flask import Blueprint, request

from flask_sluice.gateway.api.openapi.operation import (
    INTEGER,
    TEXT,
    Operation,
    Operations,
    array_of,
    json_object,
)
from flask_sluice.gateway.api.simulated import gemini
from flask_sluice.gateway.request.error_handlers import is_google_client
from flask_sluice.gateway.request.models import check_model
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.messages.models import model_info, model_page

DEFAULT_MODEL = "sluice-simulator"
"""Listed where any name is accepted: programs that let people choose a model need one."""


_CARD = json_object(
    *("id", "object", "created", "owned_by"),
    id=TEXT,
    object={"const": "model"},
    created=INTEGER,
    owned_by=TEXT,
)
OPERATIONS: Operations = {
    ("GET", "/v1/models"): Operation(
        "List the models",
        "OpenAI",
        answer=json_object("object", "data", object={"const": "list"}, data=array_of(_CARD)),
    ),
    ("GET", "/v1/models/<path:name>"): Operation("Describe a model", "OpenAI", answer=_CARD),
}


def _is_anthropics() -> bool:
    """Whether a client of Anthropic's API asks: it names the version in each request."""
    return "Anthropic-Version" in request.headers


def add(routes: Blueprint, settings: Settings) -> None:
    """Add the routes."""
    started_at = int(time.time())

    @routes.get("/v1/models")
    def models() -> dict[str, object]:
        names = settings.models or (DEFAULT_MODEL,)
        if is_google_client():
            return gemini.list_models(names)
        if _is_anthropics():
            return model_page(names, started_at, request.args)
        return {"object": "list", "data": [model_card(name) for name in names]}

    @routes.get("/v1/models/<path:name>")
    def model(name: str) -> dict[str, object]:
        check_model(name, settings.models)
        if is_google_client():
            return gemini.describe_model(name)
        return model_info(name, started_at) if _is_anthropics() else model_card(name)

    def model_card(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": started_at, "owned_by": "sluice"}
