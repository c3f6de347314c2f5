"""What the simulator says of responses is as the published OpenAPI document of OpenAI says."""

import json

import pytest

from tests.sdks.document import validate
from tests.support.stream import ask, get, post

PATH = "/v1/responses"
QUICK = {"itl_ms": 0, "tokens": 6}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
ASKED = {
    "a question": {},
    "messages": {
        "input": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "https://a.b/c.png", "detail": "auto"},
                ],
            },
        ]
    },
    "a tool": {"tools": [WEATHER]},
    "a custom tool": {
        "tools": [{"type": "custom", "name": "run"}],
        "tool_choice": {"type": "custom", "name": "run"},
    },
    "a summary": {"model": "o3", "reasoning": {"effort": "low", "summary": "auto"}},
    "hidden reasoning": {
        "model": "o3",
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
    },
    "raw reasoning": {"simulator": {**QUICK, "reasoning": "Let me think."}},
    "a refusal": {"simulator": {**QUICK, "refusal": "No."}},
    "log probabilities": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "an incomplete answer": {"max_output_tokens": 16, "simulator": {"itl_ms": 0, "tokens": 20}},
    "a failure": {"simulator": {**QUICK, "fault": {"kind": "error_event", "event": "failed"}}},
    "an error": {"simulator": {**QUICK, "fault": {"kind": "error_event"}}},
    "the background": {"background": True},
    "a form": {
        "text": {
            "format": {
                "type": "json_schema",
                "name": "person",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            }
        }
    },
}


def body_of(fields, **more):
    return {"model": "gpt-4o", "input": "Why?", "simulator": QUICK, **fields, **more}


NULLABLE = ("description", "prompt_cache_key", "safety_identifier", "usage", "user")
"""Null in the document's own examples, and in the real API's answers, where the document's schema has no null."""


def as_described(value):
    """The response, or the event with a response in it, without the nulls that the document has in its examples alone."""
    if not isinstance(value, dict):
        return value
    return {
        name: as_described(each) if name in ("response", "text", "format") else each
        for name, each in value.items()
        if each is not None or name not in NULLABLE
    }


def is_whole(name):
    return name not in ("an error", "a failure")


@pytest.mark.parametrize("name", ASKED)
def test_each_event_of_a_response_is_as_the_document_says(sluice, name):
    response, body = ask(sluice, post(PATH, body_of(ASKED[name], stream=True)))
    assert response.status == 200, body
    events = [
        json.loads(block.partition(b"\ndata: ")[2])
        for block in body.split(b"\n\n")
        if block.startswith(b"event: ")
    ]
    assert (events[-1]["type"] == "error") == (name == "an error")
    for event in events:
        validate("ResponseStreamEvent", as_described(event))


@pytest.mark.parametrize("name", [*filter(is_whole, ASKED)])
def test_a_whole_response_and_its_input_are_as_the_document_says(sluice, name):
    made = json.loads(ask(sluice, post(PATH, body_of(ASKED[name])))[1])
    validate("Response", as_described(made))
    found = json.loads(ask(sluice, get(f"{PATH}/{made['id']}"))[1])
    validate("Response", as_described(found))
    listed = json.loads(ask(sluice, get(f"{PATH}/{made['id']}/input_items"))[1])
    validate("ResponseItemList", listed)
