"""What the relay's one opening of a response does where exchanges are recorded."""

import time
from collections.abc import Mapping
from typing import Protocol

from flask_sluice.gateway.relay.answer.state import AnswerState
from flask_sluice.gateway.relay.exchange import UpstreamRequest
from flask_sluice.gateway.relay.http1_parser import ResponseHead
from flask_sluice.gateway.relay.recording.lines import RecordedRequest
from flask_sluice.gateway.relay.recording.recorder import Recorder, Recording
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.errors import ApiError, PlainAnswer
from flask_sluice.stream.feeds.socket_feed import Source
from flask_sluice.stream.loop.steps import Steps


class RelayedResponse(Source, Protocol):
    """What the gateway's routes know of an upstream's response, whether it is recorded or not."""

    head: ResponseHead

    @property
    def answer(self) -> AnswerState: ...

    def drop_head(self) -> None: ...


class RecordedContext(Protocol):
    """What a recording is told by the stream: see ``flask_sluice.stream.context.StreamContext``."""

    @property
    def notes(self) -> Mapping[str, object]: ...

    @property
    def outcome(self) -> Outcome | None: ...

    @property
    def is_stopped(self) -> bool: ...


def record(
    recorder: Recorder,
    request: UpstreamRequest,
    opening: Steps[UpstreamResponse],
    context: RecordedContext,
) -> Steps[RelayedResponse]:
    """Open the response as ``opening`` does, and record what comes of it."""
    azure_path = request.azure_path
    target = f"/v1{request.path}" if azure_path is None else f"/openai{azure_path}"
    recording = recorder.begin(
        RecordedRequest(time.time(), request.method, target, dict(request.headers), request.body)
    )
    del request
    try:
        response = yield from opening
    except PlainAnswer as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        recording.head(answer.status, headers, _upstream(context))
        recording.piece(answer.body)
        recording.end("complete")
        raise
    except ApiError as error:
        recording.end(
            "failed",
            status=error.status,
            code=error.code,
            message=error.message,
            headers=error.headers,
            upstream=_upstream(context),
        )
        raise
    except GeneratorExit:
        recording.end(_why_abandoned(context))
        raise
    except BaseException as error:
        recording.end("not_recorded", why=type(error).__name__)
        raise
    recording.head(response.head.status, response.head.values, _upstream(context))
    return RecordedResponse(response, recording, context)


class RecordedResponse:
    """A response whose events are recorded as they are taken."""

    __slots__ = ("_context", "_recording", "_response", "head")

    def __init__(
        self, response: UpstreamResponse, recording: Recording, context: RecordedContext
    ) -> None:
        self._response = response
        self._recording = recording
        self._context = context
        self.head = response.head

    @property
    def is_event_stream(self) -> bool:
        return self._response.is_event_stream

    @property
    def has_events(self) -> bool:
        return self._response.has_events

    @property
    def is_finished(self) -> bool:
        return self._response.is_finished

    @property
    def error(self) -> Exception | None:
        return self._response.error

    @property
    def has_terminal_event(self) -> bool:
        return self._response.has_terminal_event

    @property
    def event_count(self) -> int:
        return self._response.event_count

    @property
    def answer(self) -> AnswerState:
        return self._response.answer

    def fileno(self) -> int:
        return self._response.fileno()

    def take(self) -> bytes:
        response = self._response
        events = response.take()
        if events:
            self._recording.piece(events)
        if response.is_finished and not response.has_events:
            self._end()
        return events

    def drop_head(self) -> None:
        self._response.drop_head()
        del self.head

    def abandon(self) -> None:
        response = self._response
        if response.is_finished and not response.has_events:
            self._end()
        elif response.has_terminal_event:
            # Most clients leave behind the last event, and do not wait for the body's end.
            self._recording.end("complete")
        else:
            self._recording.end(_why_abandoned(self._context))
        response.abandon()

    def _end(self) -> None:
        response = self._response
        if response.error is None:
            # The relay does not wait for what may come behind the terminal event.
            self._recording.end("complete")
            return
        how = "reset" if response.is_reset else "cut" if response.is_cut else "complete"
        self._recording.end(how, problem=response.error.message)


def _upstream(context: RecordedContext) -> str:
    return str(context.notes.get("upstream", ""))


def _why_abandoned(context: RecordedContext) -> str:
    """Return why an answer was given up before its end: its client has left, or the gateway does not wait any longer."""
    is_ours = context.outcome is not None or context.is_stopped
    return "given_up" if is_ours else "client_left"
