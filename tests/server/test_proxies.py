"""SLUICE_TRUSTED_PROXIES: whose headers name the client. The tests see it in the rate limit that each client has."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.raw_upstream import RawUpstream, headers_of, target_of, whole
from tests.support.server import Server
from tests.support.stream import Response, get, post

# The limit accepts two requests of a client and refuses the third.
LIMIT = "2/day"


def request(**headers: str) -> bytes:
    """Return a request that is counted and then refused for its empty body, which is quick."""
    return post("/v1/chat/completions", {}, **headers)


def status(sock: socket.socket, request_: bytes) -> int:
    sock.sendall(request_)
    response = Response(sock)
    response.body()
    return response.status


def are_one_client(server: Server, *requests: bytes) -> bool:
    """Return whether the third request is over the limit."""
    with server.connect() as sock:
        assert len(requests) == 3
        return [status(sock, request_) for request_ in requests] == [400, 400, 429]


@pytest.fixture(scope="module")
def trusting() -> Iterator[Server]:
    """Each test has clients of its own."""
    with Server(rate_limit=LIMIT, trusted_proxies="127.0.0.1, 10.0.0.0/8,2001:db8::/32") as server:
        yield server


@pytest.fixture
def behind_unix_socket(tmp_path: Path) -> Iterator[Server]:
    with Server(unix_socket=tmp_path / "s", rate_limit=LIMIT, trusted_proxies="unix") as server:
        yield server


def test_without_trusted_proxies_no_header_is_believed():
    names = ("X_Forwarded_For", "X_Real_Ip", "Client_Ip")
    forged = [
        request(**dict.fromkeys(names, f"192.0.2.{number}"), Forwarded=f"for=192.0.2.{number}")
        for number in range(3)
    ]
    with Server(rate_limit=LIMIT) as server:
        assert are_one_client(server, *forged)


def test_a_peer_that_is_not_listed_is_not_believed():
    with Server(rate_limit=LIMIT, trusted_proxies="192.0.2.0/24,unix") as server:
        forged = [request(X_Forwarded_For=f"198.51.100.{number}") for number in range(3)]
        assert are_one_client(server, *forged)


def test_clients_of_a_trusted_proxy_are_told_apart(trusting):
    several = [request(X_Forwarded_For=f"198.51.100.{number}") for number in range(3)]
    assert not are_one_client(trusting, *several)


# Headers by which a client might pass for several, with a NUMBER that differs in each request.
FORGED = {
    # The proxy appends the address it sees.
    "before-the-proxy": "192.0.2.NUMBER, 198.51.100.11",
    # A proxy may add a line instead; the lines are one list (RFC 9110, section 5.3).
    "in-a-line-of-its-own": "192.0.2.NUMBER\r\nX-Forwarded-For: 198.51.100.12",
    "before-a-chain-of-proxies": "10.1.1.1, 192.0.2.NUMBER, 198.51.100.13, 10.0.0.NUMBER",
    "under-a-name-with-underscores": "198.51.100.14\r\nX_Forwarded_For: 192.0.2.NUMBER",
    "what-is-no-address": "198.51.100.NUMBER, unknownNUMBER",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_clients_own_headers_do_not_count(trusting, forged):
    requests = [request(X_Forwarded_For=forged.replace("NUMBER", str(n))) for n in range(3)]
    assert are_one_client(trusting, *requests)


def test_an_ipv6_client_is_its_network_of_64_bits(trusting):
    same = [request(X_Forwarded_For=f"2a00:1:2:3::{number}") for number in range(3)]
    others = [request(X_Forwarded_For=f"2a00:1:2:{number}::1") for number in range(4, 7)]
    assert are_one_client(trusting, *same)
    assert not are_one_client(trusting, *others)


def test_a_mapped_ipv4_address_is_that_address(trusting):
    address = "198.51.100.7"
    same = [address, f"::ffff:{address}", f"::FFFF:{address}"]
    assert are_one_client(trusting, *[request(X_Forwarded_For=form) for form in same])


def test_behind_a_unix_socket_the_proxys_clients_are_told_apart(behind_unix_socket):
    several = [request(X_Forwarded_For=f"198.51.100.{number}") for number in range(3)]
    same = [request(X_Forwarded_For=f"192.0.2.{number}, 198.51.100.9") for number in range(3)]
    assert not are_one_client(behind_unix_socket, *several)
    assert are_one_client(behind_unix_socket, *same)


@pytest.mark.slow
def test_a_unix_socket_is_not_trusted_by_itself(tmp_path):
    with Server(unix_socket=tmp_path / "s", rate_limit=LIMIT) as server:
        forged = [request(X_Forwarded_For=f"198.51.100.{number}") for number in range(3)]
        assert are_one_client(server, *forged)


def test_resumable_streams_are_limited_for_each_client_behind_the_proxy(tmp_path):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    body["simulator"] = {"ttft_ms": 60_000}
    path = tmp_path / "s"
    with (
        Server(unix_socket=path, streams_per_client=1, trusted_proxies="unix") as server,
        server.connect() as sock,
    ):
        asked = [
            status(sock, post("/v1/streams", body, X_Forwarded_For=address))
            for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]
    assert asked == [201, 429, 201]


STREAM = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "simulator": {"tokens": 1}}


@pytest.mark.parametrize("name", ["X-Forwarded-Prefix", "Script-Name", "SCRIPT_NAME"])
def test_a_peer_that_is_not_trusted_cannot_set_the_prefix(sluice, name):
    with sluice.connect() as sock:
        request_ = post("/v1/streams", STREAM)
        sock.sendall(request_.replace(b"\r\n", b"\r\n%s: /v1\r\n" % name.encode(), 1))
        assert Response(sock).headers["location"].startswith("/v1/streams/")


def test_a_trusted_proxys_prefix_is_in_the_urls(trusting):
    with trusting.connect() as sock:
        sock.sendall(
            post("/v1/streams", STREAM, X_Forwarded_For="198.51.100.15", X_Forwarded_Prefix="/llm/")
        )
        assert Response(sock).headers["location"].startswith("/llm/v1/streams/")


def test_a_prefix_that_is_not_a_path_is_ignored(trusting):
    with trusting.connect() as sock:
        sock.sendall(
            post(
                "/v1/streams",
                STREAM,
                X_Forwarded_For="198.51.100.16",
                X_Forwarded_Prefix="//evil.test",
            )
        )
        location = Response(sock).headers["location"]
    assert not location.startswith("//")


def test_behind_a_prefix_requests_are_relayed():
    with RawUpstream() as upstream:
        upstream.handler = lambda sock, _: sock.sendall(whole(b"{}"))
        trusted = {"upstream": upstream.url, "trusted_proxies": "127.0.0.1"}
        with Server(**trusted) as server, server.connect() as sock:
            assert status(sock, get("/v1/a%2Fb?c=%20d", X_Forwarded_Prefix="/v1")) == 200
        assert target_of(upstream.requests[0]) == "/v1/a%2Fb?c=%20d"


def test_proxies_headers_are_not_passed_on_to_the_upstream():
    with RawUpstream() as upstream:
        upstream.handler = lambda sock, _: sock.sendall(whole(b"{}"))
        with Server(upstream=upstream.url) as server, server.connect() as sock:
            said = {
                "X_Forwarded_For": "1.2.3.4",
                "Forwarded": "for=1.2.3.4",
                "X_Real_IP": "1.2.3.4",
            }
            assert status(sock, get("/v1/models", OpenAI_Beta="passed on", **said)) == 200
        headers = headers_of(upstream.requests[0])
    assert headers["openai-beta"] == "passed on"
    assert not headers.keys() & {"x-forwarded-for", "forwarded", "x-real-ip"}
