"""The demonstration's stream, which asks for no key, takes no place from clients that have one."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, get, post

KEY = "a-key-0123456789"
DEMO = get("/stream_chat?name=hello")
SHORT = post(
    "/v1/chat/completions",
    chat(stream=False, simulator={"text": "hi"}),
    Authorization=f"Bearer {KEY}",
)
PLACES = 20


@contextlib.contextmanager
def demo_readers(server: Server, count: int) -> Iterator[tuple[list[socket.socket], list[int]]]:
    """The connections, and the statuses of the responses."""
    with contextlib.ExitStack() as stack:
        socks, statuses = [], []
        for _ in range(count):
            # One after the other: a server with few places ends connections that have not asked yet, if there are many.
            sock = stack.enter_context(server.connect())
            sock.sendall(DEMO)
            socks.append(sock)
            statuses.append(Response(sock).status)
        yield socks, statuses


@pytest.mark.parametrize("has_upstream", [False, True], ids=["keys", "an upstream"])
def test_with_keys_or_an_upstream_there_is_no_stream_without_a_key(has_upstream):
    with RawUpstream() as upstream:
        settings = {"upstream": upstream.url} if has_upstream else {"api_keys": KEY}
        with Server(**settings) as server:
            response, body = ask(server, DEMO)
            assert response.status == 404
            assert b'"code":"not_found"' in body


@pytest.mark.parametrize("has_upstream", [False, True], ids=["keys", "an upstream"])
def test_the_page_then_starts_answers_by_a_post(has_upstream):
    with RawUpstream() as upstream:
        settings = {"upstream": upstream.url} if has_upstream else {"api_keys": KEY}
        with Server(**settings) as server:
            page = ask(server, get("/"))[1]
            assert b'data-stream-chat="no"' in page
            assert b"EventSource (POST, then GET)" in page


def test_the_page_of_an_open_simulator_starts_answers_by_a_get(sluice):
    page = ask(sluice, get("/"))[1]
    assert b'data-stream-chat="yes"' in page
    assert b"EventSource (GET)" in page


def test_readers_of_the_demonstration_take_no_place_of_a_client_with_a_key():
    with (
        Server(api_keys=KEY, demo=1, max_streams=1) as server,
        demo_readers(server, 60) as (_, statuses),
    ):
        assert statuses.count(200) == PLACES
        assert statuses.count(503) == 60 - PLACES
        assert ask(server, SHORT)[0].status == 200


def test_a_place_of_the_demonstration_is_free_again_when_its_reader_has_left():
    with Server(max_streams=1) as server, demo_readers(server, PLACES) as (socks, _):
        assert ask(server, DEMO)[0].status == 503
        socks[0].close()

        def is_taken_again() -> bool:
            with server.connect() as sock:
                sock.sendall(DEMO)
                return Response(sock).status == 200

        wait_until(is_taken_again)


def test_a_refusal_of_the_demonstration_says_when_to_come_back():
    with Server() as server, demo_readers(server, PLACES):
        response, body = ask(server, DEMO)
        assert response.headers["retry-after"] == "1"
        assert b'"code":"overloaded"' in body


def test_readers_of_the_demonstration_are_told_when_the_server_ends():
    with Server(drain_seconds=1) as server, demo_readers(server, 1) as (socks, _):
        server.signal(15)
        data = b""
        while piece := socks[0].recv(65536):
            data += piece
        assert b'"code":"draining"' in data
        assert data.endswith(b"0\r\n\r\n")
