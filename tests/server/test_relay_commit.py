"""A relay sends its 200 early where the request, or the head of the upstream's response, says that a stream will come."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import LAST_CHUNK, STREAM_HEAD, Handler, chunk, target_of, whole
from tests.server.relayed import ANSWER, HELLO, JSON_ANSWER, PATH
from tests.support.server import Server
from tests.support.stream import Response, chat, get, post

KEEPALIVE = b": keep-alive"


@pytest.fixture(scope="module")
def quick_commit(raw_upstream) -> Iterator[Server]:
    with Server(upstream=raw_upstream.url, commit_seconds=0.2) as server:
        yield server


def form(field: bytes, value: bytes) -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\0\xff\r\n'
    return part % (field, value) + file + b"--b--\r\n"


def upload(body: bytes) -> bytes:
    return post("/v1/audio/transcriptions", body, Content_Type="multipart/form-data; boundary=b")


ASKS_FOR_STREAM = {
    "query": get("/v1/responses/resp_1?stream=true"),
    "form": upload(form(b"stream", b"true")),
    "form-stream-format": upload(form(b"stream_format", b"sse")),
    "stream-format": post("/v1/audio/speech", {"input": "x", "stream_format": "sse"}),
    "messages": post("/v1/messages", {"stream": True}),
    "stream-as-text": post(PATH, {**chat(), "stream": "true"}),
    "accept": get("/v1/events", Accept="text/event-stream"),
}


@pytest.mark.parametrize("request_", ASKS_FOR_STREAM.values(), ids=ASKS_FOR_STREAM.keys())
def test_a_request_for_a_stream_gets_its_200_before_the_upstream_answers(
    quick_commit, upstream, request_
):
    with quick_commit.connect() as sock:
        sock.sendall(request_)
        response = Response(sock)
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.until(b"\n").startswith(KEEPALIVE)


def test_a_stream_that_was_not_asked_for_gets_its_200_before_its_first_event(
    quick_commit, upstream
):
    may_answer = threading.Event()

    def handler(sock: socket.socket, request: bytes) -> None:
        sock.sendall(STREAM_HEAD)
        may_answer.wait()
        sock.sendall(chunk(ANSWER) + LAST_CHUNK)

    upstream.handler = handler
    with quick_commit.connect() as sock:
        sock.sendall(post("/v1/anything", {}))
        response = Response(sock)
        assert response.until(b"\n").startswith(KEEPALIVE)
        may_answer.set()
        assert response.body().endswith(ANSWER)


def answers_when(may_answer: threading.Event, answer: bytes) -> Handler:
    """Answer the requests of ``/v1/late`` when they may be answered, and no others."""

    def handler(sock: socket.socket, request: bytes) -> None:
        if target_of(request) == "/v1/late":
            may_answer.wait()
            sock.sendall(answer)

    return handler


def wait_for_commit_time(server: Server) -> None:
    """Return when the commit time of each request that came before is over: a stream that comes now has its 200."""
    with server.connect() as sock:
        sock.sendall(post(PATH, chat()))
        assert Response(sock).until(b"\n").startswith(KEEPALIVE)


@pytest.mark.parametrize(
    "headers", [{}, {"Accept": "text/event-stream;q=1, application/json"}, {"Accept": "*/*"}]
)
def test_a_late_answer_that_is_not_a_stream_passes_whole(quick_commit, upstream, headers):
    may_answer = threading.Event()
    upstream.handler = answers_when(may_answer, whole(JSON_ANSWER, "201 Created"))
    with quick_commit.connect() as sock:
        sock.sendall(post("/v1/late", {}, **headers))
        wait_for_commit_time(quick_commit)
        may_answer.set()
        response = Response(sock)
        assert (response.status, response.body()) == (201, JSON_ANSWER)
        assert response.headers["content-type"] == "application/json"


def test_a_stream_whose_head_comes_late_gets_its_200_with_the_head(quick_commit, upstream):
    may_answer = threading.Event()
    upstream.handler = answers_when(may_answer, STREAM_HEAD)
    with quick_commit.connect() as sock:
        sock.settimeout(5)  # Less than the first look at the timers that would find it.
        sock.sendall(post("/v1/late", {}))
        wait_for_commit_time(quick_commit)
        may_answer.set()
        assert Response(sock).until(b"\n").startswith(KEEPALIVE)


def test_a_stream_that_was_not_asked_for_begins_with_its_first_event(quick_commit, upstream):
    upstream.handler = lambda sock, request: sock.sendall(STREAM_HEAD + chunk(HELLO))
    with quick_commit.connect() as sock:
        sock.sendall(post("/v1/anything", {}))
        assert Response(sock).chunk() == HELLO
