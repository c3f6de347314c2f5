"""A server that is told to end or to reload cuts no stream."""

import contextlib
import signal
import threading

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

PATH = "/v1/chat/completions"


def open_stream(server: Server, sock, **simulator) -> Response:
    sock.sendall(post(PATH, chat(simulator=simulator)))
    response = Response(sock)
    assert response.status == 200
    assert response.chunk()
    return response


def is_refused(server: Server) -> bool:
    try:
        server.connect().close()
    except (ConnectionRefusedError, ConnectionResetError):  # A reset just when it closes.
        return True
    return False


def open_streams(server: Server) -> int:
    with server.connect() as sock:
        sock.sendall(get("/readyz"))
        return Response(sock).json()["streams"]


def test_a_stream_that_ends_in_time_is_whole():
    with Server(drain_seconds=10) as server, server.connect() as sock:
        response = open_stream(server, sock, tokens=50, itl_ms=20)
        server.signal(signal.SIGTERM)
        assert response.body().endswith(b"data: [DONE]\n\n")
        assert server.wait_for_exit() == 0


@pytest.mark.slow
def test_a_stream_that_lasts_longer_gets_an_error_event():
    with Server(drain_seconds=0.5) as server, server.connect() as sock:
        response = open_stream(server, sock, tokens=100_000)
        server.signal(signal.SIGTERM)
        body = response.body()
        assert b'"code":"draining"' in body
        assert b"[DONE]" not in body
        assert server.wait_for_exit() == 0


def test_a_stream_without_its_first_event_is_refused_with_its_status():
    with Server(drain_seconds=0.5) as server, server.connect() as sock:
        sock.sendall(post(PATH, chat(simulator={"ttft_ms": 60_000})))
        wait_until(lambda: open_streams(server) == 1)
        server.signal(signal.SIGTERM)
        assert Response(sock).status == 503


def test_an_event_source_is_told_when_to_come_back():
    with Server(drain_seconds=0.3) as server, server.connect() as sock:
        sock.sendall(get("/stream_chat?name=x"))
        response = Response(sock)
        assert response.chunk()
        server.signal(signal.SIGTERM)
        end = response.body()
    error = end[end.index(b"event: error") - 200 :]
    retry = int(error.partition(b"retry: ")[2].partition(b"\n")[0])
    assert 1000 <= retry <= 5000


@pytest.mark.slow
def test_idle_connections_do_not_hold_the_end_up():
    with Server(drain_seconds=60) as server, server.connect() as idle, server.connect() as unused:
        idle.sendall(get("/healthz"))
        assert Response(idle).json()
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit() == 0
        assert unused.recv(1) == b""


@pytest.mark.slow
def test_a_client_that_had_connected_before_is_answered():
    with Server(drain_seconds=60) as server, server.connect() as sock:
        assert open_streams(server) == 0  # It has connected later, so the other is accepted, too.
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(server))
        sock.sendall(get("/v1/models"))
        assert Response(sock).status == 200
        assert server.wait_for_exit() == 0


def test_new_connections_are_refused_and_new_requests_get_a_503():
    with Server(drain_seconds=1) as server, server.connect() as sock:
        response = open_stream(server, sock, tokens=100_000)
        # Waits behind the stream, which goes on until the drain's end.
        sock.sendall(get("/readyz"))
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(server))
        response.body()
        ready = response.following()
        assert (ready.status, ready.headers["connection"]) == (503, "close")
        assert ready.json()["status"] == "draining"


@pytest.mark.parametrize("path", ["/healthz", pytest.param("/health", marks=pytest.mark.slow)])
def test_health_is_told_while_the_worker_drains(path):
    with Server(drain_seconds=1) as server, server.connect() as sock:
        response = open_stream(server, sock, tokens=100_000)
        sock.sendall(get(path))
        server.signal(signal.SIGTERM)
        response.body()
        assert response.following().status == 200


@pytest.mark.slow
def test_each_of_two_hundred_streams_is_whole_or_gets_an_error_event():
    with Server(drain_seconds=4) as server, contextlib.ExitStack() as sockets:
        # Every other one has half a minute to go.
        streams = [
            open_stream(
                server, sockets.enter_context(server.connect()), tokens=50 if number % 2 else 1000
            )
            for number in range(200)
        ]
        server.signal(signal.SIGTERM)
        for number, stream in enumerate(streams):
            body = stream.body()
            assert (b"[DONE]" in body, b'"code":"draining"' in body) == (number % 2, not number % 2)
        assert server.wait_for_exit() == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_cuts_no_stream_and_refuses_no_client(workers):
    outcomes: list[str] = []
    is_over = threading.Event()

    def ask_again_and_again(server: Server) -> None:
        while not is_over.is_set():
            with server.connect() as sock:
                sock.sendall(post(PATH, chat(simulator={"tokens": 30, "itl_ms": 10})))
                response = Response(sock)
                body = response.body()
            whole = response.status == 200 and body.endswith(b"data: [DONE]\n\n")
            outcomes.append("whole" if whole else f"{response.status} {body[-200:]!r}")

    with Server(workers=workers, drain_seconds=10) as server:
        threads = [threading.Thread(target=ask_again_and_again, args=(server,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            seen = len(outcomes)
            wait_until(lambda seen=seen: len(outcomes) > seen + 20)
            booted = server.log.count("Booting worker")
            server.signal(signal.SIGHUP)
            wait_until(lambda booted=booted: server.log.count("Booting worker") == booted + workers)
        seen = len(outcomes)
        wait_until(lambda: len(outcomes) > seen + 60)
        is_over.set()
        for thread in threads:
            thread.join()
    assert [outcome for outcome in outcomes if outcome != "whole"] == []
