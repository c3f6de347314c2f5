"""Redirects: which the client follows, and with which request."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_sluice.client import ConnectError, Ending, RedirectError, SSEClient
from tests.client.answers import DONE, EVENT, failure_of, in_turn, post, streams_then_waits, texts
from tests.server.raw_upstream import RawUpstream, head, headers_of, sends, streams
from tests.support.certificate import TlsUpstream, make_certificates, shows
from tests.support.server import wait_until

ANSWER = streams(EVENT, DONE)


def redirects(status, location):
    return sends(head(f"{status} Elsewhere", Location=location, Content_Length=0))


def request_line(request):
    return request.partition(b"\r\n")[0].decode()


@pytest.mark.parametrize(
    ("status", "method", "followed_with"),
    [
        (301, "GET", "GET"),
        (302, "GET", "GET"),
        (303, "GET", "GET"),
        (307, "GET", "GET"),
        (308, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (303, "PUT", "GET"),
    ],
)
def test_a_redirect_is_followed_with_the_method_that_http_prescribes(
    server, client, status, method, followed_with
):
    server.handler = in_turn(redirects(status, "/there?x=1"), ANSWER)
    body = None if method == "GET" else {"a": 1}
    assert texts(client.stream(method, "/here", json=body)) == ["a"]
    first, second = server.requests
    assert request_line(first) == f"{method} /here HTTP/1.1"
    assert request_line(second) == f"{followed_with} /there?x=1 HTTP/1.1"
    has_body = followed_with != "GET"
    assert second.endswith(b'{"a":1}') == has_body
    assert ("content-type" in headers_of(second)) == has_body
    wait_until(lambda: server.connections[0].closed_at)


@pytest.mark.parametrize(
    ("location", "target"),
    [("there", "/v1/there"), ("/there", "/there"), ("?x=1", "/v1/here?x=1"), ("#x", "/v1/here")],
)
def test_a_location_may_be_relative(server, location, target):
    server.handler = in_turn(redirects(307, location), ANSWER)
    assert texts(SSEClient(server.url).stream("GET", "/here")) == ["a"]
    assert request_line(server.requests[1]) == f"GET {target} HTTP/1.1"


def test_the_number_of_redirects_is_limited(server, client):
    server.handler = redirects(307, "/again")
    error = failure_of(post(client))
    assert isinstance(error, RedirectError)
    assert error.ending is Ending.REFUSED
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/", "http://", "//", "http://h:x/", "data:,x", "//[::"]
)
def test_a_redirect_to_an_address_that_is_not_http_is_not_followed(server, client, location):
    server.handler = redirects(307, location)
    assert isinstance(failure_of(post(client)), RedirectError)


# Keys have many names, and the caller may invent another.
CREDENTIALS = {
    "Authorization": "Bearer k",
    "Proxy-Authorization": "Basic k",
    "Cookie": "c=1",
    "X-Api-Key": "k",
    "api-key": "k",
    "x-goog-api-key": "k",
    "X-Auth-Token": "k",
    "Ocp-Apim-Subscription-Key": "k",
    "X-My-Secret": "k",
}
HARMLESS = {
    "Accept": "text/event-stream;q=1",
    "Accept-Language": "de",
    "Cache-Control": "no-store",
    "User-Agent": "me/1",
}


def test_credentials_are_sent_to_the_same_origin(server):
    server.handler = in_turn(redirects(307, f"http://{server.host}/there"), ANSWER)
    texts(post(SSEClient(f"http://{server.host}", headers=CREDENTIALS)))
    assert headers_of(server.requests[1])["authorization"] == "Bearer k"


def test_credentials_are_never_sent_to_another_origin(server):
    with RawUpstream(ANSWER) as other:
        server.handler = redirects(307, f"http://{other.host}/")
        headers = {**CREDENTIALS, **HARMLESS, "Host": "tenant.example"}
        assert texts(post(SSEClient(f"http://{server.host}", headers=headers))) == ["a"]
        (request,) = other.requests
    sent = headers_of(request)
    assert sent["host"] == other.host
    assert {name: sent[name.lower()] for name in HARMLESS} == HARMLESS
    assert request.endswith(b'{"question":"?"}')
    assert not {name.lower() for name in CREDENTIALS} & sent.keys()


def test_the_place_to_continue_at_is_sent_to_another_origin(server):
    with RawUpstream(ANSWER) as other:
        server.handler = redirects(307, f"http://{other.host}/")
        client = SSEClient(f"http://{server.host}")
        assert texts(client.stream("GET", "/", last_event_id="6")) == ["a"]
        assert headers_of(other.requests[0])["last-event-id"] == "6"


def test_a_location_that_was_sent_twice_is_followed_once(server, client):
    twice = head("307 Elsewhere", Location="/there")[:-2] + b"location: /there\r\n\r\n"
    server.handler = in_turn(sends(twice), ANSWER)
    assert texts(post(client)) == ["a"]
    assert request_line(server.requests[1]) == "POST /there HTTP/1.1"


def test_credentials_do_not_come_back_with_a_second_redirect(server):
    with RawUpstream(redirects(307, f"http://{server.host}/back")) as other:
        server.handler = in_turn(redirects(307, f"http://{other.host}/"), ANSWER)
        texts(post(SSEClient(f"http://{server.host}", headers=CREDENTIALS)))
    assert "authorization" not in headers_of(server.requests[1])


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, Path]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(certificates) -> Iterator[TlsUpstream]:
    with TlsUpstream(certificates["good"]) as server:
        server.handler = ANSWER
        yield server


@pytest.fixture
def trust(certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates["trusted"])


def secured(server: TlsUpstream, trust: ssl.SSLContext) -> SSEClient:
    return SSEClient(f"https://{server.host}", ssl_context=trust)


def test_a_stream_is_read_over_https(secure, trust):
    secure.handler = streams(EVENT, b"data: " + b"x" * 200_000 + b"\n\n", DONE)
    assert [len(text) for text in texts(post(secured(secure, trust)))] == [1, 200_000]


def test_an_event_is_returned_over_https_when_it_arrives(secure, trust, gate):
    secure.handler = streams_then_waits(gate, EVENT, DONE)
    with post(secured(secure, trust)) as stream:
        assert next(stream).data == "a"
        gate.set()
        assert texts(stream) == []


@pytest.mark.parametrize("name", ["untrusted", "for-another-host"])
def test_a_certificate_that_is_not_valid_is_refused(secure, certificates, trust, name):
    secure.start_tls = shows(certificates[name])
    error = failure_of(post(secured(secure, trust)))
    assert isinstance(error, ConnectError)
    assert "its certificate is not valid" in str(error)
    assert secure.requests == []


def test_a_redirect_from_https_to_http_is_never_followed(server, secure, trust):
    secure.handler = redirects(307, f"http://{server.host}/")
    error = failure_of(post(secured(secure, trust)))
    assert isinstance(error, RedirectError)
    assert "from https to http" in str(error)
    assert server.connections == []


def test_a_redirect_from_http_to_https_is_followed_without_credentials(server, secure, trust):
    server.handler = redirects(308, f"https://{secure.host}/")
    client = SSEClient(f"http://{server.host}", headers=CREDENTIALS, ssl_context=trust)
    assert texts(post(client)) == ["a"]
    assert "authorization" not in headers_of(secure.requests[0])
