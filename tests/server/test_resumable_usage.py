"""A resumable stream asks its upstream for usage, and goes on without it where the upstream refuses to be asked."""

import json
import socket

import pytest

from tests.server.raw_upstream import Handler, streams, whole
from tests.server.relayed import ANSWER
from tests.support.server import Server
from tests.support.stream import ask, chat, get, post

USAGE = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
MISTRALS = b'{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}}'
FASTAPIS = b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}'
OPENAIS = (
    b'{"error":{"message":"Unrecognized request argument supplied: stream_options","code":null}}'
)
TOO_LONG = b'{"error":{"message":"the context is too long","code":"context_length_exceeded"}}'


def body_of(request: bytes) -> dict[str, object]:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def refuses_options(status: str, body: bytes) -> Handler:
    def handler(sock: socket.socket, request: bytes) -> None:
        if "stream_options" in body_of(request):
            sock.sendall(whole(body, status))
        else:
            streams(ANSWER)(sock, request)

    return handler


def read_stream(server: Server, **fields: object) -> bytes:
    _, created = ask(server, post("/v1/streams", chat(**fields)))
    return ask(server, get(json.loads(created)["url"]))[1]


def test_usage_is_asked_for_and_told(relay, upstream):
    upstream.handler = streams(ANSWER.replace(b"data: [DONE]", USAGE + b"data: [DONE]"))
    end = read_stream(relay)
    assert b"event: done\n" in end
    assert b'"usage":{"total_tokens":3}' in end
    (request,) = upstream.requests
    assert body_of(request)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("422 Unprocessable Entity", MISTRALS),
        ("422 Unprocessable Entity", FASTAPIS),
        ("400 Bad Request", OPENAIS),
    ],
)
def test_an_upstream_that_refuses_stream_options_is_asked_without_them(
    relay, upstream, status, body
):
    upstream.handler = refuses_options(status, body)
    end = read_stream(relay)
    assert b"event: done\n" in end
    assert b'"finish_reason":"stop","usage":null' in end
    assert body_of(upstream.requests[1]) == chat()


def test_a_request_that_is_refused_for_another_reason_is_sent_once(relay, upstream):
    upstream.handler = refuses_options("400 Bad Request", TOO_LONG)
    assert b"the context is too long" in read_stream(relay)
    assert len(upstream.requests) == 1


def test_stream_options_of_another_type_are_the_upstreams_to_judge(relay, upstream):
    upstream.handler = streams(ANSWER)
    assert b"event: done\n" in read_stream(relay, stream_options="all", stream="true")
    assert body_of(upstream.requests[0])["stream_options"] == "all"
