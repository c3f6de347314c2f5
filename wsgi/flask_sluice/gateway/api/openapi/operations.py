"""The operations of all routes that the gateway may have."""

from flask_sluice.gateway.api import demo, operations, passthrough, streams
from flask_sluice.gateway.api.doctor import routes as doctor
from flask_sluice.gateway.api.openapi.operation import OBJECT, Operation, Operations
from flask_sluice.gateway.api.simulated import (
    chat,
    control,
    embeddings,
    gemini,
    messages,
    models,
    ollama,
)
from flask_sluice.gateway.api.simulated.responses import routes as responses

OPERATIONS: Operations = {
    **chat.OPERATIONS,
    **messages.OPERATIONS,
    **models.OPERATIONS,
    **embeddings.OPERATIONS,
    **control.OPERATIONS,
    **ollama.OPERATIONS,
    **responses.OPERATIONS,
    **gemini.OPERATIONS,
    **passthrough.OPERATIONS,
    **streams.OPERATIONS,
    **demo.OPERATIONS,
    **doctor.OPERATIONS,
    **operations.OPERATIONS,
    ("GET", "/openapi.json"): Operation("Describe this server", "Operations", answer=OBJECT),
}
"""All but those below ``/_sluice/``, which nginx alone may ask."""
