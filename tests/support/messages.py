"""Requests and answers of Anthropic's Messages, without a server."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from flask_sluice.gateway.simulator.apis.messages.request import MessagesRequest
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.sse import EventParser
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError

TEXT = "One two three four five."
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 °C"}
MARK = {"type": "ephemeral"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def assistant(content: object) -> dict[str, object]:
    return {"role": "assistant", "content": content}


def body(**fields: object) -> dict[str, object]:
    simulator = {"itl_ms": 0, **fields.pop("simulator", {})}  # type: ignore[dict-item]
    base = {"model": "claude-haiku-4-5", "max_tokens": 2000, "messages": [user("Why?")]}
    return {**base, "simulator": simulator, **fields}


def items(body: dict[str, object]) -> list[bytes | Pause]:
    return list(answer(msgspec.json.encode(body)))


def answer(body: bytes) -> Iterator[bytes | Pause]:
    request = msgspec.json.decode(body, type=MessagesRequest)
    options = request.simulator or SimulatorOptions()
    return Simulation(request, options, StreamContext()).items()


def events(**fields: object) -> list[dict[str, Any]]:
    """All events of a stream, whose names are the types in their data."""
    wire = b"".join(item for item in items(body(stream=True, **fields)) if isinstance(item, bytes))
    parsed = EventParser().feed(wire)
    data = [json.loads(event.data) for event in parsed]
    assert [event.event for event in parsed] == [each["type"] for each in data]
    return data


def message(**fields: object) -> dict[str, Any]:
    (document,) = items(body(**fields))
    assert isinstance(document, bytes)
    return json.loads(document)


def refused(**fields: object) -> str:
    with pytest.raises(ApiError) as raised:
        items(body(**fields))
    assert raised.value.status == 400
    return raised.value.message
