"""Passes a request on to an upstream, or to the next one where the first fails."""

import time
from typing import Protocol

from flask_sluice.gateway.relay.connection import NoFilesLeftError
from flask_sluice.gateway.relay.exchange import UpstreamRequest, ask
from flask_sluice.gateway.relay.refusals import first_event_error, late_refusal
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.steps import Steps

_TRY_ANOTHER = (502, 503, 504, 529)


class RelayContext(Protocol):
    """What the relay and the stream tell each other (``flask_sluice.stream.context.StreamContext``).

    is_committed: whether the client has been sent its 200 already
    notes: shown in the log line at the stream's end
    failure: why the answer is not whole
    """

    is_committed: bool
    notes: dict[str, object]
    failure: str | None

    def fail(self, reason: str) -> None: ...


class Relay:
    """Asks one upstream after the other until one answers.

    first_event_timeout_seconds: how long an upstream may take to its first event, or to its headers if its answer is not
        a stream
    """

    def __init__(self, upstreams: Upstreams, first_event_timeout_seconds: float) -> None:
        self.upstreams = upstreams
        self._first_event_timeout_seconds = first_event_timeout_seconds

    def open(self, request: UpstreamRequest, context: RelayContext) -> Steps[UpstreamResponse]:
        """Return the response that goes to the client: with its first event, or with its headers if it is not a stream.

        The next upstream is tried where one cannot be reached, is too late, does not speak HTTP or answers 502, 503, 504
        or 529, as its status or as an error in its first event. Raises ApiError when there is none left, and PlainAnswer for a stream that begins with an error. Once the
        client has its 200, every answer that is not a stream is raised as an ApiError.
        """
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
            if isinstance(outcome, UpstreamResponse) and _true_status(outcome) not in _TRY_ANOTHER:
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
            raise (yield from late_refusal(outcome, self._first_event_timeout_seconds))
        if outcome.head.status >= 400:
            context.fail(f"the upstream answered with status {outcome.head.status}")
        return outcome

    def _try(
        self, upstream: Upstream, request: UpstreamRequest, context: RelayContext
    ) -> Steps[UpstreamResponse | ApiError]:
        """Ask one upstream, and record how it did."""
        context.notes.update(upstream=upstream.label, upstream_status=None)
        health = upstream.health
        health.begin_request()
        try:
            response = yield from ask(
                upstream, request, self._first_event_timeout_seconds, context.fail
            )
        except NoFilesLeftError as error:
            health.record_no_result()
            return error
        except ApiError as error:
            health.record_failure(time.monotonic())
            upstream.errors[error.code] += 1
            return error
        except BaseException:
            health.record_no_result()
            raise
        context.notes["upstream_status"] = response.head.status
        status = _true_status(response)
        if status in _TRY_ANOTHER:
            health.record_failure(time.monotonic())
        else:
            health.record_success()
        if response.head.status >= 400:
            upstream.errors[str(status)] += 1
        return response


def _true_status(response: UpstreamResponse) -> int:
    """Return the status, or the one of the error that a stream with status 200 begins with."""
    error = response.first_error
    return response.head.status if error is None or error.status is None else error.status
