"""One request to one upstream, up to its response's first event.

Everything here runs on the event loop: the generators yield wherever they wait (``Steps``), and never block.
"""

import ssl
import time
from collections.abc import Callable, Mapping

import msgspec

from flask_sluice.gateway.relay.address import UpstreamAddress
from flask_sluice.gateway.relay.connection import WOULD_BLOCK, UpstreamConnection
from flask_sluice.gateway.relay.http1_parser import (
    MAX_HEAD_BYTES,
    InvalidResponseError,
    ResponseHead,
    body_of,
    parse_head,
)
from flask_sluice.gateway.relay.response import READ_BYTES, UpstreamResponse
from flask_sluice.gateway.relay.upstream import Upstream
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.steps import Steps, UntilDone, UntilReadable, UntilWritable

_SMALL_REQUEST_BYTES = 64 * 1024
"""Fits into the socket's buffers, so that a failure to send it does not mean that a response came early."""
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class UpstreamRequest(msgspec.Struct, frozen=True):
    """A request, whichever upstream gets it.

    path: below the upstream's URL, with its leading slash and its query
    headers: the end-to-end headers
    is_completion: whether it is for one of OpenAI's completion routes, which answer with JSON or with a stream whose end
        can be judged
    has_known_end: whether an answer without one event that shows its API is not whole
    choice_count: how many choices it asks for
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    is_completion: bool
    has_known_end: bool = False
    choice_count: int = 1


class StaleConnectionError(Exception):
    """The upstream closed a connection from the pool before it sent a byte."""


def ask(
    upstream: Upstream,
    request: UpstreamRequest,
    timeout_seconds: float,
    on_failure: Callable[[str], None],
) -> Steps[UpstreamResponse]:
    """Send the request and return the response: with its first event, or with its headers where it is not a stream.

    timeout_seconds: how long that may take once there is a connection
    on_failure: called with the reason when the upstream reports a failure in the middle of its stream

    Raises ApiError: the upstream cannot be reached, is too late, or does not answer as such a request is answered.
    """
    connection = upstream.pool.take()
    if connection is not None:
        try:
            return (
                yield from _exchange(upstream, connection, request, timeout_seconds, on_failure)
            )
        except StaleConnectionError:
            # The upstream closed it while it was idle and has seen nothing of this request. All clients then ask once
            # more on a new connection.
            pass
    # It blocks on names, the proxy and TLS, so it runs in a greenlet.
    connection = yield UntilDone(upstream.connect, undo=UpstreamConnection.close)
    return (yield from _exchange(upstream, connection, request, timeout_seconds, on_failure))


def read_body(response: UpstreamResponse, timeout_seconds: float, max_bytes: int) -> Steps[bytes]:
    """Return the body of a response that is not a stream; reads no further than ``max_bytes``. Raises OSError."""
    until_readable = UntilReadable(response.connection.sock, time.monotonic() + timeout_seconds)
    body = response.take() if response.has_events else b""  # It may have come with the head.
    while not response.is_finished and len(body) < max_bytes:
        response.feed((yield from _receive(response.connection, until_readable)))
        body += response.take()
    return body


def _exchange(
    upstream: Upstream,
    connection: UpstreamConnection,
    request: UpstreamRequest,
    timeout_seconds: float,
    on_failure: Callable[[str], None],
) -> Steps[UpstreamResponse]:
    """Ask on this connection, and close it unless it has answered. Raises ApiError, or StaleConnectionError."""
    until_readable = UntilReadable(connection.sock, time.monotonic() + timeout_seconds)
    response: UpstreamResponse | None = None
    is_answered = False
    try:
        head, rest = yield from _send_and_read_head(
            connection, _request_bytes(upstream.address, request), until_readable
        )
        body = body_of(head, request.method)
        # Bytes behind a response without a body do not belong to anything that was asked.
        body.is_broken = body.is_complete and bool(rest)
        response = UpstreamResponse(
            head,
            body,
            connection,
            upstream.pool,
            has_known_end=request.has_known_end,
            choice_count=request.choice_count,
            on_failure=on_failure,
        )
        if rest and not response.is_finished:
            response.feed(rest)
        while response.is_event_stream and not (response.has_events or response.is_finished):
            response.feed((yield from _receive(connection, until_readable)))
        _check(response, request)
        is_answered = True
        return response
    except TimeoutError:
        raise ApiError(
            504,
            "upstream_timeout",
            f"no first event from upstream within {timeout_seconds:g} seconds",
        ) from None
    except InvalidResponseError as error:
        raise ApiError(
            502, "upstream_invalid", f"the upstream's answer is not HTTP: {error}"
        ) from None
    except OSError as error:
        raise ApiError(
            502, "upstream_unreachable", f"the upstream's connection broke: {error}"
        ) from None
    finally:
        if response is None:
            connection.close()
        elif not is_answered:
            # A response that is finished has given its connection back to the pool.
            response.abandon()


def _request_bytes(address: UpstreamAddress, request: UpstreamRequest) -> bytes:
    """Return head and body, as the upstream at this address gets them."""
    lines = [f"{request.method} {address.target}{request.path} HTTP/1.1", f"Host: {address.host}"]
    headers = {**request.headers, **address.proxy_headers}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def _send_and_read_head(
    connection: UpstreamConnection, request: bytes, until_readable: UntilReadable
) -> Steps[tuple[ResponseHead, bytes]]:
    """Send the request and read the head of the response; return it with the bytes that came behind it.

    Raises StaleConnectionError, TimeoutError, another OSError, or InvalidResponseError.
    """
    data = b""
    informational_bytes = 0
    was_silent = True
    try:
        yield from _send(connection, request, until_readable.deadline)
        # Waiting for the response may take minutes, and the request may be large.
        del request
        while (end := data.find(b"\r\n\r\n")) < 0 or data.startswith(_INFORMATIONAL):
            if end >= 0:
                data = data[end + 4 :]  # 100 or 103: the response is yet to come.
                informational_bytes += end
                if informational_bytes > MAX_HEAD_BYTES:
                    raise InvalidResponseError("it sends informational responses without an end")
                continue
            piece = yield from _receive(connection, until_readable)
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


def _send(connection: UpstreamConnection, request: bytes, deadline: float) -> Steps[None]:
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
        # A server may refuse a body that is too large before it has read it, and close the connection. Its response may
        # still be there to be read; if it is not, reading raises the error.
        if len(request) <= _SMALL_REQUEST_BYTES:
            raise


def _receive(connection: UpstreamConnection, until_readable: UntilReadable) -> Steps[bytes]:
    """Return what has come, b"" at the connection's end. Raises TimeoutError at the deadline."""
    while True:
        # Waiting first gives way to other streams, and to the deadline, where an upstream always has something to say.
        yield until_readable
        try:
            return connection.receive_now(READ_BYTES)
        except WOULD_BLOCK:
            pass  # With TLS: the bytes that have come are not yet a whole record.


def _check(response: UpstreamResponse, request: UpstreamRequest) -> None:
    """Raise ApiError for a response that cannot be the answer to such a request."""
    if response.error is not None and not response.has_events:
        raise response.error
    is_answer = response.is_event_stream or response.is_json
    if request.is_completion and response.head.status == 200 and not is_answer:
        content_type = response.head.values.get("content-type") or "no content type"
        if response.is_compressed:
            content_type += f" in {response.head.values.get('content-encoding')}"
        raise ApiError(
            502,
            "upstream_invalid",
            f"the upstream answered with {content_type}, neither JSON nor a stream",
        )
