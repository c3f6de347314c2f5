"""Log probabilities that look like a model's: each follows from its token alone, so the same token has the same ones."""

from zlib import crc32

from flask_sluice.gateway.simulator.apis.format import Json

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
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._offset = 0

    def of(self, tokens: list[str], *, begins_with_prompt: bool) -> Json:
        """Return the log probabilities of the next tokens. The first of a prompt has none, since nothing comes before it."""
        is_start = begins_with_prompt and self._offset == 0
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        logprobs: list[float | None] = [logprob(token) for token in tokens]
        tops: list[dict[str, float] | None] = [
            dict(top_logprobs(token, self._count)) for token in tokens
        ]
        if is_start and tokens:
            logprobs[0] = tops[0] = None
        return {
            "tokens": tokens,
            "token_logprobs": logprobs,
            "top_logprobs": tops,
            "text_offset": offsets,
        }


def _described(token: str, value: float) -> Json:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}


def _hash(token: str) -> int:
    return crc32(token.encode("utf-8", "replace"))
