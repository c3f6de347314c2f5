"""What OpenAI's API demands of a JSON Schema: an object at its root, and more where it is to be followed strictly."""

from collections.abc import Iterator
from typing import Any

import msgspec

from flask_sluice.gateway.simulator.apis.openai_errors import (
    invalid,
    name_of_type,
    wrong_type,
)

MAX_SCHEMA_BYTES = 128 * 1024
"""Of all schemas of a request together: far more than OpenAI's API takes, and read in a few milliseconds."""
_MAX_NODES = 5000
_MAX_DEPTH = 64
_CHECKED_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_CHECKED_MAPS = ("$defs", "definitions")

Context = tuple[str, ...]


def check_schema(path: str, what: str, schema: msgspec.Raw, *, is_strict: bool, code: str) -> None:
    """Raise ApiError 400 for a schema that OpenAI's API does not take.

    path: of its field
    what: whose it is, such as "function 'weather'"
    code: of the refusal
    """
    text = bytes(schema)
    if not text.startswith(b"{"):
        raise wrong_type(path, "an object", name_of_type(text))
    document = decode_schema(path, text)
    root = document.get("type")
    if root != "object" and (root is not None or is_strict or "properties" in document):
        shown = "None" if root is None else root
        problem = f"""schema must be a JSON Schema of 'type: "object"', got 'type: "{shown}"'."""
        raise invalid(path, f"Invalid schema for {what}: {problem}", code)
    if is_strict:
        _check_strict(path, what, document, code)


def decode_schema(path: str, text: bytes) -> dict[str, Any]:
    """Return the schema. Raises ApiError 400 for one that is too large or nested too deeply."""
    if len(text) > MAX_SCHEMA_BYTES:
        raise invalid(path, f"'{path}' is larger than {MAX_SCHEMA_BYTES} bytes", "schema_too_large")
    try:
        document: dict[str, Any] = msgspec.json.decode(text)
    except RecursionError:
        raise invalid(path, f"'{path}' is nested too deeply", "schema_too_large") from None
    return document


def _check_strict(path: str, what: str, document: dict[str, Any], code: str) -> None:
    for count, (context, node) in enumerate(_nodes(document, (), path)):
        problem = _problem_of(node)
        if problem is not None:
            shown = f"({', '.join(map(repr, context))}{',' if len(context) == 1 else ''})"
            raise invalid(path, f"Invalid schema for {what}: In context={shown}, {problem}", code)
        if count >= _MAX_NODES:
            problem = f"schema has more than {_MAX_NODES} parts."
            raise invalid(path, f"Invalid schema for {what}: {problem}", code)


def _problem_of(node: dict[str, Any]) -> str | None:
    types = node.get("type")
    is_object = types == "object" or (isinstance(types, list) and "object" in types)
    if not is_object and "properties" not in node:
        return None
    if node.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    properties, required = node.get("properties"), node.get("required", [])
    if properties is None:
        properties = {}
    if not isinstance(properties, dict) or not isinstance(required, list):
        return "'properties' must be an object and 'required' an array."
    missing = properties.keys() - {name for name in required if isinstance(name, str)}
    if missing:
        name = next(name for name in properties if name in missing)
        return (
            "'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{name[:256]}'."
        )
    return None


def _nodes(node: object, context: Context, path: str) -> Iterator[tuple[Context, dict[str, Any]]]:
    """Yield each schema in a schema, with the way to it."""
    if not isinstance(node, dict):
        return
    if len(context) > _MAX_DEPTH:
        raise invalid(path, f"'{path}' is nested too deeply", "schema_too_large")
    yield context, node
    for key in ("properties", *_CHECKED_MAPS):
        if isinstance(inner := node.get(key), dict):
            for name, each in inner.items():
                yield from _nodes(each, (*context, key, name), path)
    yield from _nodes(node.get("items"), (*context, "items"), path)
    for key in _CHECKED_LISTS:
        if isinstance(choices := node.get(key), list):
            for number, each in enumerate(choices):
                yield from _nodes(each, (*context, key, str(number)), path)
