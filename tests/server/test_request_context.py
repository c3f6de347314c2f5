"""What a stream has of its request, and what middleware sees of a stream: over a real server."""

import contextlib
import http.client
import json
import socket
import urllib.request

import pytest

from flask_sluice.sse import EventParser
from tests.support.server import Server, wait_until


@pytest.fixture(scope="module", params=["flask_sluice.server.worker.Worker", "gevent"])
def server(request):
    with Server("tests.server.traced_app:app", arguments=("-k", request.param)) as server:
        yield server


def get(server, path):
    with urllib.request.urlopen(f"{server.url}{path}") as response:
        return response.read()


def events(server, path):
    return [event.data for event in EventParser().feed(get(server, path))]


def http_connection(server):
    """One connection for several requests."""
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20))


def noted(server):
    return json.loads(get(server, "/noted"))


@contextlib.contextmanager
def reading(server, path, until):
    """A client that has read up to ``until`` and leaves at the end of the block."""
    with server.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while until not in received:
            received += sock.recv(65536)
        yield sock


def test_a_client_that_leaves_is_no_exception_to_middleware(server):
    with reading(server, "/waits?key=left", b"first"):
        pass
    wait_until(lambda: "left" in noted(server)["ended"])
    assert noted(server)["raised"] == []


def test_a_client_that_resets_the_connection_is_no_exception_to_middleware(server):
    with reading(server, "/waits?key=reset", b"first") as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: "reset" in noted(server)["ended"])
    assert noted(server)["raised"] == []


def test_a_client_that_closes_its_own_side_only_is_not_given_a_proper_end(server):
    with reading(server, "/waits?key=half-closed", b"first") as sock:
        sock.shutdown(socket.SHUT_WR)
        rest = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                rest += piece
    assert not rest.endswith(b"0\r\n\r\n")


def test_the_generator_has_the_requests_context_variables_and_none_of_flasks_contexts(server):
    assert [json.loads(data) for data in events(server, "/variables?key=span-7")] == [
        ["span-7", False, False],
        ["span-7", False, False],
    ]


def test_a_request_does_not_see_the_variables_of_the_one_before_it():
    with Server("tests.server.traced_app:app") as server, http_connection(server) as connection:
        connection.request("GET", "/variables?key=first")
        assert b"first" in connection.getresponse().read()
        connection.request("GET", "/last-span")
        assert json.loads(connection.getresponse().read()) == {"span": None}


def test_a_generator_in_stream_with_context_has_its_request(server):
    assert events(server, "/with-context?key=k1") == ["k1", "k1"]
    wait_until(lambda: "k1" in noted(server)["torn_down"])


def test_the_context_of_a_request_is_torn_down_when_its_client_leaves(server):
    with reading(server, "/with-context?key=k2&stay=1", b"data: k2\n\n"):
        # Newer releases of Flask push it again for the generator, and so tear it down twice.
        before = noted(server)["torn_down"].count("k2")
    wait_until(lambda: noted(server)["torn_down"].count("k2") == before + 1)
    assert "Popped wrong" not in server.log
    assert "different Context" not in server.log
