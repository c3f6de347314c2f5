"""The last message of a request, read from its body in whatever API's form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

_LISTS = ("messages", "input", "contents")
_CALL_IDS = ("id", "call_id")
_RESULT_IDS = ("tool_call_id", "tool_use_id", "call_id")
_MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class LastMessage:
    """role: "user", "assistant", "tool", …; tools: the names of the tools whose results it is"""

    role: str = "user"
    tools: tuple[str, ...] = ()


def last_message(body: bytes) -> LastMessage:
    """Return the last message of a body that has been checked. A body without messages counts as one of the user."""
    document = msgspec.json.decode(body)
    messages: list[Any] = next(
        (document[name] for name in _LISTS if isinstance(document.get(name), list)), []
    )
    objects = [message for message in messages if isinstance(message, dict)]
    if not objects:
        return LastMessage()
    results = _last_results(objects)
    if not results:
        role = str(objects[-1].get("role") or "user")
        # Google's word for it.
        return LastMessage("assistant" if role == "model" else role)
    names = _names_of_calls(objects)
    return LastMessage("tool", tuple(name for each in results if (name := _tool(each, names))))


def _last_results(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results of tools with which the conversation ends: several messages, or several parts of one."""
    found: list[dict[str, Any]] = []
    for message in reversed(messages):
        results = [each for each in _objects(message) if _is_result(each)]
        if not results:
            break
        found += results
    return found


def _is_result(each: dict[str, Any]) -> bool:
    return (
        each.get("role") in ("tool", "function")
        or each.get("type") in ("tool_result", "function_call_output", "custom_tool_call_output")
        or "functionResponse" in each
    )


def _names_of_calls(messages: list[dict[str, Any]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for each in _objects(messages):
        name = each.get("name") or _inner_name(each, "function")
        if isinstance(name, str) and not _is_result(each):
            names.update((each[key], name) for key in _CALL_IDS if isinstance(each.get(key), str))
    return names


def _tool(result: dict[str, Any], names: dict[str, str]) -> str | None:
    own = result.get("name") or result.get("tool_name") or _inner_name(result, "functionResponse")
    if isinstance(own, str):
        return own
    ids = (result.get(key) for key in _RESULT_IDS)
    return next((names[each] for each in ids if isinstance(each, str) and each in names), None)


def _inner_name(each: dict[str, Any], key: str) -> object:
    inner = each.get(key)
    return inner.get("name") if isinstance(inner, dict) else None


def _objects(value: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the objects in a value, but not those that are in the arguments of calls."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield value
        for key in ("content", "parts", "tool_calls"):
            yield from _objects(value.get(key), depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each, depth + 1)
