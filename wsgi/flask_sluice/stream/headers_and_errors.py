"""The headers of a stream, and its error event in the form that each kind of client reads."""

import random

import msgspec

from flask_sluice.sse import Event
from flask_sluice.stream.errors import as_api_error

Headers = list[tuple[str, str]]

_DRAINED_RETRY_MS = (1000, 5000)
"""The clients of a worker that ends reconnect after a time between these."""


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


def error_for_messages(error: Exception) -> bytes:
    """Return the error event of the other relayed routes.

    OpenAI's Responses and Anthropic's Messages have named events, and clients of both look for one named ``error``.
    """
    body = {"type": "error", "error": as_api_error(error).body()}
    return Event(data=msgspec.json.encode(body).decode(), event="error").encode()


def error_for_event_source(error: Exception) -> bytes:
    """Return the error event of EventSource routes: ``event: error``, the message as a comment, the error as JSON."""
    told = as_api_error(error)
    # Spread, so that the clients of a worker that ends do not all reconnect at once.
    retry = random.randint(*_DRAINED_RETRY_MS) if told.code == "draining" else None
    return Event(data=_error_json(told), event="error", comment=told.message, retry=retry).encode()


def _error_json(error: Exception) -> str:
    return msgspec.json.encode({"error": as_api_error(error).body()}).decode()
