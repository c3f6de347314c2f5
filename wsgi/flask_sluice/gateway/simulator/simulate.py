"""Plays an answer: at its pace, with its fault, the same each time."""

import random
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from itertools import chain, count, repeat

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.deciding import decide_answer, is_large
from flask_sluice.gateway.simulator.apis.format import Format
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.options import Fault, SimulatorOptions
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer
from flask_sluice.stream.headers_and_errors import error_for_openai
from flask_sluice.stream.loop.give_way import heavy_work

Item = bytes | Pause

_FAILURE = "a failure was asked for"
_TOKENS_BEFORE_FAULT = 3
_HALF_CHARACTER_PAUSE_SECONDS = 0.02
"""Long enough for the first half to be sent by itself."""


class Simulation:
    """One answer while it is being given.

    request: what is answered
    options: say how long, how fast and how faulty the answer is
    context: is told of an answer that is not whole although its body ends properly
    """

    def __init__(
        self, request: ApiRequest, options: SimulatorOptions, context: StreamContext
    ) -> None:
        self._request: ApiRequest | None = request
        self._options = options
        self._context = context
        self._format: Format | None = None

    def items(self) -> Iterator[Item]:
        """Yield the events of the answer, its terminal event included, or one document if the request is for no stream.

        The generator yields a Pause where it waits. It may block before its first item, and never after it.

        Raises ApiError for a refusal or a failure, PlainAnswer (before the first item) for an answer that is not a stream,
        CutError where the connection is to break.
        """
        assert self._request is not None
        request, self._request = self._request, None
        options = self._options
        if options.fault is not None:
            refuse(options.fault)
        asked = request.asked(options)
        # Of most requests that is a fraction of a millisecond. Where it is not, others have their turn between.
        with heavy_work() if is_large(asked) else nullcontext():
            answer = decide_answer(asked)
        self._format = request.format(asked, answer)
        asked.drop_prompt()
        player = _Player(self._format, answer, options, self._context)
        items = player.stream() if request.stream else player.whole()
        # A silent stream would keep them: half a KiB.
        del request, asked, answer, options, player
        yield from items

    def error_event(self, error: Exception) -> bytes:
        """Return the event that tells the client of a failure."""
        return error_for_openai(error) if self._format is None else self._format.error_event(error)


