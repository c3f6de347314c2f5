"""The whole answer of the simulator, decided before its first token is sent."""

from dataclasses import dataclass

from flask_sluice.gateway.simulator.formats import (
    ChatFormat,
    CompletionFormat,
    Format,
    Json,
    ToolCall,
)
from flask_sluice.gateway.simulator.request_schema import (
    MAX_CHARACTERS,
    MAX_CHOICES,
    MAX_TOKENS,
    AnswerRequest,
    ChatRequest,
    SimulatorOptions,
)
from flask_sluice.gateway.simulator.texts import (
    Question,
    apply_stop,
    count_tokens,
    first_tokens,
)
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way

_CHOICES_AT_ONCE = 50
_FEW_ANSWERS = 10
_FEW_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers that the request is for."""

    tokens: list[str]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Script:
    """All choices of an answer, the format they are written in, and their tokens for ``usage``."""

    format: Format
    choices: list[Choice]
    prompt_tokens: int
    completion_tokens: int
    seed: int

    @property
    def longest(self) -> int:
        """The number of tokens of the longest choice."""
        return max(len(choice.tokens) for choice in self.choices)

    @property
    def usage(self) -> Json:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def is_large(request: AnswerRequest, options: SimulatorOptions) -> bool:
    """Return whether it may take many milliseconds to write the answer."""
    answers, characters = request.n or 1, len(options.text or "")
    if options.tool_call is not None:
        characters += len(bytes(options.tool_call.arguments))
    characters += request.prompt_length
    return (
        answers * request.prompt_count > _FEW_ANSWERS
        or characters > _FEW_CHARACTERS
        or (options.tokens or 0) > _FEW_CHARACTERS
    )


def write_script(request: AnswerRequest, options: SimulatorOptions) -> Script:
    """Decide the answer. Raises ApiError for options that exclude each other and for an answer that is too long."""
    format_, tool_call = _format(request, options)
    limit = request.token_limit
    same = _same_choice(request, options, tool_call, limit)
    _check_length(request, options, same)
    seed = options.seed if options.seed is not None else request.seed or 0
    choices: list[Choice] = []
    left = MAX_TOKENS
    for prompt in request.prompts():
        question = Question(prompt)
        for number in range(request.n or 1):
            choice = same or _generated_choice(question, seed + number, request, options, limit)
            left -= len(choice.tokens)
            if left < 0:
                raise _too_much()
            choices.append(choice)
            if len(choices) % _CHOICES_AT_ONCE == 0:
                give_way()
    return Script(format_, choices, count_tokens(request.prompt_text()), MAX_TOKENS - left, seed)


def _format(request: AnswerRequest, options: SimulatorOptions) -> tuple[Format, ToolCall | None]:
    wanted = options.tool_call
    if isinstance(request, ChatRequest):
        tool_call = ToolCall(wanted.name, wanted.arguments_text()) if wanted else None
        return ChatFormat(request.model, tool_call), tool_call
    if wanted is not None:
        raise ApiError(
            400,
            "invalid_request",
            "a text completion makes no tool calls; ask /v1/chat/completions",
            param="simulator.tool_call",
        )
    return CompletionFormat(request.model), None


def _check_length(request: AnswerRequest, options: SimulatorOptions, same: Choice | None) -> None:
    """Raise ApiError for an answer that is too long, as far as that can be told before it is made."""
    made = request.prompt_count * (request.n or 1)
    # Tokens that a stop sequence cuts off are made too.
    length = 0 if same else min(options.tokens or 0, request.token_limit or MAX_TOKENS)
    if made > MAX_CHOICES or made * length > MAX_TOKENS:
        raise _too_much()
    if same and made * sum(map(len, same.tokens)) > MAX_CHARACTERS:
        raise _too_much()


def _too_much() -> ApiError:
    return ApiError(
        400,
        "invalid_request",
        f"the answers are more than {MAX_CHOICES}, or come to more than {MAX_TOKENS} tokens "
        f"or {MAX_CHARACTERS} characters; ask for fewer or shorter ones",
    )


def _same_choice(
    request: AnswerRequest,
    options: SimulatorOptions,
    tool_call: ToolCall | None,
    limit: int | None,
) -> Choice | None:
    """Return the choice that the request itself contains; None if each has to be generated."""
    if tool_call is not None:
        return Choice(first_tokens(tool_call.arguments, MAX_TOKENS), "tool_calls")
    if options.text is not None:
        # One more than there may be shows that there are too many.
        most = MAX_TOKENS + 1 if options.tokens is None else options.tokens
        return _cut(first_tokens(options.text, most), request, limit)
    return None


def _generated_choice(
    question: Question,
    seed: int,
    request: AnswerRequest,
    options: SimulatorOptions,
    limit: int | None,
) -> Choice:
    length = options.tokens
    if length is not None and limit is not None:
        length = min(length, limit + 1)  # One more token shows that the limit has cut it.
    return _cut(question.answer(seed, length), request, limit)


def _cut(tokens: list[str], request: AnswerRequest, limit: int | None) -> Choice:
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    tokens = apply_stop(tokens, stops)
    if limit is not None and len(tokens) > limit:
        return Choice(tokens[:limit], "length")
    return Choice(tokens, "stop")
