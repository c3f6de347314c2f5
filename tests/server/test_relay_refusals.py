"""The client's answer where an upstream refuses, or answers with something that cannot be passed on."""

import socket
import threading
from collections.abc import Iterator

import pytest

from benchmarks.ports import free_port
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    RawUpstream,
    chunk,
    head,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.server.relayed import (
    ANSWER,
    DONE,
    JSON_ANSWER,
    MIB,
    PATH,
    STOP,
    ask_chat,
    in_stream_error,
    refusal,
    stream_of,
)
from tests.support.server import Server
from tests.support.stream import Response, chat, post


@pytest.fixture(scope="module")
def quick_commit(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=raw_upstream.url, commit_seconds=0.05) as server:
        yield server


def test_no_listener_is_a_502():
    with Server(upstream=f"http://127.0.0.1:{free_port()}/v1") as server:
        assert refusal(server) == (502, "upstream_unreachable")


INVALID = {
    "another-protocol": sends_and_closes(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "noise": sends(b"\0\xff" * 10 + b"\r\n\r\n"),
    "half-a-head": sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-"),
    "an-endless-head": sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "a-folded-header": sends(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    "a-header-with-a-bare-cr": sends(whole(JSON_ANSWER, X="a\rb")),
    "a-header-with-a-control-character": sends(whole(JSON_ANSWER, X="a\x01b")),
    "a-header-name-with-a-space": sends(b"HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n"),
    "html": sends(whole(b"<html>", Content_Type="text/html")),
    "html-in-a-stream-of-chunks": sends(
        head(Content_Type="text/html", Transfer_Encoding="chunked"), chunk(b"<html>"), LAST_CHUNK
    ),
    "no-content-type": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("answer", INVALID)
def test_an_answer_that_is_not_http_or_not_a_completion_is_a_502(relay, upstream, answer):
    upstream.handler = INVALID[answer]
    assert refusal(relay) == (502, "upstream_invalid")


def test_a_connection_closed_without_a_word_is_a_502(relay, upstream):
    upstream.handler = sends_and_closes()
    assert refusal(relay) == (502, "upstream_unreachable")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Oops", "529 "]
)
def test_a_refusal_keeps_status_body_and_what_it_says_of_retries(relay, upstream, status, stream):
    body = b'{ "error": {"message": "no", "type": "t", "param": null, "code": "c"} }'
    upstream.handler = sends(whole(body, status, Retry_After="7", x_should_retry="false"))
    response, received = ask_chat(relay, stream=stream)
    assert (response.status, received) == (int(status[:3]), body)
    assert response.headers["retry-after"] == "7"
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["content-type"] == "application/json"


def test_a_refusal_that_comes_before_the_body_is_sent_is_passed_on(relay):
    """A server may answer a body that is too large, and close the connection, without reading it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def refuse():
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(whole(b'{"error":{}}', "413 Content Too Large", Connection="close"))

        thread = threading.Thread(target=refuse)
        thread.start()
        with Server(upstream=f"http://127.0.0.1:{port}/v1") as server:
            response, body = ask_chat(server, padding="x" * 9 * MIB)
        thread.join()
    assert (response.status, body) == (413, b'{"error":{}}')


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (b'{"error":{"message":"slow down","code":429}}', 429),
        (b'{"error":{"message":"slow down","code":"429"}}', 429),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', 529),
        (b'{"error":{"message":"no such","type":"invalid_request_error","code":null}}', 400),
        (b'{"error":"out of memory"}', 502),
    ],
)
def test_an_error_as_the_first_event_becomes_its_status(relay, upstream, error, status):
    upstream.handler = streams(b"event: error\ndata: " + error + b"\n\n")
    response, body = ask_chat(relay)
    assert (response.status, body) == (status, error)
    assert response.headers["content-type"] == "application/json"


def test_the_word_error_in_the_first_event_is_not_an_error(relay, upstream):
    event = b'data: {"error":null,"choices":[{"delta":{"content":"\\"error\\""}}]}\n\n'
    upstream.handler = streams(event, STOP, DONE)
    assert stream_of(relay) == event + STOP + DONE


def test_a_redirect_is_passed_through_and_not_followed(relay, upstream):
    elsewhere = f"{upstream.url}/elsewhere"
    upstream.handler = sends(whole(b"", "302 Found", Location=elsewhere))
    response, _ = ask_chat(relay)
    assert (response.status, response.headers["location"]) == (302, "/v1/elsewhere")
    assert len(upstream.requests) == 1


def behind_the_keepalive(server: Server, upstream: RawUpstream, answer: bytes) -> bytes:
    """Ask, let the upstream answer after the client's 200 and a keep-alive, and return the rest of the body."""
    is_committed = threading.Event()

    def handler(sock, request):
        assert is_committed.wait(30)
        sock.sendall(answer)

    upstream.handler = handler
    with server.connect() as sock:
        sock.sendall(post(PATH, chat()))
        response = Response(sock)
        assert (response.status, response.chunk()) == (200, b": keep-alive\n")
        is_committed.set()
        return response.body()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (whole(b'{"error":{"message":"slow down"}}', "429 Slow"), "upstream_error"),
        (
            STREAM_HEAD + chunk(b'data: {"error":{"message":"slow down","code":429}}\n\n'),
            429,
        ),
        (whole(b"<html>", Content_Type="text/html"), "upstream_invalid"),
        (whole(JSON_ANSWER), "upstream_invalid"),
    ],
    ids=["429", "error-event", "html", "json"],
)
def test_a_refusal_after_the_commit_is_an_error_event(quick_commit, upstream, answer, code):
    body = behind_the_keepalive(quick_commit, upstream, answer)
    assert in_stream_error(body) == (b"", code)


def test_a_refusal_after_the_commit_says_what_the_upstream_said(quick_commit, upstream):
    answer = whole(b'{"error":{"message":"slow down"}}', "429 Slow")  # Comes in one read.
    assert b'"message":"slow down"' in behind_the_keepalive(quick_commit, upstream, answer)


def test_a_stream_after_the_commit_comes_out_behind_the_keepalive(quick_commit, upstream):
    answer = STREAM_HEAD + chunk(ANSWER) + LAST_CHUNK
    assert behind_the_keepalive(quick_commit, upstream, answer) == ANSWER
