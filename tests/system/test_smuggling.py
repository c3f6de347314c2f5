"""What two servers may read differently is refused, or is one request for both.

nginx is asked with the configuration that is shipped, and gunicorn by itself. nginx gives each request a connection
of its own, counts the body's length itself, and refuses what is not clear.
"""

import contextlib
import itertools
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from tests.server.observer import Observer
from tests.support.http2 import Headers, Http2Connection
from tests.support.stream import Response
from tests.system.attacks import ATTACKS, Attack
from tests.system.site import Site

pytestmark = pytest.mark.slow

_keys = (f"attack-{number}" for number in itertools.count())

# nginx waits for the rest of what seems to be a body, and for another request; here not so long. It is what a test waits
# that reads to a connection's end, and a test that stands still for so long finds its connection closed.
_WAIT = "2s"
_IMPATIENT = {
    "client_body_timeout   10s;": f"client_body_timeout {_WAIT};",
    "keepalive_timeout     60s;": f"keepalive_timeout {_WAIT};",
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site("tests.system.proxied_app:app", changes=_IMPATIENT) as site:
        yield site
        # Also of what was answered to nobody.
        queries = [request["query"] for request in Observer(site.gunicorn).ask("/seen")]
        assert [query for query in queries if "smuggled" in query] == []


@pytest.fixture
def key() -> str:
    return f"{next(_keys)}."


def arrived(site: Site, key: str) -> list[dict]:
    """The requests with this key that gunicorn's app got."""
    seen = Observer(site.gunicorn).ask("/seen")
    return [request for request in seen if key in request["query"]]


def all_of(sock: socket.socket) -> bytes:
    """Everything up to the connection's end, proper or not."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return data


def assert_refused_or_one(site: Site, key: str, answer: bytes) -> None:
    requests = arrived(site, key)
    assert len(requests) <= 1
    assert answer.count(b"\r\n\r\necho") == len(requests)
    if requests:
        assert "smuggled" not in requests[0]["query"]
    elif answer:  # nginx closes the connection without a word if the rest of a body does not come.
        assert 400 <= int(answer.split(b" ", 2)[1]) <= 505


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nginx_and_gunicorn_read_one_request_or_none(site, key, attack: Attack):
    with site.nginx.connect() as sock:
        send_what_is_taken(sock, attack(key))
        answer = all_of(sock)
    assert_refused_or_one(site, key, answer)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_gunicorn_by_itself_reads_one_request_or_none(site, key, attack: Attack):
    with site.gunicorn.connect() as sock:
        send_what_is_taken(sock, attack(key))
        sock.shutdown(socket.SHUT_WR)
        answer = all_of(sock)
    assert_refused_or_one(site, key, answer)


def send_what_is_taken(sock: socket.socket, data: bytes) -> None:
    """A server may refuse, and close the connection, before it has read all."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
        sock.sendall(data)


@pytest.mark.parametrize(
    "body",
    [b"x\r\n", b"1;\x00\r\nx\r\n", b"1\r\nxx0\r\n\r\n", b"0\r\nHost: localhost\r\n\r\n", b"1\r\n"],
)
def test_sluice_answers_400_to_a_body_whose_chunks_are_broken(sluice, body):
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with sluice.connect() as sock:
        sock.sendall(head + body)
        sock.shutdown(socket.SHUT_WR)
        assert Response(sock).json()["error"]["code"] == "invalid_request"
        assert all_of(sock) == b""
    assert "Traceback" not in sluice.log


# Headers that would pass for the proxy's own, or for others.


@pytest.mark.parametrize(
    "line",
    [
        "SCRIPT_NAME: /echo",
        "PATH_INFO: /other",
        "X_Forwarded_For: 203.0.113.9",
        "X_Request_Id: other",
        "X-Forwarded-Prefix: /other",
        "Forwarded: for=203.0.113.9",
        "Connection: X-Forwarded-For, X-Forwarded-Proto",
        "X-Real\xff: 203.0.113.9",
    ],
)
def test_client_cannot_set_what_nginx_tells_gunicorn(site, key, line):
    head = f"GET /echo?{key} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: own\r\n{line}\r\n\r\n"
    with site.nginx.connect() as sock:
        sock.sendall(head.encode("latin-1"))
        assert Response(sock).status == 200
    (request,) = arrived(site, key)
    assert dict(request["headers"]) == {
        "host": "localhost",
        "connection": "close",
        "x-request-id": "own",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
    }
    assert request["path"] == "/echo"


# HTTP/2, which nginx makes HTTP/1.1 of.

_SMUGGLED = "GET /echo?smuggled-{key} HTTP/1.1\r\nHost: localhost\r\n\r\n"

H2_ATTACKS: dict[str, Callable[[str], tuple[str, str, Headers, bytes]]] = {
    "length of nothing": lambda smuggled: (
        *("POST", "", [("content-length", "0")]),
        smuggled.encode(),
    ),
    "length too small": lambda smuggled: (
        *("POST", "", [("content-length", "5")]),
        b"12345" + smuggled.encode(),
    ),
    "length too large": lambda smuggled: (
        *("POST", "", [("content-length", "5000")]),
        smuggled.encode(),
    ),
    "two lengths": lambda smuggled: (
        *("POST", "", [("content-length", "0"), ("content-length", str(len(smuggled)))]),
        smuggled.encode(),
    ),
    "transfer-encoding": lambda smuggled: (
        *("POST", "", [("transfer-encoding", "chunked")]),
        b"0\r\n\r\n" + smuggled.encode(),
    ),
    "line end in a value": lambda smuggled: (
        *("GET", "", [("x", f"a\r\n\r\n{smuggled}")]),
        b"",
    ),
    "bare LF in a value": lambda smuggled: ("GET", "", [("x", f"a\n\n{smuggled}")], b""),
    "NUL in a value": lambda smuggled: ("GET", "", [("x", f"a\0{smuggled}")], b""),
    "line end in a name": lambda smuggled: ("GET", "", [(f"x: y\r\n\r\n{smuggled}", "a")], b""),
    "colon in a name": lambda smuggled: (
        *("POST", "", [("transfer-encoding: chunked\r\nx", "a")]),
        b"0\r\n\r\n" + smuggled.encode(),
    ),
    "name in capitals": lambda smuggled: (
        *("POST", "", [("Transfer-Encoding", "chunked")]),
        b"0\r\n\r\n" + smuggled.encode(),
    ),
    "line end in the path": lambda smuggled: (
        *("GET", f" HTTP/1.1\r\nHost: localhost\r\n\r\n{smuggled}", []),
        b"",
    ),
    "space in the path": lambda smuggled: ("GET", " HTTP/1.1", [], b""),
    "line end in the method": lambda smuggled: (f"{smuggled}GET", "", [], b""),
    "connection header": lambda smuggled: ("GET", "", [("connection", "keep-alive")], b""),
    "second host": lambda smuggled: ("GET", "", [("host", "other")], b""),
    "path twice": lambda smuggled: ("GET", "", [(":path", "/echo?smuggled")], b""),
}


@pytest.mark.parametrize("attack", H2_ATTACKS.values(), ids=H2_ATTACKS)
def test_http_2_becomes_one_request_or_none(site, key, attack):
    method, path, headers, body = attack(_SMUGGLED.format(key=key))
    with site.nginx.connect("h2") as sock:
        connection = Http2Connection(sock)
        response = connection.request(method, f"/echo?{key}{path}", headers, body)
        try:
            status = response.status
        except EOFError:
            status = None
    requests = arrived(site, key)
    if requests:
        (request,) = requests
        assert status == 200
        assert request["query"].startswith(key)
        assert "transfer-encoding" not in dict(request["headers"])
    else:
        assert status is None or 400 <= status <= 505
