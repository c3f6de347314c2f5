"""Reads streams of server-sent events, from Sluice or any other server, in plain threads or under gevent.

    client = SSEClient("http://127.0.0.1:8080")
    with client.stream("POST", "/v1/chat/completions", json=question) as stream:
        for event in stream:
            print(text_of(event.json()), end="", flush=True)

The loop ends without an exception only if the answer is complete; otherwise it raises a StreamError.
"""

from flask_sluice.client.client import SSEClient, StreamCallback, StreamCounts
from flask_sluice.client.completions import text_of
from flask_sluice.client.errors import (
    ConnectError,
    ConnectTimeoutError,
    Ending,
    ErrorDetails,
    ErrorEventError,
    FirstEventTimeoutError,
    IdleEventTimeoutError,
    IdleTimeoutError,
    RedirectError,
    RefusedError,
    StreamClosedError,
    StreamError,
    StreamTimeoutError,
    TotalTimeoutError,
    TransportError,
    TruncatedError,
    UnreadableError,
)
from flask_sluice.client.event import StreamEvent, is_terminal
from flask_sluice.client.reconnect import NEVER, Reconnect
from flask_sluice.client.stream import SSEStream
from flask_sluice.client.timeouts import Timeouts

__all__ = [
    "NEVER",
    "ConnectError",
    "ConnectTimeoutError",
    "Ending",
    "ErrorDetails",
    "ErrorEventError",
    "FirstEventTimeoutError",
    "IdleEventTimeoutError",
    "IdleTimeoutError",
    "Reconnect",
    "RedirectError",
    "RefusedError",
    "SSEClient",
    "SSEStream",
    "StreamCallback",
    "StreamClosedError",
    "StreamCounts",
    "StreamError",
    "StreamEvent",
    "StreamTimeoutError",
    "Timeouts",
    "TotalTimeoutError",
    "TransportError",
    "TruncatedError",
    "UnreadableError",
    "is_terminal",
    "text_of",
]
