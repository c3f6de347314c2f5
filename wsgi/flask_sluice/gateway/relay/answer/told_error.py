"""The errors that upstreams tell in a stream that has begun with status 200, in all the shapes that are in use."""

import json
import re
from typing import Any

import msgspec

from flask_sluice.gateway.large_json import has_many_values, small_value
from flask_sluice.stream.errors import ApiError

_MAX_TEXT_LENGTH = 4096
_LARGE_BYTES = 64 * 1024
_MAX_LENIENT_BYTES = 1024 * 1024
_OBJECT = re.compile(rb"\s*\{")
_ERROR = re.compile(rb'\s*\{\s*"error"\s*:\s*(?!null)')
"""How an error begins that is too large to be read."""
_FAILED_TYPES = ("response.failed", "response.cancelled", "response.error")
_FAILED_STATES = ("failed", "cancelled")
_STATUS_OF_NAME = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "validation": 422,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""By OpenAI's and Anthropic's types and codes, and by those of text-generation-inference."""


class Message(msgspec.Struct):
    """The JSON object in an event's data: the fields that say how the stream goes on, whatever type they have."""

    choices: Any = None
    code: Any = None
    detail: Any = None
    error: Any = None
    error_type: Any = None
    message: Any = None
    object: Any = None
    response: Any = None
    status: Any = None
    status_code: Any = None
    type: Any = None
    usage: Any = None


class _Choice(msgspec.Struct):
    """What is read of a choice in a large message; what it says is not."""

    index: Any = None
    finish_reason: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Message).decode
_FIELDS = Message.__struct_fields__
_RAW_FIELDS = [(name, msgspec.Raw, msgspec.Raw()) for name in _FIELDS if name != "choices"]
_decode_raw = msgspec.json.Decoder(msgspec.defstruct("_RawMessage", _RAW_FIELDS)).decode
_decode_raw_chunk = msgspec.json.Decoder(
    msgspec.defstruct("_RawChunk", [*_RAW_FIELDS, ("choices", list[_Choice] | None, None)])
).decode


class ToldError(msgspec.Struct, frozen=True):
    """An error that an upstream has told.

    text: what the upstream says
    status: the HTTP status that it names, by number or by type; None if it names none
    answer: the same as the body of an HTTP response: the upstream's JSON where that is an error's
    """

    text: str
    status: int | None
    answer: bytes


def as_message(data: bytes) -> Message | None:
    """Return the JSON object in ``data``; None if it is anything else, or has more values than can be read in one go."""
    if _OBJECT.match(data) is None:
        return None
    is_large = len(data) > _LARGE_BYTES
    if is_large and has_many_values(data):
        return None
    try:
        return _read_large(data) if is_large else _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if len(data) > _MAX_LENIENT_BYTES:
        return None
    # msgspec refuses some numbers and texts that other readers take.
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return Message(**{name: body[name] for name in _FIELDS if name in body})


def _read_large(data: bytes) -> Message:
    """Read an object that may hold a picture: only its small fields, and of its choices how they end."""
    raw: Any
    try:
        raw = _decode_raw_chunk(data)
        choices = None if raw.choices is None else list(map(msgspec.structs.asdict, raw.choices))
    except msgspec.ValidationError:
        raw, choices = _decode_raw(data), None
    values = {name: small_value(getattr(raw, name), _LARGE_BYTES) for name, *_ in _RAW_FIELDS}
    if (error := memoryview(raw.error)).nbytes > _LARGE_BYTES:
        values["error"] = _beginning_of(error)
    return Message(choices=choices, **values)


def error_told_in(name: str, data: bytes, message: Message | None) -> ToldError | None:
    """Return the error that an event tells, None if it tells none.

    name, data: the event's; message: the JSON in its data
    """
    if message is None:
        is_error = name == "error" or (len(data) > _LARGE_BYTES and _ERROR.match(data))
        return _told(_beginning_of(data), None, b"") if is_error else None
    if message.error:
        return _told(message.error, message, data)
    response = message.response if isinstance(message.response, dict) else {}
    if message.type in _FAILED_TYPES or (
        message.type == "response.done" and response.get("status") in _FAILED_STATES
    ):
        return _told(response.get("error") or f"{message.type}", message, b"")
    if name == "error" or _is_error(message):
        is_known = message.object == "error" or message.detail is not None
        return _told(msgspec.structs.asdict(message), message, data if is_known else b"")
    for choice in message.choices if isinstance(message.choices, list) else ():
        if isinstance(choice, dict) and (
            choice.get("error") or choice.get("finish_reason") == "error"
        ):
            return _told(choice.get("error") or "finish_reason is error", message, b"")
    return None


def _beginning_of(data: bytes | memoryview) -> str:
    return bytes(data[: 4 * _MAX_TEXT_LENGTH]).decode("utf-8", "replace")


def _is_error(message: Message) -> bool:
    """Return whether an object without ``error`` is one itself: vLLM's older ones, FastAPI's, llama.cpp's."""
    if message.type == "error" or message.object == "error":
        return True
    if message.choices is not None or message.object is not None or message.response is not None:
        return False
    if message.detail is not None and message.type is None:
        return True
    return isinstance(message.message, str) and _status_in(message) is not None


def _told(cause: Any, message: Message | None, answer: bytes) -> ToldError:
    text = cause if isinstance(cause, str) else _text_of(cause)
    text = text[:_MAX_TEXT_LENGTH] or "it does not say what"
    status = _status_of(cause) if isinstance(cause, dict) else None
    if status is None and message is not None:
        status = _status_in(message)
    if not answer:
        answer = msgspec.json.encode(
            {"error": ApiError(status or 502, "upstream_error", text).body()}
        )
    return ToldError(text, status, answer)


def _text_of(cause: Any) -> str:
    if isinstance(cause, dict):
        for field in ("message", "detail", "error", "code", "type"):
            if value := cause.get(field):
                return value if isinstance(value, str) else _as_json(value)
    return _as_json(cause)


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "something that is nested too deeply to be shown"


def _status_in(message: Message) -> int | None:
    return _status_of(msgspec.structs.asdict(message))


def _status_of(error: dict[str, Any]) -> int | None:
    """Return the status that servers put into ``status`` or ``code``, or name by ``type`` or ``code``."""
    named = {field: value for field, value in error.items() if isinstance(value, str | int)}
    for field in ("status", "status_code", "code"):
        if re.fullmatch("[45][0-9]{2}", str(named.get(field))):
            return int(named[field])
    for field in ("type", "code", "error_type"):
        if (status := _STATUS_OF_NAME.get(str(named.get(field)))) is not None:
            return status
    return None
