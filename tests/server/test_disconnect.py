"""The client leaves: the generator ends at once, whatever it or the server is doing."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.observer import Observer
from tests.support.quick import assert_quick
from tests.support.server import Server, wait_until
from tests.support.stream import Response, get, reset

pytestmark = pytest.mark.measures

TERMINAL_CHUNK = b"0\r\n\r\n"

_keys = (str(number) for number in itertools.count())


@pytest.fixture(scope="module")
def foreign() -> Iterator[Server]:
    with Server("tests.server.foreign_app:app") as server:
        yield server


@pytest.fixture(scope="module")
def foreign_on_unix_socket(tmp_path_factory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("socket") / "s"
    with Server("tests.server.foreign_app:app", unix_socket=path) as server:
        yield server


def half_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


LEAVES = {"fin": socket.socket.close, "rst": reset, "half-close": half_close}


def open_stream(server: Server, kind: str, key: str, *, pipelined: bytes = b"") -> socket.socket:
    sock = server.connect(receive_buffer_bytes=4096 if kind == "floods" else None)
    sock.sendall(get(f"/stream/{kind}?key={key}") + pipelined)
    # The body has begun: a generator whose client left before would never be started.
    assert Response(sock).chunk()
    return sock


def assert_ends_at_once(
    server: Server, kind: str, leave: Callable[[socket.socket], None], **options
) -> None:
    observer = Observer(server)

    def seconds_to_end() -> float:
        """From the client's leaving to the generator's ``finally``."""
        key = next(_keys)
        with open_stream(server, kind, key, **options) as sock:
            if kind == "floods":
                observer.until_write_blocks(key)
            left_at = time.monotonic()
            leave(sock)
            return observer.ended_at(key) - left_at

    assert_quick(seconds_to_end)
    observer.close()


@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize(
    "kind", ["waits", "produces", "floods"], ids=["in-prefill", "producing", "in-blocked-write"]
)
def test_the_generator_ends_within_10_ms_of_the_client_leaving(foreign, kind, leave):
    assert_ends_at_once(foreign, kind, LEAVES[leave])


@pytest.mark.parametrize("kind", ["waits", "produces"])
def test_a_pipelined_request_does_not_hide_that_the_client_left(foreign, kind):
    assert_ends_at_once(foreign, kind, LEAVES["fin"], pipelined=get("/plain"))


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["fin", "half-close"])
@pytest.mark.parametrize("kind", ["waits", "produces", "floods"])
def test_the_same_holds_on_a_unix_socket(foreign_on_unix_socket, kind, leave):
    assert_ends_at_once(foreign_on_unix_socket, kind, LEAVES[leave])


def test_a_client_that_half_closes_sees_the_body_cut(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/stream/waits?key=half"))
        response = Response(sock)
        assert response.chunk() == b": stream\n"
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            response.body()


def test_a_finally_clause_may_wait_after_the_client_left(foreign):
    observer = Observer(foreign)
    open_stream(foreign, "catches_all", "waits-in-finally").close()
    assert observer.ended_at("waits-in-finally")


def test_on_disconnect_is_called_when_the_client_leaves(foreign):
    observer = Observer(foreign)
    open_stream(foreign, "waits", "left").close()
    wait_until(lambda: "left" in observer.ask("/disconnected")["keys"])


def test_on_disconnect_is_not_called_when_the_stream_was_complete(foreign):
    observer = Observer(foreign)
    with foreign.connect() as sock:
        sock.sendall(get("/stream/counts?key=whole"))
        Response(sock).body()
    assert "whole" not in observer.ask("/disconnected")["keys"]


def test_a_second_request_works_on_the_connection_of_a_finished_stream(foreign):
    with foreign.connect() as sock:
        for _ in range(3):
            sock.sendall(get("/stream/counts?key=again"))
            assert b"data: 2" in Response(sock).body()
            sock.sendall(get("/plain"))
            assert Response(sock).body() == b"plain"


def test_a_pipelined_request_is_answered_after_the_stream(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/stream/counts?key=piped") + get("/plain"))
        data = b""
        while b"plain" not in data:
            data += sock.recv(65536)
        assert data.index(TERMINAL_CHUNK) < data.index(b"plain")


def test_a_client_that_leaves_is_no_error_in_the_log(foreign):
    open_stream(foreign, "floods", "quiet").close()
    Observer(foreign).ended_at("quiet")
    assert "Traceback" not in foreign.log
    assert "error" not in foreign.log.lower()
