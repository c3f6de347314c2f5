"""The engine that passes requests on to an upstream, and its answers back as they come."""

import re
import ssl
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from wsgi.engines.http1 import (
    MAX_HEAD_BYTES,
    InvalidResponseError,
    ResponseHead,
    body_of,
    parse_head,
)
from wsgi.engines.upstream import Connection, NoFilesLeftError, Upstream, Upstreams
from wsgi.engines.upstream_response import READ_BYTES, WOULD_BLOCK, UpstreamResponse, as_json
from wsgi.errors import ApiError, PlainAnswer
from wsgi.sse import EventParser
from wsgi.waits import UntilDone, UntilReadable, UntilWritable, Wait

_TRY_ANOTHER = (502, 503, 504, 529)
_SMALL_REQUEST_BYTES = 64 * 1024
"""Fits into the socket's buffers: a failure to send it is no answer that came early."""
_MAX_REFUSAL_BYTES = 1024 * 1024
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")
_STATUS_OF_ERROR_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


T = TypeVar("T")
Steps = Generator[Wait, Any, T]
"""What takes a while, and blocks nobody: see ``wsgi.waits``."""


class RelayContext(Protocol):
    """What the relay says to the stream, and hears from it (``wsgi.stream.StreamContext``)."""

    is_committed: bool
    notes: dict[str, object]

    def fail(self, reason: str) -> None: ...


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


class _StaleConnectionError(Exception):
    """A connection from the pool was closed by the upstream before it said a word."""


class Relay:
    """Asks one upstream after the other until one answers.

    first_event_timeout_seconds: how long an upstream may take to its first event (or, if its answer is no
        stream, to its headers)
    """

    def __init__(self, upstreams: Upstreams, first_event_timeout_seconds: float) -> None:
        self.upstreams = upstreams
        self._first_event_timeout_seconds = first_event_timeout_seconds

    def open(self, request: UpstreamRequest, context: RelayContext) -> Steps[UpstreamResponse]:
        """Goes on until an upstream has sent its first event, or the headers of what is no stream.

        The next upstream is tried where one cannot be reached, is too late, is no HTTP server or answers 502,
        503, 504 or 529. Raises ApiError when none is left, and PlainAnswer for a stream that begins with
        an error; once the client has its 200, ApiError for any answer that is not a stream.
        """
        tried: list[Upstream] = []
        outcome: UpstreamResponse | ApiError | None = None
        while (upstream := self.upstreams.choose(tried)) is not None:
            if tried:
                tried[-1].failovers += 1
            tried.append(upstream)
            if isinstance(outcome, UpstreamResponse):
                outcome.abandon()
            outcome = yield from self._try(upstream, request, context)
            if isinstance(outcome, UpstreamResponse) and outcome.head.status not in _TRY_ANOTHER:
                break
        assert outcome is not None
        if isinstance(outcome, ApiError):
            raise outcome
        if outcome.is_event_stream:
            refusal = _first_event_error(outcome.peek())
            if refusal is not None:
                # The end of the stream counts it.
                outcome.abandon()
                raise refusal.as_api_error() if context.is_committed else refusal.as_plain_answer()
        elif context.is_committed:
            raise (yield from self._late_refusal(outcome))
        if outcome.head.status >= 400:
            context.fail(f"the upstream answered with status {outcome.head.status}")
        return outcome

    def _try(
        self, upstream: Upstream, request: UpstreamRequest, context: RelayContext
    ) -> Steps[UpstreamResponse | ApiError]:
        context.notes.update(upstream=upstream.host, upstream_status=None)
        upstream.begin()
        try:
            response = yield from self._ask(upstream, request, context)
        except NoFilesLeftError as error:
            upstream.given_up()
            return error
        except ApiError as error:
            upstream.failed(time.monotonic())
            upstream.errors[error.code] += 1
            return error
        except BaseException:
            upstream.given_up()
            raise
        status = response.head.status
        context.notes["upstream_status"] = status
        if status in _TRY_ANOTHER:
            upstream.failed(time.monotonic())
        else:
            upstream.succeeded()
        if status >= 400:
            upstream.errors[str(status)] += 1
        return response

    def _ask(
        self, upstream: Upstream, request: UpstreamRequest, context: RelayContext
    ) -> Steps[UpstreamResponse]:
        connection = upstream.idle_connection()
        if connection is not None:
            try:
                return (yield from self._exchange(upstream, connection, request, context))
            except _StaleConnectionError:
                # It closed while it was idle, and has seen nothing of this request: as all clients do,
                # once more on a new one.
                pass
        # urllib3's way to a new one blocks: names, TLS, proxies.
        connection = yield UntilDone(upstream.connect, undo=Connection.close)
        return (yield from self._exchange(upstream, connection, request, context))

    def _exchange(
        self,
        upstream: Upstream,
        connection: Connection,
        request: UpstreamRequest,
        context: RelayContext,
    ) -> Steps[UpstreamResponse]:
        connection.sock.settimeout(0)
        until_readable = self._until_readable(connection)
        is_answered = False
        try:
            try:
                head, rest = yield from _send(
                    connection, _request_bytes(upstream, request), until_readable
                )
                body = body_of(head, request.method)
                # Bytes behind an answer that has no body belong to nothing that was asked.
                body.is_broken = body.is_complete and bool(rest)
                response = UpstreamResponse(
                    head,
                    body,
                    upstream,
                    connection,
                    is_completion=request.is_completion,
                    on_failure=context.fail,
                )
                yield from _read_first_event(response, rest, until_readable)
            except TimeoutError:
                seconds = self._first_event_timeout_seconds
                raise ApiError(
                    504,
                    "upstream_timeout",
                    f"no first event from upstream within {seconds:g} seconds",
                ) from None
            except InvalidResponseError as error:
                raise ApiError(
                    502, "upstream_invalid", f"the upstream's answer is not HTTP: {error}"
                ) from None
            except OSError as error:
                raise ApiError(
                    502, "upstream_unreachable", f"the upstream's connection broke: {error}"
                ) from None
            _check(response, request)
            is_answered = True
        finally:
            if not is_answered:
                connection.close()
        return response

    def _until_readable(self, connection: Connection) -> UntilReadable:
        deadline = time.monotonic() + self._first_event_timeout_seconds
        return UntilReadable(connection.sock, deadline)

    def _late_refusal(self, response: UpstreamResponse) -> Steps[ApiError]:
        """The error event for an answer that came too late to be passed on as it is."""
        until_readable = self._until_readable(response.connection)
        body = b""
        try:
            while not response.is_finished and len(body) < _MAX_REFUSAL_BYTES:
                response.feed((yield from _receive(response.connection, until_readable)))
                body += response.take()
        except OSError:
            body = b""
        finally:
            response.abandon()
        status = response.head.status
        error = as_json(body).get("error")
        message = error.get("message") if isinstance(error, dict) else None
        return ApiError(
            status if status >= 400 else 502,
            "upstream_error" if status >= 400 else "upstream_invalid",
            str(message or f"the upstream answered with status {status} and no stream"),
        )


