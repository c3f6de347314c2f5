"""SLUICE_MAX_STREAMS: however a stream ends, it no longer counts."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.server.raw_upstream import STREAM_HEAD, RawUpstream, chunk, sends
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post, reset

PATH = "/v1/chat/completions"
ENDLESS = {"tokens": 100_000, "itl_ms": 10}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(
        "tests.server.failing_middleware_app:app",
        max_body_bytes=10_000,
        write_timeout_seconds=0.5,
        stream_timeout_seconds=30,
        # A reader comes within it, on a busy machine, too.
        abandon_seconds=1,
    ) as server:
        yield server


@pytest.fixture
def sock(server) -> Iterator[socket.socket]:
    """A connection. After the test the server must have no open stream."""
    with server.connect() as sock:
        yield sock
    observer = Observer(server)
    wait_until(lambda: observer.ask("/readyz")["streams"] == 0)


def open_streams(server: Server) -> int:
    return Observer(server).ask("/readyz")["streams"]


def wait_until_open(server: Server, count: int = 1) -> None:
    wait_until(lambda: open_streams(server) == count)


def test_complete(server, sock):
    sock.sendall(post(PATH, chat(simulator={"text": "hi"})))
    assert Response(sock).body().endswith(b"data: [DONE]\n\n")
    wait_until(lambda: open_streams(server) == 0)  # With the connection still open.


def test_complete_without_a_stream(server, sock):
    sock.sendall(post(PATH, chat(stream=False, simulator={"text": "hi"})))
    assert Response(sock).json()["object"] == "chat.completion"
    wait_until(lambda: open_streams(server) == 0)


def test_complete_of_a_resumable_stream(server, sock):
    sock.sendall(post("/v1/streams", chat(simulator={"text": "hi"})))
    assert Response(sock).status == 201


@pytest.mark.parametrize(
    "kind", ["status", "json_body", "error_event", "cut", "reset", "truncate", "malformed"]
)
def test_failed(server, sock, kind):
    simulator = {"tokens": 10, "itl_ms": 1, "fault": {"kind": kind}}
    sock.sendall(post(PATH, chat(simulator=simulator)))
    with contextlib.suppress(EOFError, ConnectionResetError):
        Response(sock).body()


@pytest.mark.parametrize(
    "request_",
    [
        post(PATH, chat(simulator={"ttft_ms": 60_000})),
        post(PATH, chat(stream=False, simulator={"ttft_ms": 60_000})),
        post(PATH, chat(simulator={**ENDLESS, "fault": {"kind": "stall"}})),
        get("/stream_chat?name=hello"),
        post(PATH, chat(simulator=ENDLESS)),
    ],
    ids=["prefill", "prefill without a stream", "stall", "EventSource", "events"],
)
@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["FIN", "RST"])
def test_left_by_the_client(server, sock, request_, leave):
    sock.sendall(request_)
    wait_until_open(server)
    leave(sock)


def test_left_while_nothing_is_taken(server):
    with server.connect(receive_buffer_bytes=4096) as sock:
        body = chat(simulator={**ENDLESS, "itl_ms": 0})
        sock.sendall(post(PATH, body, X_Request_Id="nothing-taken"))
        # By the write timeout.
        wait_until(lambda: server.logged("stream ended", request_id="nothing-taken"))
        wait_until(lambda: open_streams(server) == 0)


def test_abandoned(server, sock):
    request = post("/v1/streams", chat(simulator=ENDLESS), X_Request_Id="abandoned")
    sock.sendall(request)
    assert Response(sock).status == 201
    # It may be over before this test looks for it.
    wait_until(lambda: server.logged("generation ended", request_id="abandoned"))


def test_reader_of_a_resumable_stream_leaves(server, sock):
    sock.sendall(post("/v1/streams", chat(simulator=ENDLESS)))
    url = Response(sock).json()["url"]
    sock.sendall(get(url))
    Response(sock).until(b"id: 2\n")
    wait_until_open(server, 2)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD /stream_chat?name=hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (post(PATH, b"{"), 400),
        (post(PATH, chat("x" * 20_000)), 413),
        (get("/stream_chat"), 400),
    ],
    ids=["HEAD", "no JSON", "too large", "no question"],
)
def test_never_begun(server, sock, request_, status):
    sock.sendall(request_)
    assert Response(sock).status == status
    assert open_streams(server) == 0


@pytest.mark.parametrize("where", ["call", "iteration"])
def test_dropped_by_middleware_that_fails(server, sock, where):
    sock.sendall(post(PATH, chat(simulator=ENDLESS), X_Fail=where))
    with contextlib.suppress(EOFError, ConnectionResetError):
        response = Response(sock)
        assert response.status == (500 if where == "call" else 200)
        response.body()
    # At the connection's end, without waiting for a timer.
    wait_until(lambda: open_streams(server) == 0)


def test_relayed_answers():
    """An upstream refuses, sends no HTTP, or never ends and the client leaves."""
    with RawUpstream() as upstream, Server(upstream=upstream.url) as server:
        for handler in (sends(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"), sends(b"nonsense")):
            upstream.handler = handler
            with server.connect() as sock:
                sock.sendall(post(PATH, chat()))
                Response(sock)
            wait_until(lambda: open_streams(server) == 0)
        for handler in (sends(), sends(STREAM_HEAD, chunk(b'data: {"choices": []}\n\n'))):
            for stream in (True, False):
                upstream.handler = handler
                with server.connect() as sock:
                    sock.sendall(post(PATH, chat(stream=stream)))
                    wait_until_open(server)
                wait_until(lambda: open_streams(server) == 0)


def test_one_more_is_refused_before_connections_are_short():
    with Server(max_streams=3) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            sock = stack.enter_context(server.connect())
            sock.sendall(post(PATH, chat(stream=False, simulator=ENDLESS)))
        wait_until_open(server, 3)
        for _ in range(150):
            sock = stack.enter_context(server.connect())
            sock.sendall(post(PATH, chat()))
            response = Response(sock)
            assert response.status == 503
            assert response.headers["retry-after"] == "1"
            assert response.json()["error"]["code"] == "overloaded"
