"""What the document says of one operation: a method of a route."""

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Operations = dict[tuple[str, str], "Operation"]
"""By method and Flask's rule. The module that has a route describes it."""


def json_object(*required: str, **properties: Json) -> Json:
    """Return the schema of an object with these properties, and perhaps others."""
    return {"type": "object", "required": list(required), "properties": properties}


def array_of(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


TEXT: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
OBJECT: Json = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    summary: what it does, without a full stop
    body: the msgspec Struct of the request's body, or its schema; None: it has none
    answer: the schema of the answer that is one JSON document; None: it has none
    status: of an answer
    streams: the media type of an answer that is a stream; None: it is never one
    other: the media type of an answer that is neither
    query: each parameter of the query with its meaning
    errors: the statuses of refusals beside those that any request may meet
    """

    summary: str
    tag: str
    body: type | Json | None = None
    answer: Json | None = None
    status: int = 200
    streams: Literal["text/event-stream", "application/x-ndjson"] | None = None
    other: str | None = None
    query: dict[str, str] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