def _request_bytes(upstream: Upstream, request: UpstreamRequest) -> bytes:
    lines = [f"{request.method} {upstream.target}{request.path} HTTP/1.1", f"Host: {upstream.host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"{name}: {value}" for name, value in upstream.proxy_headers.items()]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def _send(
    connection: Connection, request: bytes, until_readable: UntilReadable
) -> Steps[tuple[ResponseHead, bytes]]:
    """Sends the request and reads the head of the response; returns it with what came behind it.

    Raises _StaleConnectionError, TimeoutError, another OSError, or InvalidResponseError.
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
            raise _StaleConnectionError from None
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


def _read_first_event(
    response: UpstreamResponse, rest: bytes, until_readable: UntilReadable
) -> Steps[None]:
    if rest and not response.is_finished:
        response.feed(rest)
    while response.is_event_stream and not (response.has_events or response.is_finished):
        response.feed((yield from _receive(response.connection, until_readable)))


def _receive(connection: Connection, until_readable: UntilReadable) -> Steps[bytes]:
    """What has come, b"" at the connection's end. Raises TimeoutError at the deadline."""
    while True:
        # Also where there is always something to be read: then it is the turn of others, and the deadline counts.
        yield until_readable
        try:
            return connection.receive_now(READ_BYTES)
        except WOULD_BLOCK:
            pass  # As with TLS: what has come is not yet a whole record.


def _check(response: UpstreamResponse, request: UpstreamRequest) -> None:
    """Raises ApiError for what cannot be the answer to such a request."""
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


@dataclass(frozen=True)
class _Refusal:
    """An error that came as the first event of a stream with status 200."""

    status: int
    message: str
    body: bytes

    def as_api_error(self) -> ApiError:
        return ApiError(self.status, "upstream_error", self.message)

    def as_plain_answer(self) -> PlainAnswer:
        return PlainAnswer(self.status, {"Content-Type": "application/json"}, self.body)


def _first_event_error(events: bytes) -> _Refusal | None:
    if b'"error"' not in events:
        return None
    parsed = EventParser().feed(events)
    body = as_json(parsed[0].data) if parsed else {}
    error = body.get("error")
    if not error:
        return None
    if not isinstance(error, dict):
        return _Refusal(502, str(error), parsed[0].data.encode())
    return _Refusal(_status_of(error), str(error.get("message", error)), parsed[0].data.encode())


def _status_of(error: dict[str, Any]) -> int:
    """Servers put it into ``code`` or ``status``, or name it by ``type``."""
    for value in (str(error.get("status")), str(error.get("code"))):
        if re.fullmatch("[45][0-9]{2}", value):
            return int(value)
    return _STATUS_OF_ERROR_TYPE.get(str(error.get("type")), 502)
