"""Passes a request on to an upstream, or to the next one where the first fails."""

import re
import time
from typing import Protocol

from flask_sluice.gateway.relay.connection import NoFilesLeftError, UnreadRequestError
from flask_sluice.gateway.relay.exchange import UpstreamRequest, ask
from flask_sluice.gateway.relay.http1_parser import ResponseHead
from flask_sluice.gateway.relay.recording.recorded import RelayedResponse, record
from flask_sluice.gateway.relay.recording.recorder import Recorder
from flask_sluice.gateway.relay.refusals import TRY_ANOTHER, first_event_error, late_refusal
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.steps import Steps

_REQUEST_ID = re.compile("[!-~]{1,128}")


class RelayContext(Protocol):
    """What the relay and the stream tell each other (``flask_sluice.stream.context.StreamContext``).

    is_committed: whether the client has been sent its 200 already
    notes: shown in the log line at the stream's end
    failure: why the answer is not whole
    outcome: how the stream ended, None while it runs
    is_stopped: whether the app, or a client through it, has stopped it
    """

    is_committed: bool
    notes: dict[str, object]
    failure: str | None
    outcome: Outcome | None
    is_stopped: bool

    def fail(self, reason: str) -> None: ...

    def allow_commit(self) -> None: ...


class Relay:
    """Asks one upstream after the other until one answers.

    first_event_timeout_seconds: how long an upstream may take to its first event, or to its headers if its answer is not
        a stream
    recorder: records the exchanges; None: they are not recorded
    """

    def __init__(
        self,
        upstreams: Upstreams,
        first_event_timeout_seconds: float,
        recorder: Recorder | None = None,
    ) -> None:
        self.upstreams = upstreams
        self._recorder = recorder
        self._first_event_timeout_seconds = first_event_timeout_seconds

    def open(self, request: UpstreamRequest, context: RelayContext) -> Steps[RelayedResponse]:
        """Return the response that goes to the client: with its first event, or with its headers if it is not a stream.

        The next upstream is tried where one has certainly read nothing of the request or answers 502, 503, 504 or 529, as its
        status or as an error in its first event, and after every failure of an idempotent request. Raises ApiError when there
        is none left, and PlainAnswer for a stream that begins with an error. Once the
        client has its 200, every answer that is not a stream is raised as an ApiError.
        """
        opening = self._open(request, context)
        if self._recorder is None:
            return opening
        return record(self._recorder, request, opening, context)

    def _open(self, request: UpstreamRequest, context: RelayContext) -> Steps[UpstreamResponse]:
        tried: list[Upstream] = []
        outcome: UpstreamResponse | ApiError | None = None
        while (upstream := self.upstreams.choose(tried)) is not None:
            if tried:
                tried[-1].failovers += 1
            if isinstance(outcome, UpstreamResponse):
                if outcome.first_error is not None:
                    tried[-1].errors[str(_true_status(outcome))] += 1
                outcome.abandon()
            tried.append(upstream)
            context.failure = None
            outcome = yield from self._try(upstream, request, context)
            if not _may_ask_another(outcome, request):
                break
        assert outcome is not None
        if isinstance(outcome, ApiError):
            raise outcome
        if outcome.is_event_stream:
            told = outcome.first_error
            if told is not None:
                # The metrics count it at the end of the client's stream.
                outcome.abandon()
                context.fail(f"upstream: {told.text}")
                raise first_event_error(told, is_committed=context.is_committed)
        elif context.is_committed:
            raise late_refusal(outcome)
        if outcome.head.status >= 400:
            context.fail(f"the upstream answered with status {outcome.head.status}")
        return outcome

    def _try(
        self, upstream: Upstream, request: UpstreamRequest, context: RelayContext
    ) -> Steps[UpstreamResponse | ApiError]:
        """Ask one upstream, and record how it did."""
        context.notes.update(upstream=upstream.label, upstream_status=None)
        context.notes.pop("upstream_request_id", None)
        health = upstream.health
        number = health.begin_request()
        try:
            response = yield from ask(
                upstream,
                request,
                self._first_event_timeout_seconds,
                context.fail,
                on_stream=context.allow_commit,
            )
        except NoFilesLeftError as error:
            health.record_no_result(number)
            return error
        except ApiError as error:
            was_silent = error.code == "upstream_timeout"
            health.record_failure(time.monotonic(), number, was_silent=was_silent)
            upstream.errors[error.code] += 1
            return error
        except BaseException:
            health.record_no_result(number)
            raise
        context.notes["upstream_status"] = response.head.status
        upstream_id = upstream_request_id(response.head)
        if upstream_id is not None:
            context.notes["upstream_request_id"] = upstream_id
        status = _true_status(response)
        if status in TRY_ANOTHER:
            health.record_failure(time.monotonic(), number)
        else:
            health.record_success(number)
        if response.head.status >= 400:
            upstream.errors[str(status)] += 1
        return response


def upstream_request_id(head: ResponseHead) -> str | None:
    """Return an upstream's own id of a request if it is 1 to 128 visible ASCII characters, else None.

    It is in the header of OpenAI, of Anthropic, or of Azure.
    """
    for name in ("x-request-id", "request-id", "apim-request-id"):
        value = head.values.get(name)
        if value is not None and _REQUEST_ID.fullmatch(value):
            return value
    return None


def _may_ask_another(outcome: UpstreamResponse | ApiError, request: UpstreamRequest) -> bool:
    """Whether another upstream may get the request: a completion that two of them generate is paid twice."""
    if isinstance(outcome, UpstreamResponse):
        return _true_status(outcome) in TRY_ANOTHER
    return isinstance(outcome, UnreadRequestError) or request.is_idempotent


def _true_status(response: UpstreamResponse) -> int:
    """Return the status, or the one of the error that a stream with status 200 begins with."""
    error = response.first_error
    return response.head.status if error is None or error.status is None else error.status
