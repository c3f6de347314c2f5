"""No log line has a header's content, or a key of a query, of any request or answer."""

import re
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, sends, sends_and_closes, whole
from tests.server.relayed import JSON_ANSWER, PATH
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, get, post

SECRET = "sk-very-secret"
KEY = SECRET.encode()


@pytest.fixture(scope="module")
def server(raw_upstream: RawUpstream) -> Iterator[Server]:
    arguments = ("--access-logfile", "-", "--log-level", "debug")
    with Server(upstream=raw_upstream.url, arguments=arguments) as server:
        yield server


MALFORMED = {
    "no-colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer " + KEY + b"\r\n\r\n",
    "key-alone": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + KEY + b"\r\n\r\n",
    "key-in-a-name": b"GET / HTTP/1.1\r\nHost: localhost\r\nX " + KEY + b": x\r\n\r\n",
    "key-as-a-name": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + KEY + b"\xe9: x\r\n\r\n",
    "control-character": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + KEY + b"\x00\r\n\r\n",
    "bare-lf": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + KEY + b"\nY: z\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n " + KEY + b"\r\n\r\n",
    "content-length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + KEY + b"\r\n\r\n",
    "transfer-encoding": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
    + KEY
    + b"\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: " + KEY + b"\r\n\r\n",
    "too-long": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + KEY * 2000 + b"\r\n\r\n",
    "too-many": b"GET / HTTP/1.1\r\n" + (b"X: " + KEY + b"\r\n") * 300 + b"\r\n",
    "no-version": b"GET /?api_key=" + KEY + b"\r\n\r\n",
    "space-in-the-query": b"GET /?a=b c=" + KEY + b" HTTP/1.1\r\n\r\n",
    "another-version": b"GET /?api_key=" + KEY + b" HTTP/9.9\r\n\r\n",
    "no-method": b"/?api_key=" + KEY + b" / HTTP/1.1\r\n\r\n",
    "no-request": KEY + b"\r\n\r\n",
    "bad-header-behind-a-query": b"GET /?ticket=" + KEY + b" HTTP/1.1\r\nno colon\r\n\r\n",
    "bad-length-behind-a-query": b"GET /?ticket="
    + KEY
    + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    "chunk-size": b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + KEY + b"\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED)
def test_nothing_of_a_malformed_request_is_logged(server, request_):
    before = server.log
    with server.connect() as sock:
        sock.sendall(MALFORMED[request_])
        assert Response(sock).status >= 400
    wait_until(lambda: len(server.log) > len(before))
    assert SECRET not in server.log


def test_nothing_of_a_request_that_ends_early_is_logged(server):
    before = server.log
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nAuthorization: Bearer " + KEY)
    wait_until(lambda: len(server.log) > len(before))
    assert SECRET not in server.log


def test_the_log_says_what_was_wrong_with_a_request(server):
    with server.connect() as sock:
        sock.sendall(MALFORMED["no-colon"])
        Response(sock)
    wait_until(lambda: "a header is not NAME: VALUE" in server.log)


@pytest.mark.parametrize("name", ["ticket", "api_key", "key", "access_token", "%6Bey"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/streams/x", "/nowhere", "/healthz"])
def test_keys_in_a_query_are_in_no_log(server, upstream, name, path):
    upstream.handler = sends(whole(JSON_ANSWER))
    ask(server, get(f"{path}?a=b&{name}={SECRET}&c=d", Referer=f"http://test/?{name}={SECRET}"))
    wait_until(lambda: f"{path}?a=b&{name}=(hidden)&c=d" in server.log)
    assert SECRET not in server.log


def test_a_failure_before_a_response_logs_no_key_of_the_query():
    with Server("tests.server.failing_middleware_app:app") as server, server.connect() as sock:
        sock.sendall(get(f"/healthz?ticket={SECRET}&a=b", X_Fail="call"))
        assert Response(sock).status == 500
        wait_until(lambda: "/healthz?ticket=(hidden)&a=b" in server.log)
        assert SECRET not in server.log


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nSet-Cookie " + KEY + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: " + KEY + b"\0\r\n\r\n",
        b"HTTP/1.1 OK " + KEY + b"\r\n\r\n",
        KEY + b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("ends", [sends, sends_and_closes])
def test_nothing_of_a_malformed_answer_is_logged_or_shown(server, upstream, answer, ends):
    upstream.handler = ends(answer)
    response, body = ask(server, post(PATH, chat()))
    assert response.status == 502
    assert KEY not in body
    reason = re.compile(r'"reason":"the upstream\'s answer is not HTTP')
    wait_until(lambda: reason.search(server.log))
    assert SECRET not in server.log
