"""Which request bodies a relay takes, and that it passes them on whole or not at all."""

import codecs
import json
import socket

import pytest

from tests.server.raw_upstream import LAST_CHUNK, chunk, headers_of, sends, streams, whole
from tests.server.relayed import ANSWER, JSON_ANSWER, PATH
from tests.support.server import Server
from tests.support.stream import Response, ask, chat, get, post

LIMIT = 100_000
CHUNKED = b"Host: localhost\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def limited(raw_upstream):
    with Server(upstream=raw_upstream.url, max_body_bytes=LIMIT) as server:
        yield server


def chunked(body: bytes, path: str = "/v1/files", content_type: str = "audio/mpeg") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nContent-Type: {content_type}\r\n".encode() + CHUNKED
    pieces = [chunk(body[place : place + 7000]) for place in range(0, len(body), 7000)]
    return head + b"\r\n" + b"".join(pieces) + LAST_CHUNK


def error_of(server: Server, request: bytes) -> tuple[int, dict[str, object]]:
    response, body = ask(server, request)
    return response.status, json.loads(body)["error"]


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


JSON_AND_JUNK = json.dumps(chat()).encode().ljust(LIMIT, b" ") + b"junk"


@pytest.mark.parametrize(
    "request_",
    [
        chunked(b"x" * (LIMIT + 1)),
        chunked(b"x" * 30 * LIMIT),
        chunked(JSON_AND_JUNK, PATH, "application/json"),
        chunked(JSON_AND_JUNK, "/v1/streams", "application/json"),
        chunked(JSON_AND_JUNK, "/v1/embeddings", "application/json"),
        chunked(
            b"--x\r\n" + b"y" * LIMIT, "/v1/audio/transcriptions", "multipart/form-data; boundary=x"
        ),
        post("/v1/files", b"x" * (LIMIT + 1)),
        b"POST /v1/files HTTP/1.0\r\nContent-Length: 100001\r\n\r\n" + b"x" * (LIMIT + 1),
    ],
    ids=["by-one", "far", "json", "streams", "embeddings", "form", "length", "http-1.0"],
)
def test_a_body_over_the_limit_is_refused_and_never_reaches_the_upstream(
    limited, upstream, request_
):
    upstream.handler = sends(whole(b"{}"))
    status, error = error_of(limited, request_)
    assert (status, error["code"]) == (413, "body_too_large")
    assert str(LIMIT) in error["message"]
    assert upstream.requests == []


def test_a_length_over_the_limit_is_refused_before_the_body_comes(limited, upstream):
    with limited.connect() as sock:
        sock.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nx"
        )
        assert Response(sock).status == 413
    assert upstream.requests == []


@pytest.mark.parametrize("make", [chunked, lambda body: post("/v1/files", body)])
def test_a_body_of_exactly_the_limit_passes_whole(limited, upstream, make):
    upstream.handler = sends(whole(b"{}"))
    body = b"0123456789" * (LIMIT // 10)
    assert ask(limited, make(body))[0].status == 200
    assert body_of(upstream.requests[0]) == body


def test_the_connection_serves_another_request_after_a_body_over_the_limit(limited, upstream):
    with limited.connect() as sock:
        sock.sendall(chunked(b"x" * 3 * LIMIT) + get("/healthz"))
        response = Response(sock)
        assert (response.status, response.json()["error"]["code"]) == (413, "body_too_large")
        assert response.following().status == 200


def test_a_body_that_ends_before_its_length_never_reaches_the_upstream(limited, upstream):
    with limited.connect() as sock:
        sock.sendall(b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123")
        sock.shutdown(socket.SHUT_WR)
        assert Response(sock).status == 400
    assert upstream.requests == []


def test_a_chunked_body_that_is_cut_never_reaches_the_upstream(limited, upstream):
    with limited.connect() as sock:
        sock.sendall(chunked(b"x" * 100).removesuffix(LAST_CHUNK))
        sock.shutdown(socket.SHUT_WR)
        assert Response(sock).status == 400
    assert upstream.requests == []


@pytest.mark.parametrize("path", [PATH, "/v1/files", "/v1/streams"])
def test_a_compressed_body_is_refused_with_the_reason(relay, upstream, path):
    request = post(path, b"\x1f\x8b", Content_Encoding="gzip")
    status, error = error_of(relay, request)
    assert (status, error["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding: gzip" in error["message"]
    assert "uncompressed" in error["message"]
    assert upstream.requests == []


@pytest.mark.parametrize("path", [PATH, "/v1/responses", "/v1/messages", "/v1/streams"])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_json_of_another_type_is_refused_with_what_to_add(relay, upstream, path, content_type):
    status, error = error_of(relay, post(path, chat(), Content_Type=content_type))
    assert (status, error["code"]) == (415, "unsupported_media_type")
    assert "-H 'Content-Type: application/json'" in error["message"]
    assert upstream.requests == []


@pytest.mark.parametrize("path", [PATH, "/v1/embeddings"])
def test_a_byte_order_mark_before_json_is_taken_off(relay, upstream, path):
    upstream.handler = sends(whole(JSON_ANSWER))
    body = json.dumps(chat(stream=False)).encode()
    assert ask(relay, post(path, codecs.BOM_UTF8 + body))[0].status == 200
    assert body_of(upstream.requests[0]) == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": 1, "stream": false}',
        b'{"model": ["x"], "stream": {}, "stream_format": 1}',
        b'{"temperature": NaN}',
        rb'{"user": "\ud800"}',
        '{"model": "m"}'.encode("utf-16"),
    ],
)
def test_what_the_upstream_may_understand_passes_byte_for_byte(relay, upstream, body):
    upstream.handler = sends(whole(JSON_ANSWER))
    assert ask(relay, post(PATH, body))[1] == JSON_ANSWER
    assert body_of(upstream.requests[0]) == body


@pytest.mark.parametrize("stream", ["true", "True", "1", 1])
def test_a_stream_may_be_asked_for_as_servers_take_it(relay, upstream, stream):
    upstream.handler = streams(ANSWER)
    request = {**chat(), "stream": stream}
    assert ask(relay, post(PATH, request))[1] == ANSWER
    assert json.loads(body_of(upstream.requests[0])) == request
    # Only a stream is asked for without compression.
    assert headers_of(upstream.requests[0])["accept-encoding"] == "identity"
