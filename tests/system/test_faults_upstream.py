"""The upstream dies and comes back."""

import threading
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.server.raw_upstream import STREAM_HEAD as HEAD
from tests.server.raw_upstream import RawUpstream, chunk, hang_up, streams
from tests.server.relayed import ANSWER, HELLO, PATH, in_stream_error
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.bystanders import bystanders
from tests.system.file_limit import limit_of_files

STREAMS = 100


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: RawUpstream) -> Iterator[Server]:
    with Server("tests.system.attacked_app:app", upstream=upstream.url) as server:
        yield server


@pytest.mark.measures
@pytest.mark.slow
def test_an_upstream_that_dies_under_100_streams_and_comes_back(server, upstream):
    upstream.handler = lambda sock, request: sock.sendall(HEAD + chunk(HELLO))
    with bystanders(server, idle_connections=1):
        clients = [server.connect() for _ in range(STREAMS)]
        for sock in clients:
            sock.sendall(post(PATH, chat()))
        responses = [Response(sock) for sock in clients]
        for response in responses:
            assert response.until(HELLO) == HELLO
        # Other requests reach it again at once, and are not affected.
        upstream.handler = streams(ANSWER)
        dying, upstream.connections = upstream.connections, []
        assert len(dying) == STREAMS
        killer = threading.Thread(target=lambda: [hang_up(each.sock) for each in dying])
        killer.start()
        for response in responses:
            rest = response.body()
            assert in_stream_error(HELLO + rest) == (HELLO, "upstream_truncated")
            assert rest.count(b'"error"') == 1
        killer.join()
        for sock in clients:
            # All of them on the same connections.
            sock.sendall(post(PATH, chat()))
            assert Response(sock).body() == ANSWER
        for sock in clients:
            sock.close()


def test_an_upstream_that_was_away_is_asked_again():
    upstream = RawUpstream(streams(ANSWER))
    with Server(upstream=upstream.url) as server, server.connect() as sock:

        def ask() -> int:
            sock.sendall(post(PATH, chat()))
            response = Response(sock)
            response.body()
            return response.status

        assert ask() == 200
        upstream.stop()
        # A single upstream is asked however often it has failed, since there is no other.
        assert [ask() for _ in range(5)] == [502] * 5
        returned = RawUpstream(streams(ANSWER), port=upstream.port)
        with returned:
            assert wait_until(lambda: ask() == 200)
            sock.sendall(get("/readyz"))
            assert Response(sock).status == 200


@pytest.mark.slow
def test_a_worker_without_files_for_the_upstream_says_so_and_does_not_blame_it(server, upstream):
    upstream.handler = streams(ANSWER)
    upstream.close_connections()
    observer = Observer(server)
    seen = observer.until_idle()
    with limit_of_files(seen["pid"], left=1), server.connect() as sock:
        for _ in range(4):
            sock.sendall(post(PATH, chat()))
            response = Response(sock)
            error = response.json()["error"]
            assert (response.status, error["code"]) == (503, "overloaded")
            assert response.headers["retry-after"]
    with server.connect() as sock:
        sock.sendall(post(PATH, chat()))
        assert Response(sock).body() == ANSWER
        sock.sendall(get("/readyz"))
        assert Response(sock).json()["upstreams"] == {upstream.url: "ok"}
    observer.close()
