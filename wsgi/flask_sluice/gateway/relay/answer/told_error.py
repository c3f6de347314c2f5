"""The errors that upstreams tell in a stream that has begun with status 200, in all the shapes that are in use."""

import json
import re
from typing import Any

import msgspec

from flask_sluice.stream.errors import ApiError

_MAX_TEXT_LENGTH = 4096
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


_decode = msgspec.json.Decoder(Message).decode
_FIELDS = Message.__struct_fields__


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
    """Return the JSON object in ``data``; None if it is anything else."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # msgspec refuses some numbers and texts that other readers take.
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return Message(**{name: body[name] for name in _FIELDS if name in body})


def error_told_in(name: str, data: bytes, message: Message | None) -> ToldError | None:
    """Return the error that an event tells, None if it tells none.

    name, data: the event's; message: the JSON in its data
    """
    if message is None:
        return _told(data.decode("utf-8", "replace"), None, b"") if name == "error" else None
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
