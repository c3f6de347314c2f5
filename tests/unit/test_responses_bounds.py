"""No request for a response takes the event loop for long, from its body to its last event."""

import json
import time

import msgspec
import pytest

from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.simulator.answers import deciding, texts
from flask_sluice.gateway.simulator.apis import openai_logprobs
from flask_sluice.gateway.simulator.apis.responses import items as items_module
from flask_sluice.gateway.simulator.apis.responses.items import encoded_items
from flask_sluice.gateway.simulator.apis.responses.request import ResponsesRequest
from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES, check_size
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop import give_way as heavy_work_module
from flask_sluice.stream.options import StreamOptions

LIMIT_SECONDS = 0.030
SLOWER_MACHINE = 4
ITEMS = 10_000
FUNCTION = {"type": "function", "name": "f"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "x" * 300}
PARTS = [{"type": "input_text", "text": "x" * 300}] * ITEMS
PROPERTIES = {f"p{number}": {"type": "string"} for number in range(20)}
LARGEST = {
    "many messages": {"input": [{"role": "user", "content": "why " * 90}] * ITEMS},
    "many parts": {"input": [{"role": "user", "content": PARTS}]},
    "many calls": {"input": [CALL, RESULT] * (ITEMS // 2)},
    "a long text": {"input": "why " * 1_000_000},
    "line ends": {"input": "\n" * 2_000_000},
    "long instructions": {"instructions": "a " * 2_000_000},
    "many tools": {
        "tools": [{**FUNCTION, "parameters": {"type": "object", "properties": PROPERTIES}}] * 128
    },
    "large tools": {"tools": [{"type": "web_search", "more": "x" * 30_000}] * 128},
    "a long answer": {"simulator": {"tokens": 100_000}},
    "a long answer's probabilities": {
        "simulator": {"tokens": 2300},
        "top_logprobs": 20,
    },
    "long arguments": {
        "tools": [FUNCTION],
        "simulator": {"tool_call": {"name": "f", "arguments": "!" * 100_000}},
    },
    "metadata": {"metadata": {f"{number}": "x" for number in range(100_000)}},
}


@pytest.mark.parametrize("fields", LARGEST.values(), ids=LARGEST)
def test_a_large_request_takes_the_loop_for_a_few_milliseconds(fields, monkeypatch):
    body = json.dumps(
        {"model": "gpt-4.1", "input": "why", "stream": True, "truncation": "auto", **fields},
        ensure_ascii=False,
    ).encode()
    assert len(body) <= MAX_BODY_BYTES
    turns = []
    began_at = time.process_time()

    def end_turn():
        nonlocal began_at
        turns.append(time.process_time() - began_at)
        began_at = time.process_time()

    for module in (deciding, texts, openai_logprobs, items_module, heavy_work_module):
        monkeypatch.setattr(module, "give_way", end_turn)
    try:
        check_size(body)
        asked = decode(body, ResponsesRequest, ResponsesRequest.explain)
        end_turn()
        asked.check()
        raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        encoded_items(raw["input"], asked.items, "0")
        end_turn()
        items = Simulation(asked, asked.simulator or SimulatorOptions(), StreamContext()).items()
        for number, _ in enumerate(items):
            if number % StreamOptions.channel_size == 0:
                end_turn()
    except ApiError as error:
        assert error.status == 400, error  # noqa: PT017 - a refusal must be quick, too
    end_turn()
    assert max(turns) < SLOWER_MACHINE * LIMIT_SECONDS
