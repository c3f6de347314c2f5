"""No request target reaches anything but the upstream, below its path, once."""

from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, headers_of, sends, target_of, whole
from tests.support.server import Server, wait_until
from tests.support.stream import Response, get, post
from tests.system.bystanders import check_log

PREFIX = "/some/where/v1"


@pytest.fixture
def upstream(upstream: RawUpstream) -> RawUpstream:
    upstream.handler = sends(whole(b"{}"))
    return upstream


@pytest.fixture(scope="module")
def server(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(
        upstream=f"http://{raw_upstream.host}{PREFIX}", allowed_hosts="localhost,elsewhere"
    ) as server:
        yield server
        check_log(server.log)


def status(server: Server, request: bytes) -> int:
    with server.connect() as sock:
        sock.sendall(request)
        return Response(sock).status


REFUSED = [
    "/v1/..;/x",
    "/v1/..;a=b/x",
    "/v1/%2e%2e;/x",
    "/v1/.;/x",
    "/v1/a/..;",
    "/v1/%2e%2e%2f%2e%2e%2fx",
    "/v1/%2E%2E%5Cx",
    "/v1/..%00/x",
    "/v1/%00",
    "/v1/x%0d%0aHost:%20elsewhere",
    "/v1/x%0a",
    "/v1/.%09./x",
    "/v1/.%0a./x",
    "/v1/x%7f",
    "/v1/x#y",
    "/v1/x?y#z",
    "/v1/x#/../y",
    "http://elsewhere/v1/x#y",
    "/v1/%2f%2felsewhere/x",
    "/v1//elsewhere/v1/x",
    "/v1/\\elsewhere\\..\\x",
    "\\\\elsewhere/v1/x",
    "//elsewhere/v1/x",
    "///v1/x",
    "/%2fv1/x",
    "http:/v1/x",
    "http:v1/x",
    "http://elsewhere?/v1/x",
    "x://y://z/v1/a",
    "file:///v1/../etc/passwd",
    "elsewhere:80",
    "v1/x",
    "?/v1/x",
    "/v1/" + "x" * 9000,
    "/v1/x y",
    "/v1/x\ty",
    "/v1/x\0",
    "/v1/x\nHost: elsewhere",
    "/v1/x\rHost: elsewhere",
    "/v1/é",
    "/v1/\x1b[31m",
]


@pytest.mark.parametrize("target", REFUSED)
def test_a_target_that_could_lead_elsewhere_is_refused(server, upstream, target):
    assert status(server, get(target, Connection="close")) in (200, 400, 404, 414)
    assert upstream.requests == []


PASSED = {
    "/v1/@elsewhere/x": "/@elsewhere/x",
    "/v1/x;y=../z": "/x;y=../z",
    "/v1/...": "/...",
    "/v1/..x/x..": "/..x/x..",
    "/v1/%252e%252e/x": "/%252e%252e/x",
    "/v1/%c0%ae%c0%ae/x": "/%c0%ae%c0%ae/x",
    "/v1/%ff": "/%ff",
    "/v1/%": "/%",
    "/v1/[::]:80/x": "/[::]:80/x",
    "/v1/x?u=http://elsewhere/../%0d%0aX:y": "/x?u=http://elsewhere/../%0d%0aX:y",
    "/v1/x??": "/x??",
    "http://elsewhere/v1/x": "/x",
    "http://user@elsewhere:99/v1/x": "/x",
    "HTTPS://elsewhere/v1/x": "/x",
    "/v1/" + "x" * 8000: "/" + "x" * 8000,
}


@pytest.mark.parametrize("target", PASSED)
def test_any_other_target_goes_below_the_upstreams_path_unchanged(server, upstream, target):
    assert status(server, get(target)) == 200
    (request,) = upstream.requests
    assert target_of(request) == PREFIX + PASSED[target]
    assert headers_of(request)["host"] == upstream.host


HEADERS = [
    b"X: a\nGET /evil HTTP/1.1",
    b"X: a\rGET /evil HTTP/1.1",
    b"X: a\0b",
    b"X-Request-Id: a\x0bb",
    b"Authorization: Bearer a\nX: b",
    b"Host: elsewhere\nX: y",
    b"Content_Length: 5",
    b"Transfer_Encoding: chunked",
    b"Content-Length: 0\r\nContent-Length: 30",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Content-Length : 30",
    b"SCRIPT_NAME: /v1",
    b"SCRIPT_NAME: /v1/x",
    b"PATH_INFO: /evil",
    b"Connection: host, content-length, x-request-id",
    b"Expect: 100-continue",
    b"Proxy: http://elsewhere",
    b"Host: elsewhere",
    b"X-Forwarded-Host: elsewhere",
    b"X-HTTP-Method-Override: DELETE",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
]


@pytest.mark.parametrize("header", HEADERS)
def test_no_header_makes_a_second_request_or_another_host(server, upstream, header):
    body = b"GET /evil HTTP/1.1\r\nHost: e\r\n\r\n"
    request = b"PUT /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\nContent-Length: %d\r\n\r\n%s"
    with server.connect() as sock:
        sock.sendall(request % (header, len(body), body))
        while sock.recv(65536):
            pass
    assert len(upstream.requests) <= 1
    for received in upstream.requests:
        assert received.startswith(f"PUT {PREFIX}/x HTTP/1.1\r\n".encode())
        assert received.endswith(b"\r\n\r\n" + body)
        head = received.removesuffix(body)
        assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
        assert head.lower().count(b"\r\nhost:") == 1
        assert head.lower().count(b"\r\ncontent-length:") == 1
        assert b"transfer" not in head.lower()
        assert headers_of(received)["host"] == upstream.host
        assert headers_of(received)["content-length"] == str(len(body))


def test_a_chunked_body_goes_on_with_its_length(server, upstream):
    chunks = b"5\r\nhello\r\n1c;x=y\r\nGET /evil HTTP/1.1\r\nHost: e\r\n0\r\n\r\n".replace(
        b"1c", b"%x" % len(b"GET /evil HTTP/1.1\r\nHost: e")
    )
    request = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(server, request + chunks) == 200
    (received,) = upstream.requests
    assert received.endswith(b"\r\n\r\nhelloGET /evil HTTP/1.1\r\nHost: e")
    assert headers_of(received)["content-length"] == "32"
    assert "transfer-encoding" not in headers_of(received)


ODD_MODELS = [
    "a\nb",
    "\x1b[31mred",
    "\u2028",
    "\x9b1m",
    "\u202e",
    "m" * 100_000,
    "' outcome=x",
    "\0",
]


@pytest.mark.parametrize("model", ODD_MODELS)
def test_a_model_name_cannot_add_a_line_to_the_log(server, upstream, model):
    before = len(server.log)
    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    assert status(server, post("/v1/chat/completions", body)) == 200
    check_log(server.log[before:])


@pytest.mark.parametrize("body", [[], 5, "x", b"{", b"{} x"])
def test_a_resumable_stream_of_a_body_that_is_no_json_object_is_refused(server, body):
    assert status(server, post("/v1/streams", body)) == 400


@pytest.mark.parametrize(
    "body",
    [
        {"stream_options": 5},
        {"stream_options": ["a"]},
        {"stream_options": "x"},
        {"model": 5},
        {"stream": "yes"},
    ],
)
def test_fields_of_other_types_are_left_to_the_upstream(server, upstream, body):
    assert status(server, post("/v1/streams", body)) == 201
    assert wait_until(lambda: upstream.requests)


def test_a_resumable_streams_fields_reach_the_upstream_unchanged(server, upstream):
    fields = b'"model":"m","x":[1e999,' + b"1" * 400 + rb',"\ud83c\udf0a"],"y":{"a": 1.0}'
    body = b"{" + fields + b',"stream_options":{"z":1}}'
    assert status(server, post("/v1/streams", body)) == 201
    (received,) = wait_until(lambda: upstream.requests)
    sent = received.partition(b"\r\n\r\n")[2]
    for field in (fields, b'"stream":true', b'"z":1'):
        assert field in sent
    assert b'"include_usage":true' in sent
