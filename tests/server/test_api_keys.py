"""SLUICE_API_KEYS: which requests are accepted. Tickets are tested in tests/system/test_streams.py."""

import itertools
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, whole
from tests.support.server import Server
from tests.support.stream import Response

ADDRESSES = itertools.count()
KEY = "sk-right-0123456789,sk-other-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A gateway whose accepted requests are answered with 200."""
    with (
        RawUpstream(lambda sock, _: sock.sendall(whole(b"{}"))) as upstream,
        Server(upstream=upstream.url, api_keys=KEY, trusted_proxies="127.0.0.1") as server,
    ):
        yield server


def ask(server: Server, *lines: bytes, target: bytes = b"GET /v1/models") -> Response:
    with server.connect() as sock:
        # Each request has an address of its own, since wrong keys are counted by address.
        forwarded = b"X-Forwarded-For: 2001:db8:0:%x::1" % next(ADDRESSES)
        head = [target + b" HTTP/1.1", b"Host: localhost", forwarded, *lines]
        sock.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        response = Response(sock)
        response.text = b"" if target.startswith(b"HEAD") else response.body()
        return response


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"Authorization: Bearer sk-right-0123456789",
            b"Authorization: Bearer sk-other-0123456789",
        ),
        *(
            b"authorization: bearer sk-right-0123456789",
            b"Authorization: Bearer   sk-right-0123456789  ",
        ),
        *(b"X-Api-Key: sk-right-0123456789", b"x-api-key: sk-other-0123456789"),
    ],
)
def test_a_request_with_a_key_is_accepted(server, line):
    assert ask(server, line).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Authorization:"],
        [b"Authorization: Bearer"],
        [b"Authorization: Bearer "],
        [b"Authorization: sk-right-0123456789"],
        [b"Authorization: Basic sk-right-0123456789"],
        [b"Authorization: Bearer sk-right-0123456789,sk-other-0123456789"],
        [b"Authorization: Bearer sk-"],
        [b"Authorization: Bearer sk-right-01234567890"],
        [b"Authorization: Bearer SK-RIGHT-0123456789"],
        [b"Authorization: Bearer sk-r\xe9ght-0123456789"],
        [b"Authorization: Bearer sk-r\xc3\xa9ght-0123456789"],
        [b"Authorization: Bearer \xff\xfe"],
        [b"X-Api-Key:"],
        [b"X-Api-Key: \xff"],
        [b"Authorization: Bearer wrong", b"X-Api-Key: sk-right-0123456789"],
        [b"Authorization: Bearer sk-right-0123456789", b"Authorization: Bearer wrong"],
        [b"Authorization: Bearer wrong", b"Authorization: Bearer sk-right-0123456789"],
        [
            b"Authorization: Bearer sk-right-0123456789",
            b"Authorization: Bearer sk-right-0123456789",
        ],
        [b"X_Api_Key: sk-right-0123456789"],
        [b"Proxy-Authorization: Bearer sk-right-0123456789"],
        [b"Cookie: key=sk-right-0123456789"],
    ],
)
def test_a_request_without_a_valid_key_is_refused(server, lines):
    response = ask(server, *lines)
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert b'"code":"invalid_api_key"' in response.text


@pytest.mark.parametrize(
    "target",
    [
        *(b"POST /v1/chat/completions", b"HEAD /v1/models", b"OPTIONS /v1/models"),
        *(b"GET /v1/", b"GET /v1/nothing", b"DELETE /v1/streams/x", b"GET /%761/models"),
        *(b"GET /v1%2Fmodels", b"GET /v1/models?ticket=x", b"GET http://localhost/v1/models"),
    ],
)
def test_every_path_below_v1_needs_a_key(server, target):
    assert ask(server, target=target).status == 401


@pytest.mark.parametrize("target", [b"GET //v1/models", b"GET /V1/models", b"GET /x/../v1/models"])
def test_no_other_spelling_of_the_path_leads_to_the_upstream(server, target):
    assert ask(server, target=target).status in (401, 404)


def test_the_log_contains_no_key(server):
    ask(server, b"Authorization: Bearer sk-right-0123456789")
    ask(server, b"Authorization: Bearer sk-wrong")
    assert "sk-" not in server.log
