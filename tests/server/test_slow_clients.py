"""Clients that keep the server waiting: each wait has an end, and none keeps out other clients."""

import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
SHORT = chat(stream=False, simulator={"text": "hi"})


@pytest.fixture(scope="module")
def hurried() -> Iterator[Server]:
    with Server(
        configuration="tests/server/hurried_gunicorn.py",
        body_timeout_seconds=1,
        write_timeout_seconds=1,
        max_body_bytes=100_000,
    ) as server:
        yield server


def ask(sock: socket.socket, request: bytes) -> Response:
    sock.sendall(request)
    response = Response(sock)
    response.body()
    return response


def is_closed(sock: socket.socket) -> bool:
    """Whether the server has ended it: FIN or RST. Reads nothing."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def test_connections_without_a_whole_request_are_closed(hurried):
    silent, begun, half = hurried.connect(), hurried.connect(), hurried.connect()
    with silent, begun, half:
        begun.sendall(b"GET / HT")
        half.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert [sock.recv(1) for sock in (silent, begun, half)] == [b"", b"", b""]


def test_a_head_that_trickles_is_not_waited_for(hurried):
    with hurried.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        ends_at = time.monotonic() + 10
        while not is_closed(sock):
            sock.sendall(b"X: y\r\n")
            assert time.monotonic() < ends_at
            select.select([sock], [], [], 0.1)


@pytest.mark.slow
def test_silent_connections_do_not_keep_out_requests():
    # 110 connections fit. Those that are too many for it wait in the kernel's queue.
    with Server(max_streams=10) as server:
        silent = [server.connect() for _ in range(300)]
        try:
            with server.connect() as sock:
                assert ask(sock, get("/healthz")).status == 200
            assert sum(is_closed(sock) for sock in silent) >= 190
            assert not is_closed(silent[-1])
        finally:
            for sock in silent:
                sock.close()


@pytest.mark.slow
def test_requests_without_their_bodies_do_not_keep_out_others():
    with Server(max_streams=10) as server:
        slow = [server.connect() for _ in range(300)]
        try:
            for sock in slow:
                sock.sendall(HEAD + b"Content-Length: 10\r\n\r\n")
            with server.connect() as sock:
                assert ask(sock, get("/healthz")).status == 200
        finally:
            for sock in slow:
                sock.close()


def test_idle_connections_make_room_the_longest_idle_first():
    with Server(max_streams=10) as server:
        idle = [server.connect() for _ in range(50)]
        try:
            for sock in idle:
                assert ask(sock, get("/healthz")).status == 200
            idle += [server.connect() for _ in range(20)]
            wait_until(lambda: is_closed(idle[0]))
            assert ask(idle[40], get("/healthz")).status == 200
        finally:
            for sock in idle:
                sock.close()


def test_streams_do_not_make_room():
    with Server(max_streams=10) as server, server.connect() as sock:
        sock.sendall(get("/stream_chat?name=hello"))
        response = Response(sock)
        response.until(b"id: 1\n")
        silent = [server.connect() for _ in range(200)]
        try:
            wait_until(lambda: is_closed(silent[0]))
            response.until(b"id: 9\n")
        finally:
            for other in silent:
                other.close()


def test_a_body_that_never_comes_is_408(hurried):
    counted, chunked = hurried.connect(), hurried.connect()
    with counted, chunked:
        counted.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        chunked.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for sock in (counted, chunked):
            response = Response(sock)
            assert response.status == 408
            assert response.json()["error"]["code"] == "request_timeout"
            assert sock.recv(1) == b""


def test_a_body_that_trickles_is_408(hurried):
    with hurried.connect() as sock:
        sock.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
        while not select.select([sock], [], [], 0.1)[0]:
            sock.sendall(b" ")
        assert Response(sock).status == 408


def test_a_body_in_pieces_is_read_whole(hurried):
    with hurried.connect() as sock:
        request = post("/v1/chat/completions", SHORT)
        for piece in (request[:-20], request[-20:-10], request[-10:]):
            sock.sendall(piece)
            select.select([sock], [], [], 0.1)
        response = Response(sock)
        assert response.status == 200
        response.body()
        assert ask(sock, get("/healthz")).status == 200


TOO_LARGE = HEAD + b"Content-Length: 20000000\r\n\r\n"


def test_a_client_that_sends_all_of_a_body_over_the_limit_reads_the_refusal(hurried):
    with hurried.connect() as sock:
        assert ask(sock, TOO_LARGE + bytes(20_000_000)).status == 413
        assert ask(sock, get("/healthz")).status == 200


def test_the_rest_of_a_refused_body_is_not_waited_for(hurried):
    with hurried.connect() as sock:
        assert ask(sock, TOO_LARGE + bytes(1000)).status == 413
        assert sock.recv(1) == b""


def test_a_refused_body_is_read_for_a_client_that_closes_too(hurried):
    with hurried.connect() as sock:
        head = HEAD + b"Connection: close\r\nContent-Length: 20000000\r\n\r\n"
        sock.sendall(head + bytes(20_000_000))
        assert Response(sock).status == 413


def test_a_body_that_no_view_reads_is_not_taken_for_the_next_request(hurried):
    with hurried.connect() as sock:
        body = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        request = (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        assert ask(sock, request).status == 200
        assert ask(sock, get("/readyz")).status == 200


@pytest.mark.slow
def test_a_client_that_takes_no_answers_is_dropped(hurried):
    with hurried.connect(receive_buffer_bytes=4096) as sock:
        sock.setblocking(False)
        request = get("/static/js/fetch-event-source/fetch-event-source.js")
        poll = select.poll()
        poll.register(sock, select.POLLOUT)

        def is_dropped() -> bool:
            for _, event in poll.poll(100):
                if event & (select.POLLERR | select.POLLHUP):
                    return True
                sock.send(request)
            return False

        wait_until(is_dropped, timeout_seconds=20)
    assert "Traceback" not in hurried.log
