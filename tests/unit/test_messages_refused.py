"""Which Messages the simulator refuses, and with what text: as Anthropic's API does."""

import json

import pytest

from flask_sluice.gateway.simulator.apis.messages.errors import error_json
from flask_sluice.stream.errors import ApiError
from tests.support.messages import (
    CALL,
    MARK,
    RESULT,
    THOUGHT,
    WEATHER,
    answer,
    assistant,
    body,
    items,
    message,
    refused,
    user,
)


def test_what_the_api_accepts_is_accepted():
    for messages in (
        [user("a"), user("b")],
        [user([]), user("a")],
        [user("a"), assistant([])],
        [user("a"), {"role": "system", "content": "be short"}],
        [user("a"), assistant("b"), assistant("c"), user("d")],
        [user("Weather?"), assistant([CALL]), user([RESULT, {"type": "text", "text": "And?"}])],
    ):
        assert message(messages=messages, tools=[WEATHER])["type"] == "message"


WRONG = {
    "no message": ({"messages": []}, "messages: at least one message is required"),
    "another role": (
        {"messages": [{"role": "tool", "content": "x"}]},
        'messages: Unexpected role "tool". Allowed roles are "user" or "assistant"',
    ),
    "a system prompt as message": (
        {"messages": [{"role": "system", "content": "x"}, user("a")]},
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
        'not "system" as an input message role.',
    ),
    "the assistant first": (
        {"messages": [assistant("x"), user("a")]},
        'messages: first message must use the "user" role',
    ),
    "nothing asked": (
        {"messages": [user("")]},
        "messages.0: user messages must have non-empty content",
    ),
    "nothing answered": (
        {"messages": [user("a"), assistant([]), user("b")]},
        "messages.1: all messages must have non-empty content except for the optional final assistant message",
    ),
    "an empty text": (
        {"messages": [user([{"type": "text", "text": ""}])]},
        "messages: text content blocks must be non-empty",
    ),
    "a text without its text": (
        {"messages": [user([{"type": "text"}])]},
        "messages.0.content.0.text.text: Field required",
    ),
    "OpenAI's image": (
        {"messages": [user([{"type": "image_url", "image_url": {"url": "https://x.test"}}])]},
        "messages.0.content.0: Input tag 'image_url' found using 'type' does not match any of the expected tags: ",
    ),
    "another kind of image": (
        {
            "messages": [
                user(
                    [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/bmp", "data": "aa=="},
                        }
                    ]
                )
            ]
        },
        "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', "
        "'image/gif' or 'image/webp'",
    ),
    "an image that is not base64": (
        {
            "messages": [
                user(
                    [
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": "<svg>",
                            },
                        }
                    ]
                )
            ]
        },
        "messages.0.content.0.image.source.base64: invalid base64 data",
    ),
    "a call without result": (
        {"messages": [user("a"), assistant([CALL]), user("b")]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    ),
    "a result behind a text": (
        {"messages": [user("a"), assistant([CALL]), user([{"type": "text", "text": "b"}, RESULT])]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. ",
    ),
    "a result without call": (
        {"messages": [user([RESULT])]},
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
    ),
    "two results of a call": (
        {"messages": [user("a"), assistant([CALL]), user([RESULT, RESULT])]},
        "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with "
        "id: toolu_1",
    ),
    "two calls with one id": (
        {"messages": [user("a"), assistant([CALL, CALL]), user([RESULT])]},
        "messages.1.content.1: `tool_use` ids must be unique",
    ),
    "a call of the user": (
        {"messages": [user([CALL])]},
        "messages.0.content.0: `tool_use` blocks can only be in `assistant` messages",
    ),
    "calls and no tools": (
        {"messages": [user("a"), assistant([CALL]), user([RESULT])], "tools": []},
        "Requests which include `tool_use` or `tool_result` blocks must define tools.",
    ),
    "a beginning with a space": (
        {"messages": [user("a"), assistant("So ")]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "a beginning for a new model": (
        {"messages": [user("a"), assistant("So")], "model": "claude-opus-5"},
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    "no more than none": ({"max_tokens": -1}, "max_tokens: must be greater than or equal to 0"),
    "more than the model gives": (
        {"max_tokens": 64_001},
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
    ),
    "too hot": ({"temperature": 1.5}, "temperature: range: 0..1"),
    "top_p": ({"top_p": -1}, "top_p: range: 0..1"),
    "a blank stop sequence": (
        {"stop_sequences": ["\n"]},
        "stop_sequences: each stop sequence must contain non-whitespace",
    ),
    "another tier": (
        {"service_tier": "fast"},
        "service_tier: Input should be 'auto' or 'standard_only'",
    ),
    "a small budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 1000}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "a budget of all tokens": (
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        "`max_tokens` must be greater than `thinking.budget_tokens`. ",
    ),
    "no budget": (
        {"thinking": {"type": "enabled"}},
        "thinking.enabled.budget_tokens: Field required",
    ),
    "thinking at another temperature": (
        {"thinking": {"type": "adaptive"}, "temperature": 0.5},
        "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. ",
    ),
    "thinking and a forced tool": (
        {"thinking": {"type": "adaptive"}, "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "lost thinking": (
        {
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "messages": [user("a"), assistant([CALL]), user([RESULT])],
        },
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. ",
    ),
    "OpenAI's tool": (
        {"tools": [{"type": "function", "function": WEATHER}]},
        "tools.0: Input tag 'function' found using 'type' does not match any of the expected tags: ",
    ),
    "a tool without schema": (
        {"tools": [{"name": "x"}]},
        "tools.0.custom.input_schema: Field required",
    ),
    "a schema without type": (
        {"tools": [{"name": "x", "input_schema": {}}]},
        "tools.0.custom.input_schema.type: Field required",
    ),
    "a name with a dot": (
        {"tools": [{**WEATHER, "name": "a.b"}]},
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "a tool twice": ({"tools": [WEATHER, WEATHER]}, "tools: Tool names must be unique."),
    "OpenAI's choice": (
        {"tool_choice": {"type": "function"}},
        "tool_choice: Input tag 'function' found using 'type' does not match any of the expected tags: "
        "'auto', 'any', 'tool', 'none'",
    ),
    "a choice of no tools": (
        {"tools": [], "tool_choice": {"type": "any"}},
        "tool_choice.any may only be specified while providing tools",
    ),
    "the choice of another tool": (
        {"tool_choice": {"type": "tool", "name": "other"}},
        "Tool 'other' not found in provided tools",
    ),
    "an open schema": (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    "five cached prefixes": (
        {"system": [{"type": "text", "text": "x", "cache_control": MARK}] * 5},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "a long prompt": (
        {"messages": [user("why " * 200_001)]},
        "prompt is too long: 200",
    ),
}


@pytest.mark.parametrize(("fields", "text"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_refused_with_anthropics_text(fields, text):
    assert refused(**{"tools": [WEATHER], **fields}).startswith(text)


@pytest.mark.parametrize("field", ["tools", "output_config"])
def test_a_schema_with_a_number_that_cannot_be_read_is_refused(field):
    schema = {"type": "object", "additionalProperties": False, "maxProperties": "digits"}
    tool = {"name": "x", "input_schema": schema}
    form = {"format": {"type": "json_schema", "schema": schema}}
    given = json.dumps(body(**{field: [tool] if field == "tools" else form}))
    with pytest.raises(ApiError, match="out of range") as raised:
        list(answer(given.replace('"digits"', "1" * 5000).encode()))
    assert raised.value.status == 400


def test_a_thread_is_refused_so_that_clients_send_the_whole_conversation():
    given = body(thread={"type": "create"})
    with pytest.raises(ApiError) as raised:
        items(given)
    error = json.loads(error_json(raised.value))["error"]
    assert error["details"] == {"error_code": "thread_unsupported_request"}


def test_the_result_of_thinking_goes_back_with_its_call():
    messages = [user("a"), assistant([THOUGHT, CALL]), user([RESULT])]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert message(messages=messages, tools=[WEATHER], thinking=thinking)["type"] == "message"
