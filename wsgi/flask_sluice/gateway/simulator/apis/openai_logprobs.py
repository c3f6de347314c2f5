"""Log probabilities that look like a model's: each follows from its token alone, so the same token has the same ones."""

from contextlib import AbstractContextManager, nullcontext
from zlib import crc32

import msgspec

from flask_sluice.gateway.simulator.apis.format import Json, encode_json
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way, heavy_work

MAX_TOLD = 50_000
"""Of all tokens and their alternatives in one document."""
_FEW_TOLD = 1000
_TOKENS_AT_ONCE = 100

_SURE = -1.2
"""The least log probability of a token that was chosen."""
_STEP = 0.7
_OTHERS = (" the", " a", " of", " and", " to", ".", ",", "\n", " is", " in", " that", " it")
"""What could have come in place of a token."""


def logprob(token: str) -> float:
    """Return the log probability of a token that was chosen, between -1.2 and 0."""
    return round(_SURE * (_hash(token) % 10_000) / 10_000, 6)


def top_logprobs(token: str, count: int) -> list[tuple[str, float]]:
    """Return so many tokens that could have come here, the likeliest first: that which was chosen."""
    chosen = logprob(token)
    start = _hash(token) % len(_OTHERS)
    others = [other for other in _OTHERS[start:] + _OTHERS[:start] if other != token]
    others += [f" {number}" for number in range(count) if f" {number}" != token]
    return [
        (token, chosen),
        *(
            (other, round(chosen - _STEP * (place + 1) - logprob(other) * 0.1, 6))
            for place, other in enumerate(others[: max(0, count - 1)])
        ),
    ][:count]


def chat_logprob(token: str, count: int) -> Json:
    """Return what a chat completion tells of a token, with ``count`` alternatives."""
    return {
        **_described(token, logprob(token)),
        "top_logprobs": [_described(*each) for each in top_logprobs(token, count)],
    }


class CompletionLogprobs:
    """What a text completion tells of its tokens, which come one after the other.

    count: of the alternatives
    begins_with_prompt: whether the first token is a prompt's, of which there is none, since nothing comes before it
    """

    def __init__(self, count: int, *, begins_with_prompt: bool) -> None:
        self._count = count
        self._offset = 0
        self._has_first = not begins_with_prompt

    def of(self, tokens: list[str]) -> Json:
        """Return the log probabilities of the next tokens."""
        told: Json = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for token in tokens:
            tops = encode_json(dict(top_logprobs(token, self._count)))
            told["tokens"].append(token)
            told["token_logprobs"].append(logprob(token) if self._has_first else None)
            told["top_logprobs"].append(msgspec.Raw(tops) if self._has_first else None)
            told["text_offset"].append(self._offset)
            self._offset += len(token)
            self._has_first = True
            if len(told["tokens"]) % _TOKENS_AT_ONCE == 0:
                give_way()
        return told


def encoded_chat_logprobs(tokens: list[str], count: int) -> list[msgspec.Raw]:
    """Return what a chat completion tells of each token, encoded; others have their turn between."""
    told = []
    for number, token in enumerate(tokens, start=1):
        told.append(msgspec.Raw(encode_json(chat_logprob(token, count))))
        if number % _TOKENS_AT_ONCE == 0:
            give_way()
    return told


def telling(token_count: int, count: int) -> AbstractContextManager[None]:
    """Return the context in which the log probabilities of so many tokens are told at once, with ``count`` alternatives.

    Raises ApiError 400 for more than an answer may have: each takes some 80 bytes.
    """
    told = token_count * (count + 1)
    if told > MAX_TOLD:
        raise ApiError(
            400,
            "invalid_request",
            f"the answers are more than {MAX_TOLD} log probabilities at once; "
            "ask for fewer tokens or fewer alternatives, or for a stream",
            param="logprobs",
        )
    return heavy_work() if told > _FEW_TOLD else nullcontext()


def _described(token: str, value: float) -> Json:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}


def _hash(token: str) -> int:
    return crc32(token.encode("utf-8", "replace"))
