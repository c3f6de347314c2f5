"""The engine that passes requests on to an upstream, and its answers back as they come."""

import time
from typing import Protocol

from flask_sluice.gateway.relay.exchange import (
    StaleConnectionError,
    UpstreamRequest,
    read_first_event,
    receive,
    request_bytes,
    send_and_read_head,
)
from flask_sluice.gateway.relay.first_event_error import first_event_error
from flask_sluice.gateway.relay.http1_parser import InvalidResponseError, body_of
from flask_sluice.gateway.relay.response import UpstreamResponse, as_json
from flask_sluice.gateway.relay.upstream import Connection, NoFilesLeftError, Upstream, Upstreams
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.steps import Steps, UntilDone, UntilReadable

_TRY_ANOTHER = (502, 503, 504, 529)
_MAX_REFUSAL_BYTES = 1024 * 1024


class RelayContext(Protocol):
    """What the relay says to the stream, and hears from it (``flask_sluice.stream.StreamContext``)."""

    is_committed: bool
    notes: dict[str, object]

    def fail(self, reason: str) -> None: ...


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
            refusal = first_event_error(outcome.peek())
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
            except StaleConnectionError:
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
                head, rest = yield from send_and_read_head(
                    connection, request_bytes(upstream, request), until_readable
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
                yield from read_first_event(response, rest, until_readable)
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
                response.feed((yield from receive(response.connection, until_readable)))
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
