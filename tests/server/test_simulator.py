"""The simulator's streams: they need no greenlet of their own, keep their pace, and end when their clients leave."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

HOUR_MS = 3_600_000
END = b"0\r\n\r\n"
FLAT_OUT = {"itl_ms": 0, "tokens": 100_000}
PACED_TOKENS = 50
PACED = {"itl_ms": 20, "tokens": PACED_TOKENS}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.server.inspected_app:app") as server:
        yield server


def ask(sock: socket.socket, simulator: dict[str, object], **fields: object) -> None:
    sock.sendall(post("/v1/chat/completions", chat(simulator=simulator, **fields)))


def test_an_idle_stream_has_no_greenlet_but_its_requests(server):
    observer = Observer(server)
    observer.until_idle()
    with server.connect() as sock:
        ask(sock, {"tokens": 2, "itl_ms": 0})  # The first stream starts the clock that all share.
        Response(sock).body()
        before = observer.ask("/inspect")["greenlets"]
        ask(sock, {"tokens": 2, "itl_ms": HOUR_MS})
        Response(sock).until(b'"content":"')
        # Until the connection that saw the server start is closed, there is one more.
        wait_until(lambda: observer.ask("/inspect")["greenlets"] <= before)


LONG = {
    "prefill": {"ttft_ms": HOUR_MS},
    "between-tokens": {"itl_ms": HOUR_MS},
    "paced": {"itl_ms": 1, "tokens": 100_000},
    "stalled": {"itl_ms": 0, "fault": {"kind": "stall"}},
}


@pytest.mark.parametrize(
    ("simulator", "stream"),
    [(simulator, stream) for simulator in LONG.values() for stream in (True, False)]
    + [(FLAT_OUT, True)],
    ids=[f"{name}-{how}" for name in LONG for how in ("streamed", "whole")] + ["flat-out"],
)
def test_an_answer_ends_when_its_client_leaves(server, simulator, stream):
    observer = Observer(server)
    # The stream of the test before ends a little later than its client has left.
    observer.until_idle()
    key = f"left-{time.monotonic()}"
    # The buffers are small, so a fast answer blocks in its write.
    with server.connect(receive_buffer_bytes=4096) as sock:
        body = chat(simulator=simulator, stream=stream)
        sock.sendall(post("/v1/chat/completions", body, X_Request_Id=key))
        wait_until(lambda: observer.ask("/inspect")["inflight"] == 1)
    wait_until(lambda: server.logged("stream ended", request_id=key, outcome="cancelled"))
    observer.until_idle()
    assert "Traceback" not in server.log


def test_a_resumable_answer_comes_whole_without_a_reader(server):
    with server.connect() as sock:
        sock.sendall(post("/v1/streams", chat(simulator={"itl_ms": 1, "text": "one two three"})))
        url = Response(sock).json()["url"]
        Observer(server).until_idle()
        sock.sendall(get(url))
        body = Response(sock).body()
    assert [b'"content":"%b"' % word in body for word in (b"one", b" two", b" three")] == [True] * 3
    assert b"event: done" in body


@pytest.mark.measures
def test_paced_streams_keep_their_pace_beside_one_that_goes_flat_out(server):
    may_end = threading.Event()

    def read_flat_out() -> None:
        while not may_end.is_set():
            with server.connect() as sock:
                ask(sock, FLAT_OUT)
                while sock.recv(1 << 20)[-5:] != END and not may_end.is_set():
                    pass

    greedy = threading.Thread(target=read_flat_out)
    greedy.start()
    try:
        # In the calmest of three rounds, as the machine may stand still.
        assert any(late_seconds(server) < 0.2 for _ in range(3))
    finally:
        may_end.set()
        greedy.join()


def late_seconds(server: Server) -> float:
    """Return the most seconds by which the last token of one of ten paced streams is late."""
    socks = [server.connect() for _ in range(10)]
    for sock in socks:
        ask(sock, PACED)
    responses = [Response(sock) for sock in socks]
    started_at = time.monotonic()
    for response in responses:
        response.body()
    took = time.monotonic() - started_at
    for sock in socks:
        sock.close()
    return took - (PACED_TOKENS - 1) * 0.02
