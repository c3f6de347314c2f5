"""What Anthropic's models can do, as far as a request is refused for it."""

from typing import NamedTuple


class Limits(NamedTuple):
    """max_tokens: of an answer; context_tokens: of a prompt; may_prefill: whether an answer can be begun by the client"""

    max_tokens: int
    context_tokens: int
    may_prefill: bool


_LIMITS = {
    "claude-3-haiku": Limits(4096, 200_000, True),
    "claude-3-opus": Limits(4096, 200_000, True),
    "claude-3-5": Limits(8192, 200_000, True),
    "claude-3-7": Limits(64_000, 200_000, True),
    "claude-opus-4-20250514": Limits(32_000, 200_000, True),
    "claude-opus-4-0": Limits(32_000, 200_000, True),
    "claude-opus-4-1": Limits(32_000, 200_000, True),
    "claude-opus-4-5": Limits(64_000, 200_000, True),
    "claude-sonnet-4-20250514": Limits(64_000, 200_000, True),
    "claude-sonnet-4-0": Limits(64_000, 200_000, True),
    "claude-sonnet-4-5": Limits(64_000, 200_000, True),
    "claude-haiku-4-5": Limits(64_000, 200_000, True),
}
"""By the beginning of a model's name."""
_NEWER = Limits(128_000, 1_000_000, False)
_OTHERS = Limits(128_000, 200_000, True)
"""Of models that are not Anthropic's."""


def limits_of(model: str) -> Limits:
    """Return the limits of a model; any name is one."""
    for beginning, limits in _LIMITS.items():
        if model.startswith(beginning):
            return limits
    return _NEWER if model.startswith("claude-") else _OTHERS
