"""Makes the document from the app's own routes, so that it has all that are served and none that is not."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from werkzeug.routing import Map

from flask_sluice import __version__
from flask_sluice.gateway.api.openapi.operation import TEXT, Json, Operation, Operations
from flask_sluice.gateway.request.access.auth import needs_key

_PARAMETER = re.compile(r"<(?:(?P<kind>[^:<>]+):)?(?P<name>\w+)>")
_REF = "#/components/schemas/{name}"
_ERROR = {"$ref": _REF.format(name="Error")}
_ERROR_SCHEMA: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}
_INFO = {
    "title": "Sluice",
    "version": __version__,
    "license": {"name": "MIT", "identifier": "MIT"},
    "description": "Streams from ordinary WSGI: a gateway in front of OpenAI-compatible servers, or a simulator of one.",
}


def make_document(url_map: Map, operations: Operations, *, has_keys: bool) -> Json:
    """Return the document of the routes that are described.

    has_keys: whether the server takes API keys
    """
    served = [
        (method, rule.rule, operations[method, rule.rule])
        for rule in url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if (method, rule.rule) in operations
    ]
    bodies, components = _bodies(each for _, _, each in served)
    paths: dict[str, Json] = {}
    for method, rule, operation in served:
        path = _PARAMETER.sub(r"{\g<name>}", rule)
        described = _operation(method, path, operation, bodies)
        described["parameters"] = [*_in_path(rule), *_in_query(operation)]
        if has_keys and needs_key(rule):
            described["security"] = [{"key": []}]
        paths.setdefault(path, {})[method.lower()] = described
    schemes = {"key": {"type": "http", "scheme": "bearer"}} if has_keys else {}
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR_SCHEMA},
            "securitySchemes": schemes,
        },
    }


def _bodies(operations: Iterable[Operation]) -> tuple[dict[type, Json], dict[str, Any]]:
    """Return the schema of each type of a body, and the components to which they refer."""
    types = list(dict.fromkeys(each.body for each in operations if isinstance(each.body, type)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    return dict(zip(types, schemas, strict=True)), components


def _operation(method: str, path: str, operation: Operation, bodies: dict[type, Json]) -> Json:
    described: Json = {
        "summary": operation.summary,
        "tags": [operation.tag],
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        is_type = isinstance(operation.body, type)
        schema = bodies[operation.body] if is_type else operation.body  # type: ignore[index]
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return described


def _responses(operation: Operation) -> Json:
    content: Json = {}
    if operation.answer is not None:
        content["application/json"] = {"schema": operation.answer}
    for media_type in (operation.streams, operation.other):
        if media_type is not None:
            content[media_type] = {"schema": TEXT}
    answer: Json = {"description": operation.summary}
    if content:
        answer["content"] = content
    refusal = {"description": "a refusal", "content": {"application/json": {"schema": _ERROR}}}
    refusals = {str(status): refusal for status in operation.errors}
    return {str(operation.status): answer, **refusals, "default": refusal}


def _in_path(rule: str) -> list[Json]:
    return [
        {"name": match["name"], "in": "path", "required": True, "schema": TEXT}
        for match in _PARAMETER.finditer(rule)
    ]


def _in_query(operation: Operation) -> list[Json]:
    return [
        {"name": name, "in": "query", "required": False, "description": meaning, "schema": TEXT}
        for name, meaning in operation.query.items()
    ]
