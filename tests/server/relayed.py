"""Requests to relays, answers of upstreams, and what clients see of them."""

import json

from tests.server.raw_upstream import sends
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, post

MIB = 1024 * 1024
PATH = "/v1/chat/completions"
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER = HELLO + STOP + DONE
SILENT = sends()
JSON_ANSWER = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"hello"}}]}'


def ask_chat(server: Server, **fields) -> tuple[Response, bytes]:
    return ask(server, post(PATH, chat(**fields)))


def stream_of(server: Server, path: str = PATH) -> bytes:
    response, body = ask(server, post(path, chat()))
    assert response.status == 200, body
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    return body


def refusal(server: Server) -> tuple[int, str]:
    """Return status and code of an answer that failed before its headers."""
    response, body = ask_chat(server)
    assert response.headers["content-type"] == "application/json"
    return response.status, json.loads(body)["error"]["code"]


def in_stream_error(body: bytes) -> tuple[bytes, str]:
    """Return the events before the single error event at the end, and that event's code."""
    before, mark, error = body.rpartition(b'data: {"error":')
    assert mark, body
    assert error.endswith(b"\n\n")
    assert b'"error"' not in before
    assert DONE not in body
    return before, json.loads(mark[6:] + error)["error"]["code"]


def logged_end(server: Server, request_id: str) -> dict[str, object]:
    """Return the log line at the stream's end."""
    (line,) = wait_until(lambda: server.logged("stream ended", request_id=request_id))
    return line
