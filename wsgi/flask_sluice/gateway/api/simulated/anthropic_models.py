"""The models as Anthropic's API lists them, for requests that name the version of that API."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from flask import Request

from flask_sluice.gateway.simulator.apis.messages.models import limits_of
from flask_sluice.stream.errors import ApiError

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000


def is_anthropics(request: Request) -> bool:
    """Whether a client of Anthropic's API asks."""
    return "Anthropic-Version" in request.headers


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
