"""The headers of a stream, and its error event in the form that each kind of client reads."""

import logging
import random
from collections.abc import Callable
from functools import partial

import msgspec

from flask_sluice.sse import Event
from flask_sluice.stream.errors import as_api_error, as_unicode

logger = logging.getLogger("sluice.stream")

Headers = list[tuple[str, str]]
ErrorEvent = Callable[[Exception], Event]
"""An app's own function that makes the error event of a stream."""
RenderError = Callable[[Exception], bytes]

_RETRY_MS = (1000, 5000)
"""Clients that can go on with their stream reconnect after a time between these, and so not all at once."""
_RESUMABLE_CODES = ("draining", "redis_unreachable")
"""The errors of a reader alone: the answer goes on, and another worker, or a later time, has it."""

_MESSAGES_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Anthropic's, by HTTP status."""

_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Google's names (google.rpc.Code), by HTTP status."""


def stream_headers(request_id: str) -> Headers:
    """Return the headers of every stream. Hop-by-hop headers are the server's (PEP 3333)."""
    return [
        ("Content-Type", "text/event-stream; charset=utf-8"),
        # no-transform keeps proxies from compressing, and so from buffering.
        ("Cache-Control", "no-cache, no-transform"),
        # nginx buffers a response from its upstream unless this header forbids it.
        ("X-Accel-Buffering", "no"),
        ("X-Request-Id", request_id),
    ]


def error_for_openai(error: Exception) -> bytes:
    """Return the error event of OpenAI routes: their clients look for ``error`` in the data of an unnamed event."""
    return Event(data=_error_json(error)).encode()


def error_for_responses(error: Exception, sequence_number: int) -> bytes:
    """Return the error event of OpenAI's Responses API.

    The fields of its ``ResponseErrorEvent``, and ``error`` beside them, which OpenAI's own servers send and clients raise.

    sequence_number: the event's place in the stream
    """
    told = as_api_error(error).body()
    body = {
        "type": "error",
        "code": told["code"],
        "message": told["message"],
        "param": told["param"],
        "sequence_number": sequence_number,
        "error": told,
    }
    return Event(data=msgspec.json.encode(body).decode(), event="error").encode()


def error_for_messages(error: Exception) -> bytes:
    """Return the error event of Anthropic's Messages API."""
    return Event(data=messages_error_json(error), event="error").encode()


def messages_error_json(error: Exception) -> str:
    """Return the JSON of an error of Anthropic's Messages API, with the type that it has for such errors."""
    told = as_api_error(error)
    body = {"type": "error", "error": {**told.body(), "type": messages_error_type(told.status)}}
    return msgspec.json.encode(body).decode()


def ollama_error_json(error: Exception) -> bytes:
    """Return the JSON of an error of Ollama's API, which has a text alone."""
    return msgspec.json.encode({"error": as_unicode(as_api_error(error).message)})


def gemini_error_json(error: Exception) -> bytes:
    """Return the JSON of an error of Google's APIs; a field that is at fault is named as they name it."""
    told = as_api_error(error)
    message = as_unicode(told.message)
    details: list[dict[str, object]] = []
    if told.param is not None:
        violation = {"field": told.param, "description": message}
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [violation],
            }
        )
    default = "INVALID_ARGUMENT" if told.status < 500 else "INTERNAL"
    body = {
        "code": told.status,
        "message": message,
        "status": _GOOGLE_STATUSES.get(told.status, default),
        "details": details,
    }
    return msgspec.json.encode({"error": body})


def error_for_other_routes(error: Exception) -> bytes:
    """Return the error event of a stream of which nothing is known: named ``error``, and with OpenAI's ``error`` in it."""
    body = {"type": "error", "error": as_api_error(error).body()}
    return Event(data=msgspec.json.encode(body).decode(), event="error").encode()


def error_for_event_source(error: Exception, *, may_resume: bool = True) -> bytes:
    """Return the error event of EventSource routes: ``event: error``, the message as a comment, the error as JSON.

    may_resume: whether the stream may go on for its reader; then some errors say when to come back
    """
    told = as_api_error(error)
    retry = random.randint(*_RETRY_MS) if may_resume and told.code in _RESUMABLE_CODES else None
    return Event(data=_error_json(told), event="error", comment=told.message, retry=retry).encode()


def renderer(error_event: ErrorEvent | None, default: RenderError) -> RenderError:
    """Return what encodes a stream's error event: the app's own, or else the default one."""
    return default if error_event is None else partial(_render, error_event, default)


def _render(error_event: ErrorEvent, default: RenderError, error: Exception) -> bytes:
    try:
        event = error_event(error)
        if not isinstance(event, Event):
            raise TypeError(f"error_event returned {type(event).__name__}, not an Event(data=…)")
        return event.encode()
    except Exception:
        logger.exception("error_event failed; the client gets the default one")
        return default(error)


def _error_json(error: Exception) -> str:
    return msgspec.json.encode({"error": as_api_error(error).body()}).decode()


def messages_error_type(status: int) -> str:
    """Return the type that Anthropic's API has for an error with this status."""
    if status in _MESSAGES_ERROR_TYPES:
        return _MESSAGES_ERROR_TYPES[status]
    return "invalid_request_error" if status < 500 else "api_error"
