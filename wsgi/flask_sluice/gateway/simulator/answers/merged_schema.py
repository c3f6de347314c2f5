"""A schema with what it refers to: ``$ref`` and ``allOf`` joined into one."""

from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

_MAX_REFERENCES = 100
_GREATEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LEAST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_KEYWORDS_OF_TYPES = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": (*_GREATEST[:2], *_LEAST[:2], "multipleOf"),
}


class SchemaError(ValueError):
    """No value can be made. The message says where in the schema, as a JSON pointer (RFC 6901), and why."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer or 'the schema'}: {why}")


def merge_schemas(given: Any, root: Any, pointer: str) -> Schema:
    """Return the schema with its references and the parts of ``allOf`` in it.

    root: to which ``$ref`` points

    Raises SchemaError.
    """
    merged: Schema = {}
    waiting = [given]
    for _ in range(_MAX_REFERENCES):
        if not waiting:
            return merged
        schema = waiting.pop(0)
        if schema is True:
            continue
        if not isinstance(schema, dict):
            why = "nothing is allowed here" if schema is False else "a schema is an object"
            raise SchemaError(pointer, why)
        if "$ref" in schema:
            waiting.insert(0, _referred(schema["$ref"], root, pointer))
        parts = schema.get("allOf", [])
        if not isinstance(parts, list):
            raise SchemaError(pointer, "allOf takes a list of schemas")
        waiting[0:0] = parts
        _add(merged, schema)
    raise SchemaError(pointer, "it refers to itself, or has too many parts")


def types_of(schema: Schema, pointer: str) -> list[str]:
    """Return the types that a value may have, the one to be made first; null is last."""
    given = schema.get("type")
    if given is None:
        inferred = [
            kind
            for kind, keywords in _KEYWORDS_OF_TYPES.items()
            if any(keyword in schema for keyword in keywords)
        ]
        types = inferred[:1] or ["string"]
    else:
        types = list(given) if isinstance(given, list) else [given]
    if not types or not all(isinstance(each, str) for each in types):
        raise SchemaError(pointer, "type takes a name, or a list of names")
    if schema.get("nullable") is True:
        types.append("null")
    return sorted((each.lower() for each in types), key=lambda each: each == "null")


def _add(merged: Schema, schema: Schema) -> None:
    """Add what another schema demands as well."""
    for keyword, value in schema.items():
        if keyword in ("$ref", "allOf"):
            continue
        before = merged.get(keyword)
        if before is None or before == value:
            merged[keyword] = value
        elif keyword == "properties" and isinstance(before, dict) and isinstance(value, dict):
            merged[keyword] = {**before, **_both(before, value)}
        elif keyword == "required" and isinstance(before, list) and isinstance(value, list):
            merged[keyword] = [*before, *value]
        elif keyword == "enum" and isinstance(before, list) and isinstance(value, list):
            merged[keyword] = [each for each in before if each in value]
        elif keyword in _GREATEST and _are_numbers(before, value):
            merged[keyword] = max(before, value)
        elif keyword in _LEAST and _are_numbers(before, value):
            merged[keyword] = min(before, value)
        elif keyword == "type":
            merged[keyword] = _common_types(before, value)
        elif keyword in ("anyOf", "oneOf"):
            # Both have to be met: the second as a part of each branch of the first.
            merged[keyword] = [{"allOf": [each, {keyword: value}]} for each in before]


def _both(before: Schema, value: Schema) -> Schema:
    return {
        name: {"allOf": [before[name], each]} if name in before and before[name] != each else each
        for name, each in value.items()
    }


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def _common_types(before: Any, value: Any) -> Any:
    first = before if isinstance(before, list) else [before]
    second = value if isinstance(value, list) else [value]
    common = [each for each in first if each in second]
    if not common and "number" in first and "integer" in second:
        return "integer"
    return common or before


def _referred(reference: Any, root: Any, pointer: str) -> Any:
    """Return the part of the schema to which a reference leads: within the same document (RFC 6901)."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise SchemaError(
            pointer,
            f"$ref leads to {reference!r}; only parts of the same schema are known, such as "
            "'#/$defs/Name'",
        )
    found = root
    for step in filter(None, unquote(reference[1:]).split("/")):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise SchemaError(pointer, f"$ref leads to {reference!r}, which is not there")
    return found
