"""One request to one upstream, up to its response's first event.

Everything here runs on the event loop: the generators yield wherever they wait (``Steps``), and never block.
"""

import ssl
import time
from collections.abc import Callable, Mapping

import msgspec

from flask_sluice.gateway.relay.address import UpstreamAddress
from flask_sluice.gateway.relay.connection import (
    WOULD_BLOCK,
    UnreadRequestError,
    UpstreamConnection,
)
from flask_sluice.gateway.relay.http1_parser import (
    MAX_HEAD_BYTES,
    Body,
    ChunkedBody,
    InvalidResponseError,
    ResponseHead,
    body_of,
    parse_head,
)
from flask_sluice.gateway.relay.refusals import cut_refusal
from flask_sluice.gateway.relay.response import READ_BYTES, UpstreamResponse
from flask_sluice.gateway.relay.upstream import Upstream
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.steps import Steps, UntilDone, UntilReadable, UntilWritable

_SMALL_REQUEST_BYTES = 64 * 1024
"""Fits into the socket's buffers, so that a failure to send it does not mean that a response came early."""
_RECORD_BYTES = 16 * 1024
"""The largest record of TLS, which cannot be read in part. Of a larger request some records may have been sent although
``send`` has not returned."""
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")
_MAX_WHOLE_BYTES = 256 * 1024
"""Up to which size a body is waited for."""
_TLS = (b"\x15\x03", b"\x16\x03")
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Sent twice, such a request does what it does when it is sent once (RFC 9110, section 9.2.2)."""


class UpstreamRequest(msgspec.Struct, frozen=True):
    """A request, whichever upstream gets it.

    path: below the upstream's URL, with its leading slash and its query
    azure_path: the same below Azure's /openai, for upstreams that have that; None for a route that Azure has not
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
    azure_path: str | None = None

    @property
    def is_idempotent(self) -> bool:
        return self.method in _IDEMPOTENT


class UnansweredError(ApiError):
    """The connection ended before a byte of the response, and the upstream may have processed the request."""


def ask(
    upstream: Upstream,
    request: UpstreamRequest,
    timeout_seconds: float,
    on_failure: Callable[[str], None],
    *,
    on_stream: Callable[[], None],
) -> Steps[UpstreamResponse]:
    """Send the request and return the response: with its first event, or with its headers where it is not a stream.

    timeout_seconds: how long that may take once there is a connection
    on_failure: called with the reason when the upstream reports a failure in the middle of its stream
    on_stream: called when the response's head says that it is a stream, before its first event

    The request is sent once. A connection that was kept may turn out to be closed; the request then goes out on a new one
    if nothing of it was sent, or if it is idempotent.

    Raises ApiError: the upstream cannot be reached, is too late, or does not answer as such a request is answered. It is an
    UnreadRequestError if another upstream may get the request.
    """
    connection = upstream.pool.take()
    if connection is not None:
        try:
            return (
                yield from _exchange(
                    upstream, connection, request, timeout_seconds, on_failure, on_stream=on_stream
                )
            )
        except UnreadRequestError:
            pass
        except UnansweredError:
            if not request.is_idempotent:
                raise
    # It blocks on names, the proxy and TLS, so it runs in a greenlet.
    connection = yield UntilDone(upstream.connect, undo=UpstreamConnection.close)
    return (
        yield from _exchange(
            upstream, connection, request, timeout_seconds, on_failure, on_stream=on_stream
        )
    )


