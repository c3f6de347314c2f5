"""One request to an upstream over one connection, up to its answer's first event."""

import ssl
from collections.abc import Mapping

import msgspec

from flask_sluice.gateway.relay.http1_parser import (
    MAX_HEAD_BYTES,
    InvalidResponseError,
    ResponseHead,
    parse_head,
)
from flask_sluice.gateway.relay.response import READ_BYTES, WOULD_BLOCK, UpstreamResponse
from flask_sluice.gateway.relay.upstream import Connection, Upstream
from flask_sluice.stream.loop.steps import Steps, UntilReadable, UntilWritable

_SMALL_REQUEST_BYTES = 64 * 1024
"""Fits into the socket's buffers: a failure to send it is no answer that came early."""
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class UpstreamRequest(msgspec.Struct, frozen=True):
    """What goes to the upstream.

    path: below the upstream's URL, with its slash and its query
    headers: the end-to-end ones
    is_completion: of one of OpenAI's completion routes, which answer with JSON or with a stream whose end is known
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    is_completion: bool


class StaleConnectionError(Exception):
    """A connection from the pool was closed by the upstream before it said a word."""


def request_bytes(upstream: Upstream, request: UpstreamRequest) -> bytes:
    """The request as this upstream is to get it: head and body."""
    lines = [f"{request.method} {upstream.target}{request.path} HTTP/1.1", f"Host: {upstream.host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"{name}: {value}" for name, value in upstream.proxy_headers.items()]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def send_and_read_head(
    connection: Connection, request: bytes, until_readable: UntilReadable
) -> Steps[tuple[ResponseHead, bytes]]:
    """Sends the request and reads the head of the response; returns it with what came behind it.

    Raises StaleConnectionError, TimeoutError, another OSError, or InvalidResponseError.
    """
    data = b""
    informational_bytes = 0
    was_silent = True
    try:
        yield from _send_request(connection, request, until_readable.deadline)
        # Not kept while the answer is waited for: a long prompt waits long.
        del request
        while (end := data.find(b"\r\n\r\n")) < 0 or data.startswith(_INFORMATIONAL):
            if end >= 0:
                data = data[end + 4 :]  # 100, 103: the response is yet to come.
                informational_bytes += end
                if informational_bytes > MAX_HEAD_BYTES:
                    raise InvalidResponseError("it sends informational responses without an end")
                continue
            piece = yield from receive(connection, until_readable)
            if not piece:
                raise ConnectionResetError("it ended before the response's headers")
            data += piece
            was_silent = False
            if not b"HTTP/1.".startswith(data[:7]) and not data.startswith(b"HTTP/1."):
                raise InvalidResponseError(f"it begins with {data[:80]!r}")
            if len(data) > MAX_HEAD_BYTES and data.find(b"\r\n\r\n") < 0:
                raise InvalidResponseError(f"its headers are longer than {MAX_HEAD_BYTES} bytes")
    except TimeoutError:
        raise
    except OSError:
        if connection.is_reused and was_silent:
            raise StaleConnectionError from None
        if data:
            raise InvalidResponseError(f"it ended after {data[:80]!r}") from None
        raise
    return parse_head(data[:end]), data[end + 4 :]


def _send_request(connection: Connection, request: bytes, deadline: float) -> Steps[None]:
    unsent = memoryview(request)
    try:
        while unsent:
            try:
                unsent = unsent[connection.sock.send(unsent) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield UntilWritable(connection.sock, deadline)
            except ssl.SSLWantReadError:
                yield UntilReadable(connection.sock, deadline)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        # Servers refuse a body that is too large before they have read it, and close. What they said may
        # still be there to be read; if it is not, reading says so.
        if len(request) <= _SMALL_REQUEST_BYTES:
            raise


def read_first_event(
    response: UpstreamResponse, rest: bytes, until_readable: UntilReadable
) -> Steps[None]:
    """Reads on until a stream has its first event or is over; of what is no stream, nothing.

    rest: what came behind the head. Raises TimeoutError or another OSError.
    """
    if rest and not response.is_finished:
        response.feed(rest)
    while response.is_event_stream and not (response.has_events or response.is_finished):
        response.feed((yield from receive(response.connection, until_readable)))


def receive(connection: Connection, until_readable: UntilReadable) -> Steps[bytes]:
    """What has come, b"" at the connection's end. Raises TimeoutError at the deadline."""
    while True:
        # Also where there is always something to be read: then it is the turn of others, and the deadline counts.
        yield until_readable
        try:
            return connection.receive_now(READ_BYTES)
        except WOULD_BLOCK:
            pass  # As with TLS: what has come is not yet a whole record.
