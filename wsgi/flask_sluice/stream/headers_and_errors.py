"""The headers of a stream, and its error event in either of the two forms."""

import random

import msgspec

from flask_sluice.sse import Event
from flask_sluice.stream.errors import as_api_error

Headers = list[tuple[str, str]]

EVENT_SOURCE_PREAMBLE = b": stream\n\n"
"""Sent at once, so that EventSource opens before there is an event."""


_DRAINED_RETRY_MS = (1000, 5000)


def stream_headers(request_id: str) -> Headers:
    """The headers of every stream. Those between client and server alone are gunicorn's (PEP 3333)."""
    return [
        ("Content-Type", "text/event-stream; charset=utf-8"),
        # no-transform keeps proxies from compressing, and with that from buffering.
        ("Cache-Control", "no-cache, no-transform"),
        # nginx buffers an answer from upstream unless this says otherwise.
        ("X-Accel-Buffering", "no"),
        ("X-Request-Id", request_id),
    ]


def error_for_openai(error: Exception) -> bytes:
    """The error event of OpenAI routes: the clients look for ``error`` in the data of a nameless event."""
    return Event(data=_error_json(error)).encode()


def error_for_messages(error: Exception) -> bytes:
    """The error event of relayed routes of other kinds: OpenAI's Responses and Anthropic's Messages alike have
    events with names, and clients of both look for one named ``error``."""
    body = {"type": "error", "error": as_api_error(error).body()}
    return Event(data=msgspec.json.encode(body).decode(), event="error").encode()


def error_for_event_source(error: Exception) -> bytes:
    """The error event of EventSource routes: ``event: error``, the message as a comment, the same JSON."""
    told = as_api_error(error)
    # So that the clients of a worker that ends do not come back all at once.
    retry = random.randint(*_DRAINED_RETRY_MS) if told.code == "draining" else None
    return Event(data=_error_json(told), event="error", comment=told.message, retry=retry).encode()


def _error_json(error: Exception) -> str:
    return msgspec.json.encode({"error": as_api_error(error).body()}).decode()