def _exchange(
    upstream: Upstream,
    connection: UpstreamConnection,
    request: UpstreamRequest,
    timeout_seconds: float,
    on_failure: Callable[[str], None],
    *,
    on_stream: Callable[[], None],
) -> Steps[UpstreamResponse]:
    """Ask on this connection, and close it unless it has answered. Raises ApiError."""
    until_readable = UntilReadable(connection.sock, time.monotonic() + timeout_seconds)
    response: UpstreamResponse | None = None
    is_answered = False
    try:
        head, rest = yield from _send_and_read_head(
            connection, _request_bytes(upstream.address, request), until_readable
        )
        connection.keep_alive_seconds = head.keep_alive_seconds
        body = body_of(head, request.method)
        # Bytes behind a response without a body do not belong to anything that was asked.
        body.is_broken = body.is_complete and bool(rest)
        response = UpstreamResponse(
            head,
            body,
            connection,
            upstream.pool,
            upstream.held,
            has_known_end=request.has_known_end,
            choice_count=request.choice_count,
            on_failure=on_failure,
        )
        if response.is_event_stream:
            on_stream()
        if rest and not response.is_finished:
            response.feed(rest)
        while not (response.is_finished or _has_enough(response, body, request)):
            response.feed((yield from _receive(connection, until_readable)))
        _check(response, body, request)
        is_answered = True
        return response
    except TimeoutError:
        if response is not None and response.head.status >= 400:
            raise cut_refusal(response.head) from None
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
        if response is not None and response.head.status >= 400:
            raise cut_refusal(response.head) from None
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
    target = address.target + request.path
    if request.azure_path is not None and address.azure_target is not None:
        target = address.azure_target + request.azure_path
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {address.host}"]
    headers = {**request.headers, **address.proxy_headers}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def _send_and_read_head(
    connection: UpstreamConnection, request: bytes, until_readable: UntilReadable
) -> Steps[tuple[ResponseHead, bytes]]:
    """Send the request and read the head of the response; return it with the bytes that came behind it.

    Raises UnreadRequestError, UnansweredError, TimeoutError, or InvalidResponseError.
    """
    data = b""
    informational_bytes = 0
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
            if not b"HTTP/1.".startswith(data[:7]) and not data.startswith(b"HTTP/1."):
                # Not quoted: it may be a part of another client's answer.
                is_tls = data.startswith(_TLS)
                speaks = "TLS: its URL begins with https" if is_tls else "another protocol"
                raise InvalidResponseError(f"it speaks {speaks}")
            if len(data) > MAX_HEAD_BYTES and data.find(b"\r\n\r\n") < 0:
                raise InvalidResponseError(f"its headers are longer than {MAX_HEAD_BYTES} bytes")
    except TimeoutError:
        raise
    except OSError as error:
        if data or informational_bytes:
            raise InvalidResponseError("it ended in its headers") from None
        raise UnansweredError(
            502,
            "upstream_unreachable",
            "the upstream closed the connection before it answered. It may have processed the request, which was therefore"
            f" not sent again: {error}",
        ) from None
    return parse_head(data[:end]), data[end + 4 :]


def _send(connection: UpstreamConnection, request: bytes, deadline: float) -> Steps[None]:
    """Send the request. Raises UnreadRequestError if nothing of it could be sent, or OSError."""
    unsent = memoryview(request)
    try:
        while unsent:
            try:
                unsent = unsent[connection.sock.send(unsent) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield UntilWritable(connection.sock, deadline)
            except ssl.SSLWantReadError:
                yield UntilReadable(connection.sock, deadline)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
        is_certain = not isinstance(connection.sock, ssl.SSLSocket) or len(request) <= _RECORD_BYTES
        if len(unsent) == len(request) and is_certain:
            raise UnreadRequestError(
                502, "upstream_unreachable", f"the upstream closed the connection: {error}"
            ) from None
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


def _has_enough(response: UpstreamResponse, body: Body, request: UpstreamRequest) -> bool:
    """Whether the client may get what has come.

    Refusals and JSON are to be whole: half of one is then an error with its true status, and not an answer that is cut.
    """
    came = response.peek()
    if not came or len(came) > _MAX_WHOLE_BYTES or response.must_go_out:
        return bool(came)
    if response.head.status >= 400:
        return False
    if not response.is_json:
        return True
    # Some upstreams send blanks in chunks until their JSON is there, to keep the connection to the client alive. On other
    # routes chunks may be a stream of JSON.
    return isinstance(body, ChunkedBody) and not (request.is_completion and came[:1] == b"{")


def _check(response: UpstreamResponse, body: Body, request: UpstreamRequest) -> None:
    """Raise ApiError for a response that cannot be the answer to such a request."""
    if response.first_error is not None:
        return  # The relay answers it.
    if response.error is not None and not (response.is_event_stream and response.has_events):
        if response.head.status >= 400:
            raise cut_refusal(response.head)
        raise response.error
    if response.is_json and response.is_finished and _is_cut(response, body, request):
        raise ApiError(502, "upstream_truncated", "the upstream's JSON is not whole")
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


def _is_cut(response: UpstreamResponse, body: Body, request: UpstreamRequest) -> bool:
    """Whether JSON is not whole although its body has ended: where that ended with the connection, nothing else shows it."""
    if response.head.status != 200 or request.method == "HEAD":
        return False
    if not body.ends_with_connection:
        return request.is_completion and not response.has_events
    try:
        msgspec.json.decode(response.peek(), type=msgspec.Raw)
    except msgspec.DecodeError:
        return True
    return False
