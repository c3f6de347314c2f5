"""The request bodies that the simulator answers: OpenAI's fields as far as it reads them, and ``simulator``.

It accepts and ignores all other fields, as OpenAI-compatible servers do.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from flask_sluice.stream.errors import ApiError

Milliseconds = Annotated[float, Meta(ge=0, le=3_600_000)]
Stop = str | Annotated[list[str], Meta(max_length=4)] | None  # as many as OpenAI takes
Name = Annotated[str, Meta(max_length=256)]
MAX_BODY_BYTES = 4 * 1024 * 1024
"""What can be decoded in 15 ms, whatever is in it, with the two limits below: a million tokens of prose, or a photograph."""
_MAX_CONTAINERS = 50_000
_MAX_COMMAS = 500_000
SMALL_BODY_BYTES = 128 * 1024
"""What is decoded in a few milliseconds, whatever is in it."""
MAX_TOKENS = 100_000
"""Of all choices of one answer together, which are made before the first event is sent."""
MAX_CHARACTERS = 1_000_000
"""Of the same, where the request contains the answer, whose tokens may be long."""
MAX_CHOICES = 500
"""Bounds the same time for choices with few tokens: each takes 70 us."""
MAX_PARTS = 10_000
"""Of messages and of parts of a message: far more than clients send, and read in a few milliseconds."""
_MAX_ARGUMENTS = 100_000

FaultKind = Literal[
    "status",
    "json_body",
    "cut",
    "reset",
    "stall",
    "error_event",
    "truncate",
    "malformed",
    "split_utf8",
]


class Fault(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A failure that the simulator is to produce.

    status, retry_after: the refusal's, for ``kind="status"``
    after: how many tokens come before it, for the kinds that break a stream
    """

    kind: FaultKind
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    retry_after: Annotated[int, Meta(ge=0)] | None = None
    after: Annotated[int, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if self.kind != "status" and (self.status is not None or self.retry_after is not None):
            raise ValueError('status and retry_after go with kind "status" only')
        if self.kind in ("status", "json_body") and self.after is not None:
            raise ValueError(f'kind "{self.kind}" comes before the stream, without after')


class ToolCallOption(Struct, forbid_unknown_fields=True):
    """The tool call of the answer; ``arguments`` is JSON text or the object itself."""

    name: Name
    arguments: msgspec.Raw = msgspec.Raw(b'""')
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
    tokens: how many the answer has
    text: the text of the answer
    seed: selects the answer; the request's own ``seed`` does the same
    tool_call: a tool call to answer with
    fault: a failure to produce
    """

    ttft_ms: Milliseconds = 0
    ttft_stddev_ms: Milliseconds = 0
    itl_ms: Milliseconds = 30
    itl_stddev_ms: Milliseconds = 0
    tokens: Annotated[int, Meta(ge=0, le=MAX_TOKENS)] | None = None
    text: Annotated[str, Meta(max_length=500_000)] | None = None
    seed: int | None = None
    tool_call: ToolCallOption | None = None
    fault: Fault | None = None


class StreamOptionsField(Struct):
    include_usage: bool = False


class ContentPart(Struct, gc=False):
    text: str | None = None


class Message(Struct):
    role: str
    content: str | Annotated[list[ContentPart], Meta(max_length=MAX_PARTS)] | None = None

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return " ".join(part.text or "" for part in self.content or [])


def check_size(body: bytes) -> None:
    """Raise ApiError 400 for JSON with so many parts that decoding it would take long, whatever they are."""
    if body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS or body.count(b",") > _MAX_COMMAS:
        raise ApiError(
            400,
            "invalid_request",
            f"the simulator reads at most {_MAX_CONTAINERS} objects and arrays, and {_MAX_COMMAS} commas",
        )


class AnswerRequest(Struct, kw_only=True):
    """The fields that chat completions and text completions have in common."""

    model: Name
    stream: bool | None = False
    stream_options: StreamOptionsField | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = 1
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: Stop = None
    seed: int | None = None
    simulator: SimulatorOptions | None = None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    def prompt_count(self) -> int:
        """How many prompts there are, each with answers of its own."""
        return 1

    @property
    def prompt_length(self) -> int:
        """How many characters and token ids the prompt has."""
        return len(self.prompt_text())

    def prompts(self) -> list[str]:
        """Return the text that each answer is about."""
        raise NotImplementedError

    def prompt_text(self) -> str:
        """Return all that the model would read."""
        return "\n".join(self.prompts())


class ChatRequest(AnswerRequest, kw_only=True):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_PARTS)]
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def prompts(self) -> list[str]:
        """Return the text of the last user message."""
        users = [message for message in self.messages if message.role == "user"]
        return [(users or self.messages)[-1].text()]

    def prompt_text(self) -> str:
        return "\n".join(message.text() for message in self.messages)


class CompletionRequest(AnswerRequest, kw_only=True):
    """The body of POST /v1/completions."""

    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=100_000)]
    """Text, texts, token ids, or lists of token ids."""

    @property
    def prompt_count(self) -> int:
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return 1
        return len(self.prompt)

    @property
    def prompt_length(self) -> int:
        if isinstance(self.prompt, str):
            return len(self.prompt)
        return sum(1 if isinstance(item, int) else len(item) for item in self.prompt)

    def prompts(self) -> list[str]:
        """Return one text for each answer; token ids become text that contains the numbers.

        Raises ApiError for a list of both texts and token ids.
        """
        if isinstance(self.prompt, str):
            return [self.prompt]
        if len({type(item) for item in self.prompt}) > 1:
            raise ApiError(
                400, "invalid_request", "prompt takes texts or token ids, not both", param="prompt"
            )
        if isinstance(self.prompt[0], int):
            return [_joined(list(self.prompt))]
        return [_joined(item) if isinstance(item, list) else str(item) for item in self.prompt]


def _joined(numbers: list[Any]) -> str:
    # A tenth of the time of str() for each: 3 ms for 400,000.
    return msgspec.json.encode(numbers)[1:-1].decode().replace(",", " ")
