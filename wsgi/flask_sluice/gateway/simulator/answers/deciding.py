"""Decides the whole answer before its first token is sent."""

from dataclasses import replace

from flask_sluice.gateway.simulator.answers.answer import Answer, Choice, Part, Usage
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.answers.context import check_context
from flask_sluice.gateway.simulator.answers.texts import (
    Question,
    count_tokens,
    first_tokens,
    place_of_stop,
    tokens_before,
)
from flask_sluice.gateway.simulator.answers.tool_calls import json_tokens, tokens_about, tool_calls
from flask_sluice.gateway.simulator.bounds import MAX_CHARACTERS, MAX_CHOICES, MAX_TOKENS
from flask_sluice.gateway.simulator.options import FinishReason
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way

_CHOICES_AT_ONCE = 50
_FEW_ANSWERS = 10
_FEW_CHARACTERS = 10_000


def is_large(asked: Asked) -> bool:
    """Return whether it may take many milliseconds to decide the answer."""
    options = asked.options
    given = (options.text, options.refusal, options.reasoning)
    characters = asked.prompt_length + sum(len(text) for text in given if isinstance(text, str))
    characters += sum(len(bytes(call.arguments)) for call in options.calls)
    return (
        # A small schema may have large values.
        asked.schema is not None
        or len(asked.tools) > 0
        or _made_count(asked) * len(asked.questions) > _FEW_ANSWERS
        or characters > _FEW_CHARACTERS
        or max(options.tokens or 0, _reasoning_tokens(asked)) > _FEW_CHARACTERS
    )


def decide_answer(asked: Asked) -> Answer:
    """Decide the answer. Raises ApiError for options that exclude each other and for an answer that is too long."""
    options = asked.options
    seed = options.seed if options.seed is not None else asked.seed
    prompt_tokens = count_tokens(asked.prompt_text) + asked.more_prompt_tokens
    check_context(asked, prompt_tokens)
    same = _given_parts(asked)
    _check_length(asked, same)
    choices: list[Choice] = []
    left = MAX_TOKENS
    hidden = made = 0
    for text in asked.questions:
        question = Question(text)
        for number in range(_made_count(asked)):
            choice = _choice(asked, question, seed + number, same)
            left -= choice.token_count
            if left < 0:
                raise _too_much()
            hidden += choice.hidden_tokens
            if number < asked.choice_count:
                choices.append(choice)
            made += 1
            if made % _CHOICES_AT_ONCE == 0:
                give_way()
    usage = Usage(
        prompt=prompt_tokens,
        cached=min(options.cached_tokens, prompt_tokens),
        completion=MAX_TOKENS - left + hidden,
        reasoning=sum(choice.reasoning_token_count for choice in choices),
    )
    return Answer(choices, usage, seed)


def _made_count(asked: Asked) -> int:
    return max(asked.choice_count, asked.tried_count or 0)


def _given_parts(asked: Asked) -> list[Part] | None:
    """Return the parts that the request itself contains, and which are the same in each choice; None: there are none."""
    options = asked.options
    if options.refusal is not None:
        return [Part("refusal", first_tokens(options.refusal, MAX_TOKENS + 1))]
    if options.calls and not asked.tool_results:
        return [
            Part("tool_call", first_tokens(call.arguments_text(), MAX_TOKENS + 1), call.name)
            for call in options.calls
        ]
    if options.text is not None:
        # One more than there may be shows that there are too many.
        most = MAX_TOKENS + 1 if options.tokens is None else options.tokens
        return [Part("text", first_tokens(options.text, most))]
    return None


def _choice(asked: Asked, question: Question, seed: int, same: list[Part] | None) -> Choice:
    parts = _reasoning(asked, question, seed)
    parts += same if same is not None else _made_parts(asked, question, seed)
    choice = _end(parts, asked)
    wanted = asked.options.finish_reason
    return choice if wanted is None else replace(choice, finish_reason=wanted)


def _reasoning(asked: Asked, question: Question, seed: int) -> list[Part]:
    wanted = asked.options.reasoning
    if isinstance(wanted, str):
        return [Part("reasoning", first_tokens(wanted, MAX_TOKENS + 1))]
    count = _reasoning_tokens(asked) - _hidden_tokens(asked)
    return [Part("reasoning", question.answer(seed, count))] if count else []


def _reasoning_tokens(asked: Asked) -> int:
    wanted = asked.options.reasoning
    return wanted if isinstance(wanted, int) else asked.reasoning_tokens


def _hidden_tokens(asked: Asked) -> int:
    """Return how many tokens of reasoning are counted and not shown."""
    is_hidden = asked.is_reasoning_hidden and asked.options.reasoning is None
    return asked.reasoning_tokens if is_hidden else 0


def _made_parts(asked: Asked, question: Question, seed: int) -> list[Part]:
    if calls := tool_calls(asked, question, seed):
        return calls
    if asked.schema is not None:
        return [Part("text", json_tokens(asked.schema, asked.schema_field, question, seed))]
    length, limit = asked.options.tokens, asked.token_limit
    if length is not None and limit is not None:
        length = min(length, limit + 1)  # One more token shows that the limit has cut it.
    tokens = tokens_about(asked.tool_results)
    rest = None if length is None else max(0, length - len(tokens))
    return [Part("text", (tokens + question.answer(seed, rest))[:length])]


def _end(parts: list[Part], asked: Asked) -> Choice:
    """Return the choice that these parts are, up to the first stop sequence and the limit."""
    stop_sequence = None
    last = parts[-1]
    if asked.stops and last.kind == "text" and (stop := place_of_stop(last.text, asked.stops)):
        place, stop_sequence = stop
        parts = [*parts[:-1], replace(last, tokens=tokens_before(last.tokens, place))]
    hidden = _hidden_tokens(asked)
    reason: FinishReason = "tool_calls" if last.kind == "tool_call" else "stop"
    whole = Choice(parts, reason, stop_sequence, hidden)
    limit = asked.token_limit
    if limit is not None and hidden + whole.token_count > limit:
        # A limit that the reasoning uses up leaves no answer, as a real model's does.
        hidden = min(hidden, limit)
        return Choice(whole.cut(limit - hidden), "length", hidden_tokens=hidden)
    return whole


def _check_length(asked: Asked, same: list[Part] | None) -> None:
    """Raise ApiError for an answer that is too long, as far as that can be told before it is made."""
    made = len(asked.questions) * _made_count(asked)
    # Tokens that a stop sequence cuts off are made too.
    length = 0 if same else min(asked.options.tokens or 0, asked.token_limit or MAX_TOKENS)
    reasoning = asked.options.reasoning
    length += _reasoning_tokens(asked)
    if made > MAX_CHOICES or made * length > MAX_TOKENS:
        raise _too_much()
    characters = sum(sum(map(len, part.tokens)) for part in same or ())
    characters += len(reasoning) if isinstance(reasoning, str) else 0
    if made * characters > MAX_CHARACTERS:
        raise _too_much()


def _too_much() -> ApiError:
    return ApiError(
        400,
        "invalid_request",
        f"the answers are more than {MAX_CHOICES}, or come to more than {MAX_TOKENS} tokens "
        f"or {MAX_CHARACTERS} characters; ask for fewer or shorter ones",
    )
