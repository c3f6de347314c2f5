"""The errors of Anthropic's API: their form, and the texts for fields of a wrong type."""

import re
from typing import Any

import msgspec

from flask_sluice.gateway.simulator.apis.messages.block_checks import Refusal
from flask_sluice.gateway.simulator.bounds import SMALL_BODY_BYTES
from flask_sluice.stream.errors import ApiError, as_api_error, as_unicode
from flask_sluice.stream.headers_and_errors import messages_error_type

_SEGMENT = re.compile(r"[^.\[\]]+")
_TYPES = (
    ("array", "Input should be a valid array"),
    ("object", "Input should be an object"),
    ("str", "Input should be a valid string"),
    ("int", "Input should be a valid integer"),
    ("float", "Input should be a valid number"),
    ("bool", "Input should be a valid boolean"),
)
"""The first that is expected counts: of text or a list the list."""
_TAGGED = ("source", "thinking", "tool_choice", "cache_control")
_TAGGED_LISTS = {"content": "", "tools": "custom"}
"""Fields whose places have the type of what is there, and the type of what has none."""


def error_json(error: Exception, request_id: str | None = None) -> bytes:
    """Return the body of a refusal, or the data of an error event, with nothing but what Anthropic's has.

    request_id: of a refusal
    """
    told = as_api_error(error)
    body: dict[str, Any] = {
        "type": "error",
        "error": {"type": messages_error_type(told.status), "message": as_unicode(told.message)},
    }
    if isinstance(told, Refusal) and told.error_code is not None:
        body["error"]["details"] = {"error_code": told.error_code}
    if request_id is not None:
        body["request_id"] = request_id
    return msgspec.json.encode(body)


def in_their_words(error: ApiError, body: bytes) -> ApiError:
    """Return the error for a body that could not be decoded with the text that Anthropic's API has for it."""
    message = error.message
    if error.code == "invalid_json":
        message = f"The request body is not valid JSON: {message.partition(': ')[2] or message}"
    elif error.code == "invalid_request" and not (error.param or "").startswith("simulator"):
        what = message.removeprefix(f"{error.param}: ")
        place = _place(error.param or "", body)
        message = f"{place}: {_words(what)}" if place else _words(what)
    return ApiError(error.status, error.code, message, param=error.param, headers=error.headers)


def _words(what: str) -> str:
    """Return the text for msgspec's."""
    if "missing required field" in what:
        return "Field required"
    if match := re.search(r"`(array|str)` of length ([<>]=) (\d+)", what):
        kind, relation, count = match.groups()
        noun, unit = ("List", "item") if kind == "array" else ("String", "character")
        side = "most" if relation == "<=" else "least"
        return f"{noun} should have at {side} {count} {unit}{'' if count == '1' else 's'}"
    if match := re.match(r"Expected `([^`]*)`", what):
        kinds = match[1].split(" | ")
        return next((text for kind, text in _TYPES if kind in kinds), what)
    return what


def _place(path: str, body: bytes) -> str:
    """Return the place of a field as Anthropic writes it: ``messages.0.content.1.tool_use.id``."""
    value: Any = msgspec.json.decode(body) if len(body) <= SMALL_BODY_BYTES else None
    places: list[str] = []
    parent = ""
    segments = _SEGMENT.findall(path)
    for number, segment in enumerate(segments, start=1):
        places.append(segment)
        value = _child(value, segment)
        tag = _tag(value, segment, parent)
        if tag and segments[number : number + 1] not in ([], ["type"]):
            places.append(tag)
        parent = segment
    return ".".join(places)


def _child(value: Any, segment: str) -> Any:
    if isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
        return value[int(segment)]
    return value.get(segment) if isinstance(value, dict) else None


def _tag(value: Any, segment: str, parent: str) -> str:
    if not isinstance(value, dict):
        return ""
    is_item = segment.isdecimal() and parent in _TAGGED_LISTS
    if not is_item and segment not in _TAGGED:
        return ""
    tag = value.get("type") or (_TAGGED_LISTS[parent] if is_item else "")
    return tag if isinstance(tag, str) else ""
