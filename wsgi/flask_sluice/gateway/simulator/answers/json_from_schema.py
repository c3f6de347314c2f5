"""JSON of a schema, and which tools a question is about: the same for the same question and seed."""

import random
from typing import Any

import msgspec

from flask_sluice.gateway.simulator.answers.asked import Tool

_MAX_DEPTH = 8


def pick_tools(
    tools: list[Tool], topic: str, seed: int, *, may_pick_several: bool = True
) -> list[Tool]:
    """Return the tools that are called: those whose names the question has words of, or else any."""
    words = topic.lower()
    named = [
        tool
        for tool in tools
        if any(
            len(part) > 2 and part in words
            for part in tool.name.lower().replace("-", "_").split("_")
        )
    ]
    picked = named or [random.Random(f"{seed}\n{topic}").choice(tools)]
    return picked if may_pick_several else picked[:1]


def json_from_schema(schema: msgspec.Raw, topic: str, seed: int) -> str:
    """Return a JSON text of this schema."""
    root = msgspec.json.decode(schema)
    value = _value(root, topic, random.Random(f"{seed}\n{topic}"), _MAX_DEPTH)
    return msgspec.json.encode(value).decode()


def _value(schema: Any, topic: str, rng: random.Random, depth: int) -> Any:  # noqa: PLR0911 one for each type
    if not isinstance(schema, dict) or depth == 0:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(schema["enum"])
    if schema.get("anyOf"):
        return _value(schema["anyOf"][0], topic, rng, depth - 1)
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "string":
            return topic
        case "integer" | "number":
            return schema.get("minimum", rng.randint(1, 100))
        case "boolean":
            return rng.random() < 0.5
        case "array":
            return [_value(schema.get("items"), topic, rng, depth - 1)]
        case "object":
            properties = schema.get("properties") or {}
            return {name: _value(each, topic, rng, depth - 1) for name, each in properties.items()}
    return None