class _Player:
    """Yields the events of a format, with the pauses between tokens and the fault."""

    def __init__(
        self, format_: Format, answer: Answer, options: SimulatorOptions, context: StreamContext
    ) -> None:
        self._format = format_
        self._answer = answer
        self._options = options
        self._context = context
        self._fault = None if options.fault is None else options.fault.kind
        self._fault_at = -1
        if options.fault is not None:
            after = options.fault.after
            after = _TOKENS_BEFORE_FAULT if after is None else after
            self._fault_at = min(after, answer.longest)
        self._is_marked = False
        """Whether the next event that can be is to be sent twice, or in two halves."""
        self._seeded_random: random.Random | None = None

    @property
    def _random(self) -> random.Random:
        if self._seeded_random is None:
            self._seeded_random = random.Random(self._answer.seed)
        return self._seeded_random

    def stream(self) -> Iterator[Item]:
        format_, longest = self._format, self._answer.longest
        yield from format_.opening()
        yield from self._before_first()
        pauses = self._pauses()
        choices = [format_.steps(number) for number in range(len(self._answer.choices))]
        for position in range(longest + 1):
            if position == self._fault_at:
                is_broken = yield from self._go_wrong()
                if is_broken:
                    return
            if 0 < position < longest and (pause := next(pauses)) is not None:
                yield pause
            for steps in choices:
                for event in next(steps, ()):
                    if self._is_marked:
                        yield from self._marked(event)
                    else:
                        yield event
        yield from format_.closing()
        if self._fault != "no_done":
            yield format_.terminal()
        else:
            self._context.fail(_FAILURE)

    def whole(self) -> Iterator[Item]:
        answer, fault = self._answer, self._fault
        longest = answer.longest
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
            raise self._failure()
        if fault == "truncate":
            self._context.fail(_FAILURE)
            self._format.answer = answer.broken_off(self._fault_at)
        pieces = self._format.whole_in_pieces()
        if fault == "malformed":
            first = next(pieces)
            yield first[: len(first) // 2]
        else:
            yield from pieces

    def _go_wrong(self) -> Generator[Item, None, bool]:
        """Do what the fault does in mid-stream; return whether it ends the stream."""
        match self._fault:
            case "error_event":
                yield self._told(self._failure())
                return True
            case "truncate":
                self._context.fail(_FAILURE)
                return True
            case "malformed":
                yield self._format.malformed
            case "heartbeat":
                yield self._format.heartbeat
            case "split_utf8" | "duplicate":
                self._is_marked = True
        return (yield from self._break_off())

    def _told(self, error: ApiError) -> bytes:
        """Return the event of the format's own that tells of an error. Raises the error where the server tells of it.

        That is so too before the first event, when the error can still be the response's status.
        """
        has_begun = self._fault_at > 0 or self._context.is_committed
        if not (has_begun and self._format.tells_errors):
            raise error
        self._context.told_error = error
        return self._format.error_event(error)

    def _break_off(self) -> Generator[Item, None, bool]:
        """Do what the faults do that leave an answer without its end, streamed or not; return as ``_go_wrong``."""
        match self._fault:
            case "cut" | "reset":
                raise CutError(_FAILURE, is_reset=self._fault == "reset")
            case "stall":
                yield Pause(None)
                return True
        return False

    def _failure(self) -> ApiError:
        status = None if self._options.fault is None else self._options.fault.status
        return ApiError(status or self._format.failure_status, "upstream_error", _FAILURE)

    def _marked(self, event: bytes) -> Iterator[Item]:
        """Yield the event twice, or in two halves if it holds a character that can be cut."""
        if self._fault == "duplicate":
            self._is_marked = False
            yield event
            yield event
            return
        if event.isascii():
            yield event
            return
        self._is_marked = False
        first_byte = next(place for place, byte in enumerate(event) if byte > 0x7F)
        yield event[: first_byte + 1]
        yield Pause(_HALF_CHARACTER_PAUSE_SECONDS)
        yield event[first_byte + 1 :]

    def _before_first(self) -> Iterator[Pause]:
        options = self._options
        if (times := options.times_seconds()) is not None:
            if times[0] > 0:
                yield Pause(times[0])
            return
        ttft_ms = options.ttft_ms
        if options.ttft_stddev_ms:
            ttft_ms = self._random.gauss(ttft_ms, options.ttft_stddev_ms)
        if (pause := _pause(ttft_ms)) is not None:
            yield pause

    def _pauses(self) -> Iterator[Pause | None]:
        """Return the pauses between tokens, without an end."""
        if (times := self._options.times_seconds()) is not None:
            pauses = [Pause(seconds) if seconds > 0 else None for seconds in times]
            return chain(pauses[1:], repeat(pauses[-1]))
        mean_ms, stddev_ms = self._options.itl_ms, self._options.itl_stddev_ms
        if not stddev_ms:
            return repeat(_pause(mean_ms))
        return (_pause(self._random.gauss(mean_ms, stddev_ms)) for _ in count())


def _pause(milliseconds: float) -> Pause | None:
    return Pause(milliseconds / 1000) if milliseconds > 0 else None


def refuse(fault: Fault) -> None:
    """Raise a fault that comes in place of an answer."""
    if fault.kind == "status":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        raise ApiError(fault.status or 500, "simulated", _FAILURE, headers=headers)
    if fault.kind == "json_body":
        body = msgspec.json.encode({"code": 503, "message": _FAILURE})
        raise PlainAnswer(200, {"Content-Type": "application/json"}, body)
