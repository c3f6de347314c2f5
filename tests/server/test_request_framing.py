"""Requests whose end two servers could see at different places are refused, and bytes that follow them are not answered."""

import pytest

from tests.support.server import Server
from tests.support.stream import Response

POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
GET = b"GET /healthz HTTP/1.1\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        POST + b"Content-Length: 2, 40\r\n\r\n{}",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: -2\r\n\r\n{}",
        POST + b"Content-Length: 0x2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
        GET + b"Host: one\r\nHost: two\r\n\r\n",
        GET + b"Host: localhost\n\n",
        GET + b"Host: localhost\r\n folded\r\n\r\n",
        GET + b"Host: localhost\r\nX: a\rb\r\n\r\n",
        GET + b"Host: localhost\r\nX: a\0b\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    ],
)
def test_an_ambiguous_request_is_refused_with_all_that_follows(sluice: Server, request_: bytes):
    with sluice.connect() as sock:
        sock.sendall(request_ + NEXT)
        response = Response(sock)
        assert response.status in (400, 501), response.status
        answer = response.body()
        while data := sock.recv(65536):
            answer += data
        assert b"HTTP/1.1 200" not in answer
