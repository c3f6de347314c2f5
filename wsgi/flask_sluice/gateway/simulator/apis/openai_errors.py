"""Why OpenAI's API refuses a request, in its own words and with its codes.

The codes of a missing field and of a wrong type are ours: ``invalid_request``.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from flask_sluice.gateway.simulator.bounds import SMALL_BODY_BYTES
from flask_sluice.stream.errors import ApiError

_PLACE = re.compile(r" - at `(?P<place>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_TYPE = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`")
_RANGE = re.compile(r"Expected `(?P<type>int|float)` (?P<sign><=|>=|<|>) (?P<limit>\S+)$")
_LENGTH = re.compile(r"Expected `(?P<type>str|array)` of length (?P<sign><=|>=) (?P<limit>\d+)$")
_STEPS = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")

_TYPE_NAMES = {
    "int": "an integer",
    "float": "a decimal",
    "str": "a string",
    "bool": "a boolean",
    "array": "an array of objects",
    "object": "an object",
    "null": "null",
}
_GOT_NAMES = {**_TYPE_NAMES, "float": "a decimal number", "array": "an array"}
_LISTS_OF_STRINGS = ("stop", "modalities", "prompt")
_NUMBERS = {"int": "integer", "float": "decimal"}
_NOUNS = {"str": "string", "array": "array"}
_CONTAINERS: dict[str, Any] = {
    "str": str,
    "array": list[msgspec.Raw],
}
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_MAX_SHOWN_CHARACTERS = 64


def explain(body: bytes, error: msgspec.ValidationError) -> ApiError | None:
    """Return the refusal of a body that is not of the form of a request; None where OpenAI's API has no words for it."""
    text = str(error)
    place = _PLACE.search(text)
    path = place["place"].removeprefix("$").removeprefix(".").replace("[...]", "") if place else ""
    text = _PLACE.sub("", text)
    if path.partition(".")[0] == "simulator":
        return None
    if missing := _MISSING.fullmatch(text):
        return missing_field(f"{path}.{missing['field']}" if path else missing["field"])
    return _refusal(body, path, text) if path else None


def _refusal(body: bytes, path: str, text: str) -> ApiError | None:
    """Return the refusal of a field's value. text: msgspec's message without the field"""
    if wrong := _TYPE.fullmatch(text):
        got = _GOT_NAMES.get(wrong["got"], "null")
        return wrong_type(path, _expected(path, wrong["expected"]), got)
    if outside := _RANGE.fullmatch(text):
        return _out_of_range(path, outside, _value_at(body, path))
    if length := _LENGTH.fullmatch(text):
        return _wrong_length(path, length, _value_at(body, path))
    return None


def missing_field(path: str) -> ApiError:
    """Return the refusal of a request without this field."""
    if path == "model":
        return ApiError(400, "invalid_request", "you must provide a model parameter", param=path)
    return ApiError(400, "invalid_request", f"Missing required parameter: '{path}'.", param=path)


def wrong_type(path: str, expected: str, got: str) -> ApiError:
    """Return the refusal of a value of another type. expected, got: such as "a string" """
    message = f"Invalid type for '{path}': expected {expected}, but got {got} instead."
    return ApiError(400, "invalid_request", message, param=path)


def unknown_value(path: str, value: str, supported: Sequence[str]) -> ApiError:
    """Return the refusal of a value that is not among those of its field."""
    shown = value if len(value) <= _MAX_SHOWN_CHARACTERS else f"{value[:3]}...{value[-3:]}"
    values = listed([f"'{each}'" for each in supported])
    message = f"Invalid value: '{shown}'. Supported values are: {values}."
    return ApiError(400, "invalid_value", message, param=path)


def wrong_pattern(path: str, pattern: str) -> ApiError:
    """Return the refusal of a text that has other characters than it may."""
    message = (
        f"Invalid '{path}': string does not match pattern. "
        f"Expected a string that matches the pattern '{pattern}'."
    )
    return ApiError(400, "invalid_value", message, param=path)


def too_long(path: str, limit: int, length: int) -> ApiError:
    """Return the refusal of a text with too many characters."""
    message = (
        f"Invalid '{path}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead."
    )
    return ApiError(400, "string_above_max_length", message, param=path)


