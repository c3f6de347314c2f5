"""Answers without a model: of any length, at any pace, with any fault, the same each time."""

import random
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from functools import cached_property
from itertools import count, repeat

import msgspec

from flask_sluice.gateway.simulator.annotated import Annotated
from flask_sluice.gateway.simulator.formats import TokenTemplate
from flask_sluice.gateway.simulator.request_schema import AnswerRequest, Fault, SimulatorOptions
from flask_sluice.gateway.simulator.script import is_large, write_script
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer
from flask_sluice.stream.loop.give_way import heavy_work

Item = bytes | Pause

_DONE = b"data: [DONE]\n\n"
_MALFORMED = b'data: {"object": "chat.completion.chunk", "choices": [{"delta\n\n'
_FAILURE = "a failure was asked for"
_TOKENS_BEFORE_FAULT = 3
_HALF_CHARACTER_PAUSE_SECONDS = 0.02
"""Long enough for the first half to be sent by itself."""


def simulate(request: AnswerRequest, context: StreamContext) -> Iterator[Item]:
    """Yield the events of an answer, its terminal event included, or one JSON document if the request is for no stream.

    The request's ``simulator`` object (``SimulatorOptions``) says how long, how fast and how faulty the answer is. The
    generator yields a Pause where it waits. It may block before its first item, and never after it.

    Raises ApiError for a refusal or a failure, PlainAnswer (before the first item) for an answer that is not a stream,
    CutError where the connection is to break.
    """
    fault = request.simulator.fault if request.simulator else None
    if fault is not None:
        _refuse(fault)
    answer = _Answer(request, fault, context)
    items = answer.stream() if request.stream else answer.whole()
    # A silent stream would keep them: half a KiB.
    del request, answer
    yield from items


class _Answer:
    """One answer while it is being given."""

    def __init__(self, request: AnswerRequest, fault: Fault | None, context: StreamContext) -> None:
        options = request.simulator or SimulatorOptions()
        self._options = options
        self._context = context
        # Of most requests that is a fraction of a millisecond. Where it is not, others have their turn between.
        with heavy_work() if is_large(request, options) else nullcontext():
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

    @cached_property
    def _random(self) -> random.Random:
        return random.Random(self._script.seed)

    def stream(self) -> Iterator[Item]:
        script, longest = self._script, self._script.longest
        yield from self._before_first()
        yield from self._openings()
        pauses = self._pauses()
        choices = [
            (choice.tokens, TokenTemplate(script.format, index))
            for index, choice in enumerate(script.choices)
        ]
        for position in range(longest + 1):
            if position == self._fault_at:
                is_broken = yield from self._go_wrong()
                if is_broken:
                    return
            if 0 < position < longest and (pause := next(pauses)) is not None:
                yield pause
            for tokens, template in choices:
                if position >= len(tokens):
                    continue
                text = tokens[position]
                event = template.event(text)
                if self._half_characters and not text.isascii():
                    yield from self._halves(event)
                else:
                    yield event
        yield from self._closings()

    def _openings(self) -> Iterator[Item]:
        for index in range(len(self._script.choices)):
            opening = self._script.format.opening(index)
            if opening is not None:
                yield Annotated(data=opening).encode()

    def _closings(self) -> Iterator[Item]:
        script, format_ = self._script, self._script.format
        for index, choice in enumerate(script.choices):
            yield Annotated(data=format_.closing(index, choice.finish_reason)).encode()
        if self._usage_is_wanted:
            yield Annotated(data=format_.usage(script.usage)).encode()
        yield _DONE

    def whole(self) -> Iterator[Item]:
        script, fault = self._script, self._fault
        longest = script.longest
        yield from self._before_first()
        pauses = self._pauses()
        for position in range(longest + 1):
            if position == self._fault_at:
                is_broken = yield from self._break_off()
                if is_broken:
                    return
            if 0 < position < longest and (pause := next(pauses)) is not None:
                yield pause
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

    def _halves(self, event: bytes) -> Iterator[Item]:
        self._half_characters = False
        first_byte = next(place for place, byte in enumerate(event) if byte > 0x7F)
        yield event[: first_byte + 1]
        yield Pause(_HALF_CHARACTER_PAUSE_SECONDS)
        yield event[first_byte + 1 :]

    def _go_wrong(self) -> Generator[Item, None, bool]:
        """Do what the fault does in mid-stream; return whether it ends the stream."""
        match self._fault:
            case "error_event":
                yield Annotated(event="error", comment=[_FAILURE]).encode()
                return True
            case "truncate":
                self._context.fail(_FAILURE)
                return True
            case "malformed":
                yield _MALFORMED
            case "split_utf8":
                self._half_characters = True
        return (yield from self._break_off())

    def _break_off(self) -> Generator[Item, None, bool]:
        """Do what the faults do that leave an answer without its end, streamed or not; return as ``_go_wrong``."""
        match self._fault:
            case "cut" | "reset":
                raise CutError(_FAILURE, is_reset=self._fault == "reset")
            case "stall":
                yield Pause(None)
                return True
        return False

    def _before_first(self) -> Iterator[Pause]:
        options = self._options
        ttft_ms = options.ttft_ms
        if options.ttft_stddev_ms:
            ttft_ms = self._random.gauss(ttft_ms, options.ttft_stddev_ms)
        if (pause := _pause(ttft_ms)) is not None:
            yield pause

    def _pauses(self) -> Iterator[Pause | None]:
        """Return the pauses between tokens, without an end."""
        mean_ms, stddev_ms = self._options.itl_ms, self._options.itl_stddev_ms
        if not stddev_ms:
            return repeat(_pause(mean_ms))
        return (_pause(self._random.gauss(mean_ms, stddev_ms)) for _ in count())


def _pause(milliseconds: float) -> Pause | None:
    return Pause(milliseconds / 1000) if milliseconds > 0 else None


def _refuse(fault: Fault) -> None:
    """Raise a fault that comes in place of an answer."""
    if fault.kind == "status":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        raise ApiError(fault.status or 500, "simulated", _FAILURE, headers=headers)
    if fault.kind == "json_body":
        body = msgspec.json.encode({"code": 503, "message": _FAILURE})
        raise PlainAnswer(200, {"Content-Type": "application/json"}, body)
