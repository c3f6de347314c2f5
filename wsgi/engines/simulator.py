"""An engine without a model: answers of any length, at any pace, with any fault, always the same."""

import random
import time
from collections.abc import Generator, Iterator

import msgspec

from wsgi.engines.engine import Context
from wsgi.engines.schema import AnswerRequest, Fault, SimulatorOptions
from wsgi.engines.script import write_script
from wsgi.errors import ApiError, PlainAnswer
from wsgi.sse import Annotated

_DONE = b"data: [DONE]\n\n"
_MALFORMED = b'data: {"object": "chat.completion.chunk", "choices": [{"delta\n\n'
_FAILURE = "a failure was asked for"
_TOKENS_BEFORE_FAULT = 3
_HALF_CHARACTER_PAUSE_SECONDS = 0.02
"""Long enough for the first half to be on its way alone."""


class Simulator:
    """The default engine. The request's ``simulator`` object (``SimulatorOptions``) says how it answers."""

    def generate(self, request: AnswerRequest, context: Context) -> Iterator[Annotated | bytes]:
        fault = request.simulator.fault if request.simulator else None
        if fault is not None:
            _refuse(fault)
        answer = _Answer(request, fault, context)
        yield from answer.stream() if request.stream else answer.whole()


class _Answer:
    """One answer on its way."""

    def __init__(self, request: AnswerRequest, fault: Fault | None, context: Context) -> None:
        options = request.simulator or SimulatorOptions()
        self._options = options
        self._context = context
        self._script = write_script(request, options)
        self._usage_is_wanted = (
            request.stream_options is not None and request.stream_options.include_usage
        )
        self._fault = fault.kind if fault is not None else None
        self._fault_at = -1
        if fault is not None:
            after = _TOKENS_BEFORE_FAULT if fault.after is None else fault.after
            self._fault_at = min(after, self._script.longest)
        self._half_characters = False
        self._random = random.Random(self._script.seed)
        self._due = time.monotonic()

    def stream(self) -> Iterator[Annotated | bytes]:
        script, format_ = self._script, self._script.format
        if self._wait(self._options.ttft_ms, self._options.ttft_stddev_ms):
            return
        for index in range(len(script.choices)):
            opening = format_.opening(index)
            if opening is not None:
                yield Annotated(data=opening)
        for position in range(script.longest + 1):
            if position == self._fault_at:
                is_broken = yield from self._go_wrong()
                if is_broken:
                    return
            if 0 < position < script.longest and self._wait_for_token():
                return
            for index, choice in enumerate(script.choices):
                if position < len(choice.tokens):
                    yield from self._token(index, choice.tokens[position])
        for index, choice in enumerate(script.choices):
            yield Annotated(data=format_.closing(index, choice.finish_reason))
        if self._usage_is_wanted:
            yield Annotated(data=format_.usage(script.usage))
        yield _DONE

    def whole(self) -> Iterator[bytes]:
        script, fault = self._script, self._fault
        if self._wait(self._options.ttft_ms, self._options.ttft_stddev_ms):
            return
        for position in range(script.longest + 1):
            if position == self._fault_at and self._break_off():
                return
            if 0 < position < script.longest and self._wait_for_token():
                return
        if fault == "error_event":
            raise ApiError(502, "upstream_error", _FAILURE)
        texts = ["".join(choice.tokens) for choice in script.choices]
        finish_reasons: list[str | None] = [choice.finish_reason for choice in script.choices]
        if fault == "truncate":
            self._context.fail(_FAILURE)
            texts = ["".join(choice.tokens[: self._fault_at]) for choice in script.choices]
            finish_reasons = [None] * len(texts)
        document = msgspec.json.encode(script.format.whole(texts, finish_reasons, script.usage))
        yield document[: len(document) // 2] if fault == "malformed" else document

    def _token(self, index: int, text: str) -> Iterator[Annotated | bytes]:
        chunk = Annotated(data=self._script.format.token(index, text))
        if not self._half_characters or text.isascii():
            yield chunk
            return
        self._half_characters = False
        event = chunk.encode()
        first_byte = next(place for place, byte in enumerate(event) if byte > 0x7F)
        yield event[: first_byte + 1]
        self._context.wait(_HALF_CHARACTER_PAUSE_SECONDS)
        yield event[first_byte + 1 :]

    def _go_wrong(self) -> Generator[Annotated | bytes, None, bool]:
        """The fault in mid-stream; returns whether the stream is over by it."""
        match self._fault:
            case "error_event":
                yield Annotated(event="error", comment=[_FAILURE])
                return True
            case "truncate":
                self._context.fail(_FAILURE)
                return True
            case "malformed":
                yield _MALFORMED
            case "split_utf8":
                self._half_characters = True
        return self._break_off()

    def _break_off(self) -> bool:
        """The faults that leave an answer without its end, streamed or not."""
        match self._fault:
            case "cut" | "reset":
                self._context.cut(reset=self._fault == "reset")
                return True
            case "stall":
                self._context.wait(None)
                return True
        return False

    def _wait_for_token(self) -> bool:
        return self._wait(self._options.itl_ms, self._options.itl_stddev_ms)

    def _wait(self, mean_ms: float, stddev_ms: float) -> bool:
        """Returns True if the answer is not wanted any more."""
        pause_ms = self._random.gauss(mean_ms, stddev_ms) if stddev_ms else mean_ms
        now = time.monotonic()
        # From when the last wait should have ended, so that delays do not add up; but what a slow
        # reader has missed is not made up for in a burst.
        self._due = max(self._due + pause_ms / 1000, now)
        if self._due > now:
            return self._context.wait(self._due - now)
        return self._context.is_stopped


def _refuse(fault: Fault) -> None:
    """Raises the fault that comes instead of an answer, if it is such a one."""
    if fault.kind == "status":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        raise ApiError(fault.status or 500, "simulated", _FAILURE, headers=headers)
    if fault.kind == "json_body":
        body = msgspec.json.encode({"code": 503, "message": _FAILURE})
        raise PlainAnswer(200, {"Content-Type": "application/json"}, body)