def invalid(path: str, message: str, code: str = "invalid_value") -> ApiError:
    """Return the refusal of a value for another reason."""
    return ApiError(400, code, message, param=path)


def name_of_type(value: bytes) -> str:
    """Return what a JSON value is, such as "a string"."""
    names = {b"{": "object", b"[": "array", b'"': "str", b"n": "null", b"t": "bool", b"f": "bool"}
    kind = names.get(value[:1]) or ("int" if value.lstrip(b"-").isdigit() else "float")
    return _GOT_NAMES[kind]


def too_many_properties(path: str, limit: int, count: int | None) -> ApiError:
    """Return the refusal of an object. count: of its properties; None: it takes long to count them"""
    shown = "more" if count is None else f"an object with {count} properties"
    message = (
        f"Invalid '{path}': too many properties. Expected an object with at most {limit} properties, "
        f"but got {shown} instead."
    )
    return ApiError(400, "object_above_max_properties", message, param=path)


def listed(items: Sequence[str], word: str = "and") -> str:
    """Return the items as a list in a sentence."""
    if len(items) < 3:
        return f" {word} ".join(items)
    return f"{', '.join(items[:-1])}, {word} {items[-1]}"


def check_name(path: str, name: str, max_length: int = 64) -> None:
    """Raise ApiError for a name that OpenAI's API does not take, of a function or of who speaks."""
    if not name or not _NAME.fullmatch(name):
        raise wrong_pattern(path, "^[a-zA-Z0-9_-]+$")
    if len(name) > max_length:
        raise too_long(path, max_length, len(name))


def _expected(path: str, types: str) -> str:
    names = [_TYPE_NAMES.get(name, name) for name in types.split(" | ") if name != "null"]
    if path in _LISTS_OF_STRINGS:
        names = [name.replace("objects", "strings") for name in names]
    if len(names) == 1:
        return names[0]
    first, *others = names
    return f"one of {listed([first, *(name.partition(' ')[2] for name in others)], 'or')}"


def _out_of_range(path: str, outside: re.Match[str], value: bytes) -> ApiError:
    kind, is_above = _NUMBERS[outside["type"]], outside["sign"].startswith("<")
    side, code = ("above maximum", "above_max") if is_above else ("below minimum", "below_min")
    limit = outside["limit"].removesuffix(".0")
    given = value[:_MAX_SHOWN_CHARACTERS].decode("utf-8", "replace")
    message = (
        f"Invalid '{path}': {kind} {side} value. "
        f"Expected a value {outside['sign']} {limit}, but got {given or 'another'} instead."
    )
    return ApiError(400, f"{kind}_{code}_value", message, param=path)


def _wrong_length(path: str, length: re.Match[str], value: bytes) -> ApiError:
    kind, is_above, limit = length["type"], length["sign"] == "<=", length["limit"]
    count = _count(kind, value)
    shown = "another" if count is None else str(count)
    noun = _NOUNS[kind]
    a_noun = "an array" if kind == "array" else "a string"
    if not is_above and count == 0:
        problem, code, got = f"empty {noun}", f"empty_{noun}", f"an empty {noun}"
    else:
        problem = f"{noun} too {'long' if is_above else 'short'}"
        code = f"{noun}_{'above_max' if is_above else 'below_min'}_length"
        got = f"{a_noun} with length {shown}"
    expected = f"{a_noun} with {'maximum' if is_above else 'minimum'} length {limit}"
    message = f"Invalid '{path}': {problem}. Expected {expected}, but got {got} instead."
    return ApiError(400, code, message, param=path)


def _count(kind: str, value: bytes) -> int | None:
    """Return how many characters or values there are; None: it takes long to count them."""
    return len(msgspec.json.decode(value, type=_CONTAINERS[kind])) if value else None


def _value_at(body: bytes, path: str) -> bytes:
    """Return the JSON of a value, nothing where it takes long to find it."""
    if len(body) > SMALL_BODY_BYTES:
        return b""
    value = body
    for step in _STEPS.finditer(path):
        if step[1] is not None:
            value = bytes(msgspec.json.decode(value, type=list[msgspec.Raw])[int(step[1])])
        else:
            value = bytes(msgspec.json.decode(value, type=dict[str, msgspec.Raw])[step[2]])
    return value
