"""Asks the simulator without a server, as its routes do: a body is read, checked and answered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.simulator.apis.chat.request import ChatRequest
from flask_sluice.gateway.simulator.apis.completions.request import CompletionRequest
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.sse import EventParser
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError

Json = dict[str, Any]


def conversation(*messages: Json, **fields: Any) -> Json:
    """The body of a chat completion; without messages the user says hi."""
    return {"model": "any", "messages": [*messages] or [user("hi")], **fields}


def completion(prompt: Any = "hi", **fields: Any) -> Json:
    return {"model": "any", "prompt": prompt, **fields}


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def function(name: str = "weather", parameters: Json | None = None, **fields: Any) -> Json:
    """The definition of a tool."""
    properties = {"city": {"type": "string"}, "days": {"type": "integer"}}
    schema = parameters or {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": schema, **fields}}


def calling(*names: str) -> Json:
    """A message with calls of tools, whose ids are the tools' names."""
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in names
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(name: str, content: Any = "sunny") -> Json:
    return {"role": "tool", "tool_call_id": name, "content": content}


def whole(body: Json) -> Json:
    """The answer that is not streamed."""
    return json.loads(b"".join(_items({**body, "stream": False})))


def message_of(body: Json) -> Json:
    return whole(body)["choices"][0]["message"]


def chunks(body: Json) -> list[Json]:
    """The chunks of a stream that is complete."""
    events = EventParser().feed(b"".join(_items({**body, "stream": True})))
    *data, done = [event.data for event in events]
    assert done == "[DONE]"
    return [json.loads(each) for each in data]


def deltas(body: Json) -> list[Json]:
    return [choice["delta"] for chunk in chunks(body) for choice in chunk["choices"]]


def refusal(body: Json) -> ApiError:
    """The error with which a request is refused before its answer begins."""
    with pytest.raises(ApiError) as caught:
        next(_items(body))
    assert caught.value.status == 400
    return caught.value


def _items(body: Json) -> Iterator[bytes]:
    type_ = CompletionRequest if "prompt" in body else ChatRequest
    request = decode(json.dumps(body).encode(), type_, type_.explain)
    options = request.simulator or SimulatorOptions()
    items = Simulation(request, options, StreamContext()).items()
    return (item for item in items if isinstance(item, bytes))
