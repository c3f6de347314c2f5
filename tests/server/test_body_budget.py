"""The bodies of the requests under way have a limit in all, and no client keeps others out by bodies that it holds back."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, sends, whole
from tests.server.relayed import JSON_ANSWER, PATH, SILENT
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, post

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
LIMITS = {"total_body_bytes": 400_000, "max_body_bytes": 300_000, "body_timeout_seconds": 30}
SHORT = post(PATH, chat(stream=False, simulator={"text": "hi"}))
PART = 150_000
QUICK = {"tokens": 1}
"""Of the simulator, which otherwise takes seconds for an answer."""


def long(size: int = PART, **fields: object) -> bytes:
    return post(PATH, chat("x" * size, **fields))


def counted(size: int) -> bytes:
    return HEAD + b"Content-Length: 200000\r\n\r\n" + b" " * size


def chunked(size: int) -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % 200_000 + b" " * size


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server(**LIMITS) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """Has the room back that the bodies of the tests before took: clients have left before the server notices."""
    large = long(290_000, stream=False, simulator=QUICK)
    wait_until(lambda: ask(shared_server, large)[0].status == 200)
    return shared_server


@contextlib.contextmanager
def requests(server: Server, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(count):
            socks.append(stack.enter_context(server.connect()))
            socks[-1].sendall(request)
        yield socks


def answered(socks: list[socket.socket]) -> list[socket.socket]:
    """Those of which something has come."""
    found = []
    for sock in socks:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.recv(1, socket.MSG_PEEK)
            found.append(sock)
        sock.settimeout(20)
    return found


@pytest.mark.parametrize("unfinished", [counted, chunked])
def test_bodies_beyond_the_limit_in_all_are_503(server, unfinished):
    with requests(server, 8, unfinished(PART)) as socks:
        wait_until(lambda: len(answered(socks)) == 6)
        for sock in answered(socks):
            response = Response(sock)
            assert response.status == 503
            assert response.headers["retry-after"] == "1"
            error = response.json()["error"]
            assert error["code"] == "overloaded"
            assert "SLUICE_TOTAL_BODY_BYTES" in error["message"]
        assert ask(server, SHORT)[0].status == 200


def test_bodies_that_were_only_announced_take_nothing(server):
    with requests(server, 50, HEAD + b"Content-Length: 300000\r\n\r\n"):
        assert ask(server, long(250_000, stream=False, simulator=QUICK))[0].status == 200


def test_clients_that_leave_give_their_room_back(server):
    with requests(server, 3, counted(PART)) as socks:
        wait_until(lambda: answered(socks))
    wait_until(lambda: ask(server, long(250_000, stream=False, simulator=QUICK))[0].status == 200)


def test_a_body_counts_until_the_upstream_has_begun_to_answer():
    with RawUpstream(SILENT) as upstream, Server(upstream=upstream.url, **LIMITS) as server:
        with requests(server, 2, long()) as socks:
            wait_until(lambda: len(upstream.requests) == 2)
            assert ask(server, long())[0].status == 503
            upstream.handler = sends(whole(JSON_ANSWER))
            for connection in upstream.connections:
                connection.sock.sendall(whole(JSON_ANSWER))
            for sock in socks:
                assert Response(sock).status == 200
        assert ask(server, long())[0].status == 200


def test_a_body_still_counts_when_the_200_was_sent_before_the_upstream_began():
    with (
        RawUpstream(SILENT) as upstream,
        Server(upstream=upstream.url, commit_seconds=0.1, **LIMITS) as server,
    ):

        def status() -> int:
            with server.connect() as sock:
                sock.sendall(long())
                return Response(sock).status

        with requests(server, 2, long()) as socks:
            for sock in socks:
                assert Response(sock).status == 200
            assert status() == 503
        wait_until(lambda: status() == 200)


@pytest.mark.slow
def test_a_body_of_a_kept_stream_counts_until_the_upstream_has_begun_to_answer():
    with RawUpstream(SILENT) as upstream, Server(upstream=upstream.url, **LIMITS) as server:
        kept = post("/v1/streams", chat("x" * PART))
        assert [ask(server, kept)[0].status for _ in range(3)] == [201, 201, 503]


@pytest.mark.slow
def test_a_body_that_is_held_back_makes_room_for_others():
    with (
        Server(configuration="tests/server/hurried_gunicorn.py", **LIMITS) as server,
        requests(server, 2, counted(PART)) as socks,
    ):
        wait_until(lambda: ask(server, long(stream=False))[0].status == 200)
        (refused,) = answered(socks)
        assert Response(refused).status == 503


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(PATH, b"{" + b" " * PART), 400),
        (post(PATH, b" " * 350_000), 413),
        (post("/v1/streams", b"[" + b" " * PART), 400),
        (post("/nothing", b" " * PART), 404),
        (long(stream=False, simulator=QUICK), 200),
    ],
    ids=["no JSON", "too large", "no JSON for a kept stream", "unknown path", "answered"],
)
def test_nothing_is_counted_of_requests_that_are_over(server, request_, status):
    assert [ask(server, request_)[0].status for _ in range(4)] == [status] * 4
    # It is alone then, and so has room even if it were too large; beside another it has not.
    with requests(server, 1, counted(PART)):
        assert ask(server, long(200_000, stream=False, simulator=QUICK))[0].status == 200
