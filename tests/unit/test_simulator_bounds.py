"""No request keeps the simulator's event loop busy for long or takes much memory, whatever the fields have that its schema admits.

The requests are made from the schema, so that a new field is tried too: each field with the largest values that it admits,
alone and together with each other field's.
"""

import gc
import json
import random
import time
import tracemalloc
import typing
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import msgspec
import pytest

from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.simulator.answers import deciding, texts, tool_calls
from flask_sluice.gateway.simulator.apis import openai_logprobs
from flask_sluice.gateway.simulator.apis.chat.request import ChatRequest
from flask_sluice.gateway.simulator.apis.completions.request import CompletionRequest
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES, check_size
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.context import StreamContext as Context
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer
from flask_sluice.stream.loop import give_way as heavy_work_module
from flask_sluice.stream.options import StreamOptions

LIMIT_SECONDS = 0.030
SLOWER_MACHINE = 4
"""Of the CPU time that a test takes, which does not depend on what else runs, but on the core and on its caches."""
ITEMS = 500
"""Of the answer: the first have what is done once, and the others are like one another."""

ROOM = MAX_BODY_BYTES - 1000
TEXTS = {
    "ascii": "a" * ROOM,
    "words": "a " * (ROOM // 2),
    "line ends": "\\n" * (ROOM // 2),
    "escapes": "\\u0041" * (ROOM // 6),
    "controls": "\\u0000" * (ROOM // 6),
    "emoji": "\N{GRINNING FACE}" * (ROOM // 4),
    "digits": "1" * ROOM,
    "symbols": "!" * ROOM,
}
"""As they are in JSON, as large as a body may be."""


def array(item: str, count: int) -> str:
    return f"[{','.join([item] * count)}]"


JSON_VALUES = {
    **{name: f'"{text}"' for name, text in TEXTS.items()},
    "number": "1" * ROOM,
    "fraction": "0." + "1" * ROOM,
    "exponents": array("1.2345678901234567890e-300", ROOM // 27),
    "objects": array("{}", ROOM // 3),
    "fewer objects": array("{}", 40_000),
    "lists": array("[]", ROOM // 3),
    "fewer lists": array("[1,2,3,4]", 40_000),
    "numbers": array("1", ROOM // 2),
    "fewer numbers": array("1000000", 100_000),
    "one list": array(array("1", 400_000), 1),
    "texts": array('""', ROOM // 3),
    "fewer texts": array('"why"', 500),
    "three texts": array('"why"', 3),
    "nesting": "[" * ROOM,
    "object": '{"a":' + array("0.1e-300", ROOM // 9) + "}",
    "small object": '{"a":' + array("0.1e-300", 10_000) + "}",
    "keys": "{" + ",".join(f'"{key}":0' for key in range(ROOM // 12)) + "}",
}
"""Of each kind of JSON, the most."""


SCHEMAS = {
    "many properties": json.dumps(
        {
            "type": "object",
            "properties": {f"name{number}": {"type": "string"} for number in range(3000)},
        }
    ),
    "many required": json.dumps(
        {
            "type": "object",
            "properties": {f"n{number}": {"type": "array"} for number in range(2000)},
            "required": [f"n{number}" for number in range(2000)],
            "additionalProperties": False,
        }
    ),
    "many branches": '{"type":"object","properties":{"a":{"anyOf":' + array("{}", 40_000) + "}}}",
    "a long enum": '{"type":"object","properties":{"a":{"enum":' + array('"why"', 15_000) + "}}}",
    "long lists": json.dumps(
        {
            "type": "object",
            "properties": {
                "a": {
                    "type": "array",
                    "minItems": 1000,
                    "items": {"type": "string", "minLength": 1000},
                }
            },
            "required": ["a"],
        }
    ),
    "lists of lists": json.dumps(
        {
            "type": "object",
            "properties": {
                "a": {"type": "array", "minItems": 70, "items": {"type": "array", "minItems": 70}}
            },
            "required": ["a"],
        }
    ),
    "itself": json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "array", "minItems": 5, "items": {"$ref": "#"}}},
            "required": ["a"],
        }
    ),
    "a hard pattern": json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "string", "pattern": "^(a+)+(b|c){1,900}$"}},
        }
    ),
    "nesting": '{"items":' * 5000 + "{}" + "}" * 5000,
}
"""Of JSON Schemas, those that take long to check or to make a value of."""

TOOL = '{"type":"function","function":{"name":"n","parameters":%s}}'

PLAIN = (str, int, float, bool, type(None))
WRONG_TYPES = ("ascii", "escapes", "emoji", "number", "fewer objects", "fewer numbers", "nesting")

LINE_ENDS = "\\n" * 500_000
REQUIRED = {
    "model": '"m"',
    "messages": '[{"role":"user","content":"why"}]',
    "prompt": '"why"',
    "role": '"user"',
    "name": '"n"',
    "kind": '"truncate"',
    "id": '"call"',
    "arguments": '"{}"',
    "input": '""',
    "url": '"https://a.example/b.png"',
    "data": '"YWJj"',
    "format": '"wav"',
    "content": '"why"',
    "mode": '"auto"',
    "syntax": '"regex"',
    "definition": '"a"',
    "type": '"function"',
    "messages[].content[].type": '"text"',
    "response_format.type": '"json_schema"',
    "prediction.type": '"content"',
    "tool_choice.type": '"allowed_tools"',
    "tools[].custom.format.type": '"grammar"',
    "tools": '[{"type":"function","function":{"name":"n"}}]',
}
Values = dict[str, str]
"""JSON by the path of a field, such as ``simulator.tool_call.name``."""


def types_in(hint: object) -> Iterator[object]:
    """The types of a hint, and the limits (``Meta``) of its texts, lists and numbers."""
    yield hint
    for argument in (*typing.get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from types_in(argument)


def fields_of(type_: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, object]]:
    """Each field of a request with its path and its type, those of the objects in it besides."""
    hints = typing.get_type_hints(type_, include_extras=True)
    for field in msgspec.structs.fields(type_):
        hint = hints[field.name]
        yield f"{path}{field.encode_name}", hint
        for inner in types_in(hint):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                is_list = any(typing.get_origin(each) is list for each in types_in(hint))
                yield from fields_of(inner, f"{path}{field.encode_name}{'[].' if is_list else '.'}")


def largest_values(hint: object) -> Iterator[str]:
    """The most of each kind of JSON, and what the field's limits just admit."""
    is_plain = all(each in PLAIN for each in typing.get_args(hint) or (hint,))
    # Of another type than a plain field's, it is refused in the same way whatever it is.
    yield from (JSON_VALUES[name] for name in (WRONG_TYPES if is_plain else JSON_VALUES))
    if any(each is msgspec.Raw for each in types_in(hint)):
        yield from SCHEMAS.values()
    for each in types_in(hint):
        if isinstance(each, msgspec.Meta):
            yield from (json.dumps(limit) for limit in (each.le, each.ge) if limit is not None)
            if each.max_length:
                yield from (f'"{part * each.max_length}"' for part in ("\\n", "!"))
        elif isinstance(each, str):
            yield json.dumps(each)
    yield "true"
    yield str(2**63 - 1)


def body_with(values: Values) -> bytes:
    """A request with these values and, besides, what is required."""

    def written(prefix: str, names: tuple[str, ...]) -> str:
        given = {name: REQUIRED.get(prefix + name) or REQUIRED[name] for name in names}
        below = {path.removeprefix(prefix) for path in values if path.startswith(prefix)}
        for name in {path.partition(".")[0] for path in below}:
            plain = name.removesuffix("[]")
            inner = INNER.get(prefix + name) or INNER.get(plain, ())
            if (path := prefix + name) in values:
                given[plain] = values[path]
            else:
                text = written(f"{path}.", inner)
                given[plain] = f"[{text}]" if name.endswith("[]") else text
        return "{" + ",".join(f'"{name}":{value}' for name, value in given.items()) + "}"

    is_chat = not any(path.startswith("prompt") for path in values)
    has_choice = any(path.startswith("tool_choice") for path in values)
    names = ("model", "messages" if is_chat else "prompt", *(["tools"] if has_choice else []))
    return written("", names).encode()


INNER = {
    "messages": ("role",),
    "tool_call": ("name",),
    "fault": ("kind",),
    "messages[].tool_calls[]": ("id", "type"),
    "messages[].content[]": ("type",),
    "image_url": ("url",),
    "input_audio": ("data", "format"),
    "audio": ("id",),
    "function": ("name",),
    "messages[].tool_calls[].function": ("name", "arguments"),
    "messages[].function_call": ("name", "arguments"),
    "custom": ("name",),
    "messages[].tool_calls[].custom": ("name", "input"),
    "tools[]": ("type",),
    "grammar": ("syntax", "definition"),
    "format": ("type",),
    "functions[]": ("name",),
    "function_call": ("name",),
    "tool_choice": ("type",),
    "allowed_tools": ("mode", "tools"),
    "response_format": ("type",),
    "json_schema": ("name",),
    "prediction": ("type", "content"),
}
"""The fields that an object of that name has to have."""


@pytest.fixture(autouse=True, scope="module")
def small_heap():
    """Leave what earlier tests have made out of the garbage collector's work, which grows with it: a worker is small."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def items_of(request: ApiRequest) -> Iterator[bytes | Pause]:
    return Simulation(request, request.simulator or SimulatorOptions(), Context()).items()


def longest_turn_seconds(body: bytes, monkeypatch: pytest.MonkeyPatch) -> float:
    """The CPU time of the longest turn of the event loop that a request takes, up to its 500th item."""
    turns: list[float] = []
    began_at = time.process_time()

    def end_turn() -> None:
        nonlocal began_at
        now = time.process_time()
        turns.append(now - began_at)
        began_at = time.process_time()

    monkeypatch.setattr(deciding, "give_way", end_turn)
    monkeypatch.setattr(texts, "give_way", end_turn)
    monkeypatch.setattr(tool_calls, "give_way", end_turn)
    monkeypatch.setattr(openai_logprobs, "give_way", end_turn)
    monkeypatch.setattr(heavy_work_module, "give_way", end_turn)
    with suppress(ApiError, CutError, PlainAnswer):
        check_size(body)
        type_ = CompletionRequest if b'"prompt":' in body else ChatRequest
        for number, item in enumerate(islice(items_of(decode(body, type_)), ITEMS)):
            if isinstance(item, Pause) or number % StreamOptions.channel_size == 0:
                end_turn()
    end_turn()
    return max(turns)


FIELDS = {
    path: (type_, hint)
    for type_ in (ChatRequest, CompletionRequest)
    for path, hint in fields_of(type_)
}


def is_admitted(values: Values) -> bool:
    body = body_with(values)
    try:
        check_size(body)
        decode(body, CompletionRequest if "prompt" in values else ChatRequest)
    except ApiError:
        return False
    return len(body) <= MAX_BODY_BYTES


MANY = {"n": "128", "stream": "true"}


@pytest.mark.slow
@pytest.mark.parametrize("path", FIELDS)
def test_the_most_of_each_field_takes_the_loop_for_a_few_milliseconds(path, monkeypatch):
    took = {}
    for value in set(largest_values(FIELDS[path][1])):
        took[value[:80]] = longest_turn_seconds(body_with({path: value}), monkeypatch)
        if path not in MANY and is_admitted({path: value}):
            seconds = longest_turn_seconds(body_with({path: value, **MANY}), monkeypatch)
            took[value[:80] + " 128 times"] = seconds
    slowest = max(took, key=lambda value: took[value])
    assert took[slowest] < SLOWER_MACHINE * LIMIT_SECONDS, f"{slowest}: {took[slowest]} s"


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize(
    "values",
    [
        {"logprobs": "true", "top_logprobs": "20", "simulator.tokens": "2380"},
        {"logprobs": "true", "simulator.tokens": "49999"},
        {"prompt": f'"{"." * 8000}"', "echo": "true", "logprobs": "5"},
        {"prompt": f'"{"." * 90_000}"', "echo": "true"},
        {"prompt": f'"{"." * 780}"', "echo": "true", "n": "128"},
        {"tools": f"[{TOOL % SCHEMAS['long lists']}]", "n": "128"},
        {"tools": f"[{TOOL % SCHEMAS['a long enum']}]", "n": "128"},
        {"tools": array(TOOL % '{"type":"object","properties":{}}', 128), "n": "128"},
    ],
    ids=[
        "many alternatives",
        "many tokens",
        "a long prompt and its log probabilities",
        "a long prompt",
        "many prompts",
        "a tool of long lists",
        "a tool of a long enum",
        "many tools",
    ],
)
def test_what_comes_beside_the_text_takes_the_loop_for_a_few_milliseconds(
    values, stream, monkeypatch
):
    took = longest_turn_seconds(body_with({**values, "stream": stream}), monkeypatch)
    assert took < SLOWER_MACHINE * LIMIT_SECONDS


def admitted_values() -> list[tuple[str, str]]:
    return [
        (path, value)
        for path, (_, hint) in FIELDS.items()
        for value in sorted(set(largest_values(hint)))
        if is_admitted({path: value})
    ]


@pytest.mark.slow
def test_two_fields_together_take_the_loop_for_a_few_milliseconds(monkeypatch):
    admitted = admitted_values()
    pairs = [
        {path: value, other: more}
        for path, value in admitted
        for other, more in admitted
        if path < other and not other.startswith(path) and len(value) + len(more) < ROOM
    ]
    chance = random.Random(0)
    for pair in chance.sample(pairs, 100):
        values = {"n": "128", "stream": chance.choice(["true", "false"])} | pair
        took = longest_turn_seconds(body_with(values), monkeypatch)
        shown = {path: value[:80] for path, value in values.items()}
        assert took < SLOWER_MACHINE * LIMIT_SECONDS, f"{shown}: {took} s"


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize(
    "values",
    [
        {"messages[].content": f'"{"why " * (ROOM // 4)}"', "n": "128"},
        {"prompt": array('"why"', 500), "simulator.text": f'"{LINE_ENDS}"'},
        {"simulator.text": f'"{LINE_ENDS}"', "n": "2"},
        {"simulator.tool_call.arguments": f'"{"!" * 100_000}"', "n": "10"},
        {"simulator.tool_call.arguments": '{"a":' + array("{}", 30_000) + "}"},
    ],
    ids=["a long question", "500 long texts", "two long texts", "ten calls", "an object"],
)
def test_a_request_takes_little_more_memory_than_its_body_may_have(values, stream, monkeypatch):
    body = body_with({**values, "stream": stream})
    tracemalloc.start()
    try:
        longest_turn_seconds(body, monkeypatch)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 8 * MAX_BODY_BYTES


def test_an_answer_that_is_too_long_is_refused_and_says_what_is_taken():
    body = body_with({"prompt": array('"why"', 500), "simulator.text": f'"{LINE_ENDS}"'})
    with pytest.raises(
        ApiError, match="more than 500, or come to more than 100000 tokens or 1000000"
    ):
        list(items_of(decode(body, CompletionRequest)))
