"""The relay connects with TLS, and through a proxy."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    RawUpstream,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    target_of,
    whole,
)
from tests.server.relayed import DONE, HELLO, PATH, STOP, in_stream_error, stream_of
from tests.server.test_faults import read_until_cut
from tests.server.test_relay_cancel import open_request
from tests.support.certificate import TlsUpstream, ends_properly, is_cut, make_certificates, shows
from tests.support.proxy import forwards_to, server_in
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, get, post

CHAT = post(PATH, chat(), Authorization="Bearer client")
WHOLE = post(PATH, chat(stream=False))
EVENTS = [
    HELLO,
    b"data: " + b"x" * 20_000 + b"\n\n",
    STOP,
    DONE,
]  # One is longer than a TLS record.
ANSWER = b"".join(EVENTS)
ANSWERS = streams(*EVENTS)
WIRE = STREAM_HEAD + b"".join(map(chunk, EVENTS)) + LAST_CHUNK
UNSIZED = head(Content_Type="application/json")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, Path]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def raw_upstream(certificates) -> Iterator[TlsUpstream]:
    with TlsUpstream(certificates["good"]) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def raw_proxy() -> Iterator[RawUpstream]:
    with RawUpstream() as proxy:
        yield proxy


@pytest.fixture
def upstream(raw_upstream: TlsUpstream, certificates) -> TlsUpstream:
    """Has no connections left by other tests."""
    raw_upstream.close_connections()
    raw_upstream.start_tls = shows(certificates["good"])
    raw_upstream.handler = ANSWERS
    return raw_upstream


@pytest.fixture
def proxy(raw_proxy: RawUpstream, upstream: TlsUpstream) -> RawUpstream:
    raw_proxy.close_connections()
    raw_proxy.handler = forwards_to(upstream.port)
    return raw_proxy


@pytest.fixture(scope="module")
def relay(raw_upstream, certificates) -> Iterator[Server]:
    with server_in(raw_upstream.url, SSL_CERT_FILE=certificates["trusted"]) as server:
        yield server


@pytest.fixture(scope="module")
def tunnelled(raw_proxy, certificates) -> Iterator[Server]:
    trust = {"SSL_CERT_FILE": certificates["trusted"]}
    proxy = f"http://sluice:p%40ss@{raw_proxy.host}"
    with server_in("https://upstream.test/v1", HTTPS_PROXY=proxy, **trust) as server:
        yield server


@pytest.fixture(params=["relay", "tunnelled"])
def either(request, proxy) -> Server:
    """Connects with TLS, once directly to the upstream and once in a tunnel through the proxy."""
    return request.getfixturevalue(request.param)


def failure(server: Server) -> tuple[int, str, str]:
    """Return status, code and message of an answer that failed before its headers."""
    response, body = ask(server, CHAT)
    error = json.loads(body)["error"]
    return response.status, error["code"], error["message"]


@pytest.mark.parametrize("record_bytes", [50, 1000, len(WIRE)])
def test_a_stream_comes_out_byte_for_byte_in_whatever_records(either, upstream, record_bytes):
    starts = range(0, len(WIRE), record_bytes)
    upstream.handler = sends(*(WIRE[start : start + record_bytes] for start in starts))
    assert stream_of(either) == ANSWER


def test_events_in_one_record_arrive_before_the_next_record(relay, upstream):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO), chunk(HELLO * 2 + b"data: {"))
    with relay.connect() as sock:
        sock.sendall(CHAT)
        assert Response(sock).until(HELLO * 3) == HELLO * 3


def test_a_large_request_arrives_whole(relay, upstream):
    ask(relay, post(PATH, chat("x" * 1_000_000)))
    assert b"x" * 1_000_000 + b'"}]' in upstream.requests[0]


def test_the_connection_of_a_finished_answer_is_used_again(either, upstream):
    upstream.handler = sends(WIRE)  # [DONE] and the end of the framing come in one record.
    assert [stream_of(either) for _ in range(3)] == [ANSWER] * 3
    assert (len(upstream.connections), len(upstream.requests)) == (1, 3)


def test_a_connection_that_closed_while_idle_is_replaced_silently(relay, upstream):
    upstream.handler = ends_properly(WIRE)
    assert [stream_of(relay) for _ in range(3)] == [ANSWER] * 3
    assert len(upstream.connections) == 3


@pytest.mark.parametrize("name", ["untrusted", "for-another-host"])
def test_nothing_is_sent_to_a_host_with_a_bad_certificate(either, upstream, certificates, name):
    upstream.start_tls = shows(certificates[name])
    status, code, message = failure(either)
    assert (status, code) == (502, "upstream_unreachable")
    assert "certificate" in message
    assert wait_until(lambda: upstream.connections[0].closed_at)
    assert upstream.requests == []


def test_an_upstream_that_does_not_speak_tls_is_unreachable(relay, upstream):
    def answers_without_tls(sock: socket.socket) -> socket.socket:
        sock.recv(65536)
        sock.sendall(head("400 Bad Request", Content_Length=0))
        return sock

    upstream.start_tls = answers_without_tls
    status, code, message = failure(relay)
    assert (status, code) == (502, "upstream_unreachable")
    assert "wrong version number" in message


def test_an_upstream_that_speaks_tls_only_is_a_502_for_plain_http(upstream):
    with server_in(upstream.url.replace("https", "http")) as server:
        # Some TLS libraries close, others send an alert first, which is not HTTP.
        assert failure(server)[:2] in [(502, "upstream_unreachable"), (502, "upstream_invalid")]
    assert upstream.requests == []


def test_a_refusal_that_comes_before_the_request_is_sent_is_passed_on(relay, upstream):
    start_tls = upstream.start_tls

    def refuses(sock: socket.socket) -> socket.socket:
        sock = start_tls(sock)
        sock.recv(1000)
        is_cut(whole(b"{}", "413 Content Too Large"))(sock, b"")
        return sock

    upstream.start_tls = refuses
    assert ask(relay, post(PATH, chat("x" * 9_000_000)))[0].status == 413


@pytest.mark.parametrize("sent", [b"", HELLO], ids=["waiting-for-headers", "between-events"])
def test_the_upstreams_connection_closes_when_the_client_leaves(either, upstream, sent):
    upstream.handler = sends(STREAM_HEAD + chunk(sent) if sent else b"")
    client, connection = open_request(either, upstream, CHAT, len(sent) or None)
    client.close()
    assert wait_until(lambda: connection.closed_at)


def test_the_handshake_is_given_up_when_the_client_leaves(either, upstream):
    upstream.start_tls = lambda sock: sock  # It waits for plain HTTP and sends nothing.
    with either.connect() as client:
        client.sendall(CHAT)
        (connection,) = wait_until(lambda: upstream.connections)
    assert wait_until(lambda: connection.closed_at)


# How an answer ends.

EVENT = STREAM_HEAD + chunk(HELLO)
ENDS = {
    "between-chunks": is_cut(EVENT),
    "between-chunks-with-close-notify": ends_properly(EVENT),
    "in-a-chunk": is_cut(EVENT, chunk(STOP)[:-20]),
    "in-a-record": is_cut(EVENT, behind_tls=b"\x17\x03\x03\x40\x00half"),
    "with-what-is-no-record": is_cut(EVENT, behind_tls=b"HTTP/1.1 408 Request Timeout\r\n\r\n"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_early_end_is_told_as_truncated(relay, upstream, end):
    upstream.handler = end
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_truncated")


def test_an_answer_without_a_length_ends_with_close_notify(relay, upstream):
    upstream.handler = ends_properly(UNSIZED, b'{"choices":[]}')
    assert ask(relay, WHOLE)[1] == b'{"choices":[]}'


def test_an_answer_without_a_length_is_cut_if_close_notify_never_comes(relay, upstream):
    # RFC 9112, section 9.8
    upstream.handler = is_cut(head(Content_Type="audio/mpeg"), b"half")
    with relay.connect() as sock:
        sock.sendall(post("/v1/audio/speech", {"input": "x"}))
        read_until_cut(Response(sock), EOFError)


def test_json_without_a_length_is_a_502_if_close_notify_never_comes(relay, upstream):
    upstream.handler = is_cut(UNSIZED, b'{"choices":[]}')
    assert ask(relay, WHOLE)[0].status == 502


# Through a proxy.


def test_the_proxy_learns_host_and_port_of_an_https_upstream_only(tunnelled, upstream, proxy):
    assert ask(tunnelled, CHAT)[1] == ANSWER
    (connect,) = proxy.requests
    assert connect.startswith(b"CONNECT upstream.test:443 HTTP/1.")
    assert headers_of(connect).keys() <= {"host", "proxy-authorization"}
    received = headers_of(upstream.requests[0])
    assert (received["host"], received["authorization"]) == ("upstream.test", "Bearer client")
    assert "proxy-authorization" not in received


@pytest.mark.parametrize("refusal", ["403 Forbidden", "407 Proxy Authentication Required"])
def test_a_tunnel_that_the_proxy_refuses_is_a_502_that_says_so(tunnelled, upstream, proxy, refusal):
    proxy.handler = sends_and_closes(head(refusal, Content_Length=0))
    status, code, message = failure(tunnelled)
    assert (status, code) == (502, "upstream_unreachable")
    assert message.endswith(f"Tunnel connection failed: {refusal}")
    assert upstream.connections == []


def test_a_proxy_that_does_not_speak_http_makes_the_upstream_unreachable(
    tunnelled, upstream, proxy
):
    proxy.handler = sends_and_closes(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert failure(tunnelled)[:2] == (502, "upstream_unreachable")
    assert upstream.connections == []


@pytest.fixture(scope="module")
def near() -> Iterator[list[RawUpstream]]:
    with RawUpstream(ANSWERS) as one, RawUpstream(ANSWERS) as two, RawUpstream(ANSWERS) as three:
        yield [one, two, three]


@pytest.fixture(scope="module")
def mixed(raw_proxy, near) -> Iterator[Server]:
    """Asks in turn an upstream behind the proxy and three that NO_PROXY names, each in a different way."""
    hosts = ["upstream.test", near[0].host, near[1].host, f"localhost:{near[2].port}"]
    with server_in(
        ",".join(f"http://{host}/v1" for host in hosts),
        HTTP_PROXY=f"http://sluice:p%40ss@{raw_proxy.host}",
        NO_PROXY=f"{near[0].host}, .0.0.1:{near[1].port},localhost",
    ) as server:
        yield server


@pytest.fixture
def far(proxy: RawUpstream) -> Iterator[RawUpstream]:
    """The upstream behind the proxy."""
    with RawUpstream(ANSWERS) as upstream:
        proxy.handler = forwards_to(upstream.port)
        yield upstream


def test_the_proxy_gets_the_absolute_form_for_an_http_upstream(mixed, proxy, far):
    assert [stream_of(mixed) for _ in range(4)] == [ANSWER] * 4
    (request,) = proxy.requests
    assert target_of(request) == f"http://upstream.test{PATH}"
    assert headers_of(request)["host"] == "upstream.test"
    assert target_of(far.requests[0]) == PATH


def test_the_hosts_of_no_proxy_are_asked_directly(mixed, far, near):
    for upstream in near:
        upstream.close_connections()
    assert [stream_of(mixed) for _ in range(4)] == [ANSWER] * 4
    assert [len(upstream.requests) for upstream in [far, *near]] == [1, 1, 1, 1]
    for upstream in near:
        assert "proxy-authorization" not in headers_of(upstream.requests[0])


@pytest.mark.parametrize("way", ["tunnelled", "mixed"])
def test_the_proxy_gets_the_user_and_password_of_its_url(request, proxy, way):
    proxy.handler = sends_and_closes(whole(b"{}"))
    for _ in range(4):
        ask(request.getfixturevalue(way), CHAT)
    credentials = headers_of(proxy.requests[0])["proxy-authorization"]
    assert credentials == "Basic c2x1aWNlOnBAc3M="  # sluice:p@ss


def test_readyz_calls_an_upstream_ok_to_which_only_the_proxy_knows_the_way(mixed, far):
    states = json.loads(ask(mixed, get("/readyz"))[1])["upstreams"]
    assert states["http://upstream.test/v1"] == "ok"
