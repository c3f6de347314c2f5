"""The models as Anthropic's API lists them, and what they can do, as far as a request is refused for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from flask_sluice.stream.errors import ApiError


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


_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000
"""Of models in a page."""


def limits_of(model: str) -> Limits:
    """Return the limits of a model; any name is one."""
    for beginning, limits in _LIMITS.items():
        if model.startswith(beginning):
            return limits
    return _NEWER if model.startswith("claude-") else _OTHERS


def model_info(name: str, created_at: int) -> dict[str, object]:
    """Return what is told of a model. created_at: in seconds since 1970"""
    limits = limits_of(name)
    created = datetime.fromtimestamp(created_at, timezone.utc)
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "line": None,
        "capabilities": None,
        "max_input_tokens": limits.context_tokens,
        "max_tokens": limits.max_tokens,
        "deprecated_at": None,
        "retires_at": None,
    }


def model_page(
    names: Sequence[str], created_at: int, query: Mapping[str, str]
) -> dict[str, object]:
    """Return a page of the models, as ``limit``, ``after_id`` and ``before_id`` in the query say. Raises ApiError 400."""
    limit = _limit(query.get("limit", str(_DEFAULT_LIMIT)))
    before = query.get("before_id")
    begin = names.index(query["after_id"]) + 1 if query.get("after_id") in names else 0
    end = names.index(before) if before in names else len(names)
    if before in names:
        begin = max(begin, end - limit)
    shown = names[begin:end][:limit]
    has_more = begin > 0 if before in names else begin + len(shown) < len(names)
    return {
        "data": [model_info(name, created_at) for name in shown],
        "has_more": has_more,
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }


def _limit(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= _MAX_LIMIT):
        raise ApiError(
            400,
            "invalid_request",
            f"limit: Input should be a valid integer from 1 to {_MAX_LIMIT}",
            param="limit",
        )
    return int(text)
