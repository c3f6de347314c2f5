"""No request for vectors or a judgement, and none of Ollama's or Google's clients, keeps the event loop busy for long."""

import json
import time
from contextlib import suppress
from itertools import islice

import pytest

from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.simulator.answers import deciding, texts, tool_calls
from flask_sluice.gateway.simulator.apis.embeddings import request as embeddings
from flask_sluice.gateway.simulator.apis.embeddings.request import EmbeddingsRequest
from flask_sluice.gateway.simulator.apis.gemini.embed import (
    GeminiBatchEmbedRequest,
    GeminiCountRequest,
)
from flask_sluice.gateway.simulator.apis.gemini.names import in_camel_case
from flask_sluice.gateway.simulator.apis.gemini.request import GeminiArrayRequest, GeminiRequest
from flask_sluice.gateway.simulator.apis.moderations import format as moderations
from flask_sluice.gateway.simulator.apis.moderations import judging
from flask_sluice.gateway.simulator.apis.moderations.request import ModerationsRequest
from flask_sluice.gateway.simulator.apis.ollama.chat import OllamaChatRequest
from flask_sluice.gateway.simulator.apis.ollama.embed import OllamaEmbedRequest
from flask_sluice.gateway.simulator.apis.ollama.generate import OllamaGenerateRequest
from flask_sluice.gateway.simulator.bounds import check_size
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop import give_way as heavy_work_module
from flask_sluice.stream.loop.give_way import LONGEST_TURN_SECONDS
from flask_sluice.stream.options import StreamOptions
from tests.unit.test_simulator_bounds import (
    JSON_VALUES,
    LIMIT_SECONDS,
    SCHEMAS,
    SLOWER_MACHINE,
    array,
    small_heap,
)

__all__ = ["small_heap"]
"""The fixture is used by all tests here too."""

ITEMS = 200
GEMINI = (GeminiRequest, GeminiCountRequest, GeminiBatchEmbedRequest)
WORDS = " ".join(f"word{number}" for number in range(400_000))
VALUES = {
    **JSON_VALUES,
    "different words": json.dumps(WORDS[:4_000_000]),
    "a long text": json.dumps(WORDS[:20_000]),
    "2048 texts": json.dumps([f"{WORDS[start : start + 60]}" for start in range(2048)]),
    "2048 long texts": json.dumps([WORDS[start : start + 1900] for start in range(2048)]),
    "text and signs": json.dumps("- " * 2_000_000),
    "token ids": json.dumps([list(range(8000))] * 30),
}
PATTERNS = {
    EmbeddingsRequest: ['{"model":"text-embedding-3-large","input":%s}'],
    ModerationsRequest: [
        '{"input":%s}',
        '{"input":[{"type":"text","text":%s}]}',
    ],
    OllamaEmbedRequest: ['{"model":"m","input":%s}'],
    OllamaChatRequest: [
        '{"model":"m","messages":[{"role":"user","content":%s}]}',
        '{"model":"m","messages":[{"role":"user","images":[%s]}]}',
        '{"model":"m","messages":%s}',
        '{"model":"m","messages":[{"role":"user"}],"options":{"stop":%s}}',
    ],
    OllamaGenerateRequest: [
        '{"model":"m","prompt":%s}',
        '{"model":"m","prompt":"x","context":%s}',
        '{"model":"m","prompt":"x","suffix":%s,"simulator":{"tokens":100000}}',
    ],
    GeminiRequest: [
        '{"contents":{"parts":{"text":%s}}}',
        '{"contents":%s}',
        '{"contents":{"parts":%s},"generation_config":{"seed":1}}',
        '{"contents":{"parts":{"inlineData":{"mimeType":"audio/wav","data":%s}}}}',
        '{"contents":{"parts":{"functionResponse":{"response":%s}}},"system_instruction":null}',
        '{"contents":{"parts":{"text":"x"}},"generationConfig":{"candidateCount":8,"stopSequences":%s}}',
    ],
    GeminiArrayRequest: ['{"contents":{"parts":{"text":%s}},"generation_config":{"seed":1}}'],
    GeminiCountRequest: [
        '{"contents":[{"parts":[{"text":%s}]}],"system_instruction":{"parts":[]}}'
    ],
    GeminiBatchEmbedRequest: [
        '{"requests":[{"content":{"parts":[{"text":%s}]}}]}',
        '{"requests":%s}',
    ],
}
"""Bodies, of which each has its largest value in another place."""
OF_SCHEMAS = {
    OllamaChatRequest: [
        '{"model":"m","messages":[{"role":"user","content":"x"}],"format":%s}',
        '{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"n","parameters":%s}}]}',
    ],
    GeminiRequest: [
        '{"contents":{"parts":{"text":"x"}},"generation_config":{"response_mime_type":"application/json","response_schema":%s}}',
        '{"contents":{"parts":{"text":"x"}},"tools":[{"functionDeclarations":[{"name":"n","parameters":%s}]}]}',
    ],
}


def longest_turn_seconds(body, type_, monkeypatch):
    """The CPU time of the longest turn of the event loop that a request takes, up to its 200th item."""
    turns = []
    began_at = time.process_time()

    def end_turn():
        nonlocal began_at
        turns.append(time.process_time() - began_at)
        began_at = time.process_time()

    for module in (
        deciding,
        texts,
        tool_calls,
        embeddings,
        moderations,
        judging,
        heavy_work_module,
    ):
        monkeypatch.setattr(module, "give_way", end_turn)
    with suppress(ApiError):
        check_size(body)
        if issubclass(type_, GEMINI):
            body = in_camel_case(body, type_)
        request = decode(body, type_)
        if type_ is GeminiArrayRequest:
            request.stream = True
        options = request.simulator or SimulatorOptions()
        items = Simulation(request, options, StreamContext()).items()
        for number, item in enumerate(islice(items, ITEMS)):
            # As a TimedFeed does.
            is_slow = time.process_time() - began_at > LONGEST_TURN_SECONDS
            if is_slow or isinstance(item, Pause) or number % StreamOptions.channel_size == 0:
                end_turn()
    end_turn()
    return max(turns)


@pytest.mark.slow
@pytest.mark.parametrize("type_", PATTERNS)
def test_the_largest_request_takes_the_loop_for_a_few_milliseconds(type_, monkeypatch):
    # What is done once in a process does not count.
    longest_turn_seconds((PATTERNS[type_][0] % '"why"').encode(), type_, monkeypatch)
    took = {}
    for pattern in PATTERNS[type_]:
        for name, value in VALUES.items():
            seconds = longest_turn_seconds((pattern % value).encode(), type_, monkeypatch)
            took[f"{pattern}: {name}"] = seconds
    for pattern in OF_SCHEMAS.get(type_, ()):
        for name, value in SCHEMAS.items():
            seconds = longest_turn_seconds((pattern % value).encode(), type_, monkeypatch)
            took[f"{pattern}: schema of {name}"] = seconds
    slowest = max(took, key=lambda name: took[name])
    assert took[slowest] < SLOWER_MACHINE * LIMIT_SECONDS, f"{slowest}: {took[slowest]} s"


def test_all_vectors_of_a_request_are_never_in_memory_at_once():
    body = b'{"model":"text-embedding-3-large","input":%s}' % array('"why"', 2048).encode()
    request = decode(body, EmbeddingsRequest)
    items = Simulation(request, SimulatorOptions(), StreamContext()).items()
    assert all(len(item) < 100_000 for item in islice(items, 20))
