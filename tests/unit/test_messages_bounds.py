"""No request for a message keeps the simulator's event loop busy for long, whatever its fields have."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest

from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.simulator.answers import deciding, texts
from flask_sluice.gateway.simulator.apis.messages import conversation
from flask_sluice.gateway.simulator.apis.messages.errors import in_their_words
from flask_sluice.gateway.simulator.apis.messages.request import MessagesRequest
from flask_sluice.gateway.simulator.bounds import check_size
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop import give_way as heavy_work_module
from flask_sluice.stream.options import StreamOptions
from tests.support.messages import CALL, MARK, RESULT, THOUGHT, WEATHER, assistant, body, user
from tests.unit.test_simulator_bounds import (
    ITEMS,
    JSON_VALUES,
    LIMIT_SECONDS,
    ROOM,
    SLOWER_MACHINE,
    array,
)

IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    "cache_control": MARK,
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
    "title": "t",
}
FOUND = {
    "type": "search_result",
    "source": "s",
    "title": "t",
    "content": [{"type": "text", "text": "x"}],
}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
EVERYTHING = body(
    stream=True,
    system=[{"type": "text", "text": "Be short.", "cache_control": MARK}],
    messages=[
        user([IMAGE, DOCUMENT, FOUND, {"type": "text", "text": "Why?"}]),
        assistant([THOUGHT, CALL]),
        user([{**RESULT, "content": [{"type": "text", "text": "x"}, IMAGE]}]),
    ],
    tools=[{**WEATHER, "strict": False, "cache_control": MARK}],
    tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    thinking={"type": "adaptive", "display": "omitted"},
    output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    metadata={"user_id": "me"},
    stop_sequences=["x"],
    temperature=1,
    top_p=1,
    service_tier="auto",
)
VALUES = ("ascii", "number", "fewer objects", "fewer lists", "keys", "nesting", "small object")
"""Of each kind one: what is in them is counted, which takes long, if in turns."""
UNDECODED = ("input", "input_schema", "schema")
HOLE = '"\N{WHITE SQUARE}"'
Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of each value in the request."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield (*path, key)
        if isinstance(part, dict | list) and key not in UNDECODED:
            yield from places(part, (*path, key))


def body_with(path: Path, given: str) -> bytes:
    """The request with this JSON at that place."""
    request = json.loads(json.dumps(EVERYTHING))
    parent = request
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = json.loads(HOLE)
    return json.dumps(request, ensure_ascii=False).replace(HOLE, given).encode()


def longest_turn_seconds(body: bytes, monkeypatch: pytest.MonkeyPatch) -> float:
    """The CPU time of the longest turn of the event loop that a request takes, up to its 500th item."""
    turns: list[float] = []
    began_at = time.process_time()

    def end_turn() -> None:
        nonlocal began_at
        turns.append(time.process_time() - began_at)
        began_at = time.process_time()

    for module in (deciding, texts, conversation, heavy_work_module):
        monkeypatch.setattr(module, "give_way", end_turn)
    try:
        check_size(body)
        request = decode(body, MessagesRequest)
    except ApiError as error:
        in_their_words(error, body)
    else:
        options = request.simulator or SimulatorOptions()
        items = Simulation(request, options, StreamContext()).items()
        with suppress(ApiError):
            for number, item in enumerate(islice(items, ITEMS)):
                if isinstance(item, Pause) or number % StreamOptions.channel_size == 0:
                    end_turn()
    end_turn()
    return max(turns)


BLOCKS = {
    "texts": '{"type":"text","text":"why"}',
    "calls": '{"type":"tool_use","id":"%d","name":"n","input":{}}',
    "results": '{"type":"tool_result","tool_use_id":"%d","content":"why"}',
}


def many(block: str) -> str:
    items = [block % number if "%d" in block else block for number in range(9_000)]
    return f"[{','.join(items)}]"


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", list(places(EVERYTHING)), ids=lambda path: ".".join(str(key) for key in path)
)
def test_the_most_of_each_field_takes_the_loop_for_a_few_milliseconds(path, monkeypatch):
    took = {
        name: longest_turn_seconds(body_with(path, JSON_VALUES[name]), monkeypatch)
        for name in VALUES
    }
    slowest = max(took, key=lambda name: took[name])
    assert took[slowest] < SLOWER_MACHINE * LIMIT_SECONDS, f"{slowest}: {took[slowest]} s"


LONG_CONVERSATIONS = {
    "many messages": array('{"role":"user","content":"why"}', 10_000),
    "empty messages": array('{"role":"user","content":""}', 10_000),
    "many texts": f'[{{"role":"user","content":{many(BLOCKS["texts"])}}}]',
    "many calls": '[{"role":"user","content":"why"},'
    f'{{"role":"assistant","content":{many(BLOCKS["calls"])}}},'
    f'{{"role":"user","content":{many(BLOCKS["results"])}}}]',
    "a long text": f'[{{"role":"user","content":"{"why " * (ROOM // 4 - 1000)}"}}]',
    "nested results": '[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":'
    f"{many(BLOCKS['texts'])}}}]}}]",
}


@pytest.mark.slow
@pytest.mark.parametrize("messages", LONG_CONVERSATIONS.values(), ids=LONG_CONVERSATIONS.keys())
def test_a_long_conversation_takes_the_loop_for_a_few_milliseconds(messages, monkeypatch):
    took = longest_turn_seconds(body_with(("messages",), messages), monkeypatch)
    assert took < SLOWER_MACHINE * LIMIT_SECONDS, f"{took} s"


@pytest.mark.slow
@pytest.mark.parametrize("keys", [20_000, 8_000])
def test_a_schema_of_many_keys_takes_the_loop_for_a_few_milliseconds(keys, monkeypatch):
    names = ",".join(f'"{key}":{{}}' for key in range(keys))
    closed = f'{{"type":"object","additionalProperties":false,"properties":{{{names}}}}}'
    for path in (("output_config", "format", "schema"), ("tools", 0, "input_schema")):
        took = longest_turn_seconds(body_with(path, closed), monkeypatch)
        assert took < SLOWER_MACHINE * LIMIT_SECONDS, f"{took} s"
