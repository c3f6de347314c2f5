"""How the simulator is to answer: the object ``simulator`` of a request, or an answer of a scenario."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from flask_sluice.gateway.simulator.bounds import MAX_TIMES, MAX_TOKENS

Milliseconds = Annotated[float, Meta(ge=0, le=3_600_000)]
Name = Annotated[str, Meta(max_length=256)]
AnswerText = Annotated[str, Meta(max_length=500_000)]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
TokenCount = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
_MAX_ARGUMENTS = 100_000

FaultKind = Literal[
    "status",
    "json_body",
    "cut",
    "reset",
    "stall",
    "error_event",
    "truncate",
    "no_done",
    "malformed",
    "duplicate",
    "heartbeat",
    "split_utf8",
]


_decode_times = msgspec.json.Decoder(Annotated[list[Seconds], Meta(min_length=1)]).decode


class Fault(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A failure that the simulator is to produce.

    status: the refusal's, for ``kind="status"``, or that of the failure which an error event tells
    retry_after: the refusal's, for ``kind="status"``
    after: how many tokens come before it, for the kinds that break a stream
    event: for ``kind="error_event"`` of a response: whether it is told as ``error``, or as the response's end, ``response.failed``
    """

    kind: FaultKind
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    retry_after: Annotated[int, Meta(ge=0)] | None = None
    after: Annotated[int, Meta(ge=0)] | None = None
    event: Literal["error", "failed"] = "error"

    def __post_init__(self) -> None:
        if self.retry_after is not None and self.kind != "status":
            raise ValueError('retry_after goes with kind "status" only')
        if self.status is not None and self.kind not in ("status", "error_event"):
            raise ValueError('status goes with the kinds "status" and "error_event" only')
        if self.kind in ("status", "json_body", "no_done") and self.after is not None:
            raise ValueError(f'kind "{self.kind}" has its own place, without after')


class ToolCallOption(Struct, forbid_unknown_fields=True):
    """A tool call of the answer; ``arguments`` is JSON text or the object itself."""

    name: Name
    # A default that is no function cannot be described in a JSON Schema.
    arguments: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b'""'))
    """Undecoded: the objects of a small text can take much memory, and their numbers much time."""

    def __post_init__(self) -> None:
        if len(self.arguments_text()) > _MAX_ARGUMENTS:
            raise ValueError(f"arguments: expected at most {_MAX_ARGUMENTS} characters")

    def arguments_text(self) -> str:
        """Return the arguments as JSON text, an object without the spaces between its parts."""
        arguments = bytes(self.arguments)
        if arguments.startswith(b"{"):
            return msgspec.json.format(arguments, indent=-1).decode()
        try:
            return msgspec.json.decode(arguments, type=str)
        except msgspec.ValidationError:
            raise ValueError("arguments: expected JSON text or an object") from None


class SimulatorOptions(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How the simulator answers; every field is optional.

    ttft_ms, ttft_stddev_ms: time to first token, its mean and standard deviation
    itl_ms, itl_stddev_ms: inter-token latency, its mean and standard deviation
    times: in their place, a list of the seconds before each token; the last is also that before all further ones
    tokens: how many the text of the answer has
    text: the text of the answer
    reasoning: what the model thinks before it answers: the text, or how many tokens it has
    refusal: the text with which the model refuses, in place of an answer
    seed: selects the answer; the request's own ``seed`` does the same
    tool_call, tool_calls: what to answer with, if the conversation does not end with the result of a tool
    context_tokens: how many the model takes, of the prompt and the answer together
    cached_tokens: how many tokens of the prompt the usage gives as read from a cache
    finish_reason: in place of the true one
    fault: a failure to produce
    """

    ttft_ms: Milliseconds = 0
    ttft_stddev_ms: Milliseconds = 0
    itl_ms: Milliseconds = 30
    itl_stddev_ms: Milliseconds = 0
    times: msgspec.Raw | UnsetType = UNSET
    """Undecoded: a body may be full of numbers that take long."""
    tokens: TokenCount | None = None
    text: AnswerText | None = None
    reasoning: AnswerText | TokenCount | None = None
    refusal: AnswerText | None = None
    seed: int | None = None
    tool_call: ToolCallOption | None = None
    tool_calls: Annotated[list[ToolCallOption], Meta(max_length=128)] | None = None
    context_tokens: Annotated[int, Meta(ge=1)] | None = None
    cached_tokens: TokenCount = 0
    finish_reason: FinishReason | None = None
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if self.tool_call is not None and self.tool_calls is not None:
            raise ValueError("tool_call is short for tool_calls of one: give one of them")
        self.times_seconds()

    def times_seconds(self) -> list[float] | None:
        """Return ``times``. Raises ValueError."""
        times = b"null" if self.times is UNSET else bytes(self.times)
        if times == b"null":
            return None
        if times.count(b",") >= MAX_TIMES:
            raise ValueError(f"times: expected at most {MAX_TIMES} numbers")
        try:
            seconds: list[float] = _decode_times(times)
        except msgspec.ValidationError as error:
            raise ValueError(f"times: {str(error).partition(' - at ')[0]}") from None
        return seconds

    @property
    def calls(self) -> list[ToolCallOption]:
        """The tool calls to answer with."""
        return [self.tool_call] if self.tool_call is not None else self.tool_calls or []
