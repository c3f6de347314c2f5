"""What the simulator says of chat completions and completions is as the published OpenAPI document of OpenAI says."""

import json
from typing import Any

import pytest

from tests.sdks.document import validate
from tests.support.server import Server
from tests.support.stream import ask, chat, get, post

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
QUICK = {"itl_ms": 0, "ttft_ms": 0}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}
CHATS: dict[str, dict[str, Any]] = {
    "a plain question": {},
    "two choices": {"n": 2},
    "few tokens": {"max_completion_tokens": 3},
    "log probabilities": {"logprobs": True, "top_logprobs": 2},
    "a tool": {"tools": [WEATHER]},
    "a tool that must be called": {"tools": [WEATHER], "tool_choice": "required"},
    "a tool that must not be called": {"tools": [WEATHER], "tool_choice": "none"},
    "a form": {"response_format": PERSON},
    "any JSON": {
        "messages": [{"role": "user", "content": "Give me JSON."}],
        "response_format": {"type": "json_object"},
    },
    "a seed and a stop": {"seed": 7, "stop": ["Rome"], "temperature": 0.5},
    "reasoning": {"model": "o4-mini", "reasoning_effort": "high"},
}
TEXTS: dict[str, dict[str, Any]] = {
    "a plain prompt": {},
    "two choices": {"n": 2},
    "two prompts": {"prompt": ["Once upon a time", "Why?"]},
    "an echo": {"echo": True, "max_tokens": 4},
    "log probabilities": {"logprobs": 2},
}


def whole(server: Server, path: str, body: dict[str, Any], status: int = 200) -> Any:
    response, answer = ask(server, post(path, body))
    assert response.status == status, answer
    return json.loads(answer)


def events(server: Server, path: str, body: dict[str, Any]) -> list[Any]:
    response, answer = ask(server, post(path, body))
    assert response.status == 200, answer
    *chunks, done, end = answer.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    return [json.loads(chunk.removeprefix(b"data: ")) for chunk in chunks]


@pytest.mark.parametrize("fields", CHATS.values(), ids=CHATS.keys())
def test_a_whole_chat_completion_is_as_the_document_says(sluice, fields):
    body = {**chat("What is the weather in Paris?", stream=False, simulator=QUICK), **fields}
    validate("CreateChatCompletionRequest", body)
    validate("CreateChatCompletionResponse", whole(sluice, CHAT, body))


@pytest.mark.parametrize("fields", CHATS.values(), ids=CHATS.keys())
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_each_chunk_of_a_chat_completion_is_as_the_document_says(sluice, fields, options):
    body = {**chat("What is the weather in Paris?", simulator=QUICK), **fields, **options}
    chunks = events(sluice, CHAT, body)
    assert len(chunks) > 2
    for chunk in chunks:
        validate("CreateChatCompletionStreamResponse", chunk)


@pytest.mark.parametrize("fields", TEXTS.values(), ids=TEXTS.keys())
def test_a_whole_completion_is_as_the_document_says(sluice, fields):
    body = {"model": "test", "prompt": "Once upon a time", "simulator": QUICK, **fields}
    validate("CreateCompletionResponse", whole(sluice, COMPLETIONS, body))


@pytest.mark.parametrize("fields", TEXTS.values(), ids=TEXTS.keys())
def test_each_chunk_of_a_completion_is_as_the_document_says(sluice, fields):
    body = {"model": "test", "prompt": "Why?", "stream": True, "simulator": QUICK, **fields}
    chunks = events(sluice, COMPLETIONS, body)
    assert len(chunks) > 2
    for chunk in chunks:
        validate("CreateCompletionResponse", chunk)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, {}, 400),
        (CHAT, {"model": "test", "messages": [], "temperature": "hot"}, 400),
        (CHAT, chat(temperature=3), 400),
        (COMPLETIONS, {"model": "test", "prompt": {}}, 400),
        (CHAT, chat(simulator={"fault": {"kind": "status", "status": 503}}), 503),
        ("/v1/unknown", {}, 404),
    ],
)
def test_an_error_is_as_the_document_says(sluice, path, body, status):
    response, answer = ask(sluice, post(path, body))
    assert response.status == status, answer
    validate("ErrorResponse", json.loads(answer))


def test_the_list_of_models_is_as_the_document_says(sluice):
    _, answer = ask(sluice, get("/v1/models"))
    validate("ListModelsResponse", json.loads(answer))


@pytest.mark.parametrize(
    ("kind", "vendor", "value"),
    [
        ("CreateChatCompletionStreamResponse", "openai", {"id": "1", "choices": []}),
        ("ErrorResponse", "openai", {"error": {"message": "no code"}}),
        ("ResponseStreamEvent", "openai", {"type": "response.output_text.delta"}),
        ("ResponseStreamEvent", "openai", {"type": "response.unknown", "sequence_number": 1}),
        ("Message", "anthropic", {"id": "msg_1", "type": "message"}),
        ("MessageStreamEvent", "anthropic", {"type": "content_block_stop"}),
    ],
)
def test_what_is_not_as_the_document_says_is_told(kind, vendor, value):
    with pytest.raises(AssertionError, match=r"required|not valid under"):
        validate(kind, value, vendor=vendor)


def test_a_kind_that_the_copy_of_the_document_lacks_is_told():
    with pytest.raises(AssertionError, match="must name CreateImageRequest as wanted"):
        validate("CreateImageRequest", {})
