"""Heads of upstreams that browsers understand although they are not right."""

import json

import pytest

from tests.server.raw_upstream import LAST_CHUNK, STREAM_HEAD, chunk, head, sends, whole
from tests.server.relayed import ANSWER, DONE, HELLO, JSON_ANSWER, PATH, STOP, ask_chat, stream_of
from tests.support.stream import chat, post


def with_lines(head_: bytes, *lines: str) -> bytes:
    return head_[:-2] + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


@pytest.mark.parametrize("encoding", ["none", "identity", "utf-8", ""])
@pytest.mark.parametrize("stream", [True, False])
def test_a_content_encoding_that_encodes_nothing_is_left_out(relay, upstream, encoding, stream):
    answer = STREAM_HEAD + chunk(ANSWER) + LAST_CHUNK if stream else whole(JSON_ANSWER)
    head_, _, body = answer.partition(b"\r\n\r\n")
    upstream.handler = sends(
        with_lines(head_ + b"\r\n\r\n", f"Content-Encoding: {encoding}") + body
    )
    response, received = ask_chat(relay, stream=stream)
    assert (response.status, received) == (200, ANSWER if stream else JSON_ANSWER)
    assert "content-encoding" not in response.headers


def test_a_stream_that_is_compressed_is_a_502(relay, upstream):
    upstream.handler = sends(with_lines(STREAM_HEAD, "Content-Encoding: gzip") + chunk(b"\x1f\x8b"))
    response, body = ask_chat(relay)
    assert (response.status, json.loads(body)["error"]["code"]) == (502, "upstream_invalid")


@pytest.mark.parametrize("again", ["text/event-stream", "text/event-stream; charset=utf-8"])
def test_a_stream_with_two_content_types_is_a_stream_with_one(relay, upstream, again):
    doubled = with_lines(STREAM_HEAD, f"Content-Type: {again}")
    upstream.handler = sends(doubled, *map(chunk, (HELLO, STOP, DONE)), LAST_CHUNK)
    assert stream_of(relay) == ANSWER


def test_json_with_two_content_types_goes_out_with_one(relay, upstream):
    head_ = head(Content_Type="application/json", Content_Length=len(JSON_ANSWER))
    upstream.handler = sends(with_lines(head_, "Content-Type: application/json") + JSON_ANSWER)
    with relay.connect() as sock:
        sock.sendall(post(PATH, chat(stream=False)))
        data = b""
        while JSON_ANSWER not in data:
            data += sock.recv(65536)
    assert data.lower().count(b"content-type: application/json") == 1


@pytest.mark.parametrize("count", [150, 500])
def test_many_headers_of_an_upstream_are_passed_back(relay, upstream, count):
    lines = [f"X-RateLimit-{number}: {number}" for number in range(count)]
    head_ = head(Content_Type="application/json", Content_Length=len(JSON_ANSWER))
    upstream.handler = sends(with_lines(head_, *lines) + JSON_ANSWER)
    response, body = ask_chat(relay, stream=False)
    assert (response.status, body) == (200, JSON_ANSWER)


def test_a_long_header_of_an_upstream_is_read(relay, upstream):
    head_ = head(Content_Type="application/json", Content_Length=len(JSON_ANSWER))
    upstream.handler = sends(with_lines(head_, f"X-Long: {'x' * 40_000}") + JSON_ANSWER)
    assert ask_chat(relay, stream=False)[1] == JSON_ANSWER
