"""Anthropic's Messages as the simulator writes and checks them."""

import json
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from flask_sluice.gateway.simulator.apis.messages.request import CountRequest, MessagesRequest
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from tests.support.messages import (
    CALL,
    MARK,
    RESULT,
    TEXT,
    WEATHER,
    assistant,
    body,
    events,
    items,
    message,
    user,
)


def types(data: list[dict[str, Any]]) -> list[str]:
    """The types of events, those in a row once."""
    return [
        each["type"]
        for place, each in enumerate(data)
        if place == 0 or data[place - 1]["type"] != each["type"]
    ]


def joined(data: list[dict[str, Any]], kind: str, field: str) -> str:
    deltas = [each["delta"] for each in data if each["type"] == "content_block_delta"]
    return "".join(delta[field] for delta in deltas if delta["type"] == kind)


def test_a_stream_has_its_events_in_anthropics_order():
    assert types(events(simulator={"text": TEXT})) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_the_first_events_come_before_the_time_to_the_first_token():
    before = []
    for item in items(body(stream=True, simulator={"ttft_ms": 1000, "text": TEXT})):
        if isinstance(item, Pause):
            break
        before.append(item)
    assert [each.split(b"\n")[0] for each in before] == [
        b"event: message_start",
        b"event: content_block_start",
        b"event: ping",
    ]


def test_a_stream_says_the_same_as_a_whole_message():
    data = events(simulator={"text": TEXT, "reasoning": "Let me see."})
    whole = message(simulator={"text": TEXT, "reasoning": "Let me see."})
    thinking, text = whole["content"]
    assert joined(data, "thinking_delta", "thinking") == thinking["thinking"] == "Let me see."
    assert joined(data, "signature_delta", "signature") == thinking["signature"] != ""
    assert joined(data, "text_delta", "text") == text["text"] == TEXT
    delta = next(each for each in data if each["type"] == "message_delta")
    for name in ("stop_reason", "stop_sequence", "stop_details"):
        assert delta["delta"][name] == whole[name]
    assert delta["usage"].items() <= whole["usage"].items()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "end_turn"),
        ({"max_tokens": 3}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [WEATHER]}, "tool_use"),
        ({"simulator": {"refusal": "No."}}, "refusal"),
        ({"simulator": {"finish_reason": "content_filter"}}, "refusal"),
    ],
)
def test_each_end_of_a_message_has_its_reason(fields, reason):
    assert message(**fields)["stop_reason"] == reason
    delta = events(**fields)[-2]
    assert (delta["type"], delta["delta"]["stop_reason"]) == ("message_delta", reason)


def test_a_stop_sequence_ends_the_text_before_it_and_is_named():
    whole = message(stop_sequences=["xyz", " four"], simulator={"text": TEXT})
    assert whole["content"][0]["text"] == "One two three"
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", " four")


def test_a_call_of_a_tool_comes_as_pieces_of_json():
    data = events(tools=[WEATHER], tool_choice={"type": "any"})
    start = next(each for each in data if each["type"] == "content_block_start")
    assert start["content_block"].items() >= {"type": "tool_use", "input": {}}.items()
    assert start["content_block"]["name"] == "get_weather"
    arguments = joined(data, "input_json_delta", "partial_json")
    assert isinstance(json.loads(arguments)["city"], str)


def test_thinking_comes_before_a_call_of_a_tool():
    content = message(tools=[WEATHER], thinking={"type": "adaptive"})["content"]
    assert [block["type"] for block in content] == ["thinking", "tool_use"]


def test_thinking_that_is_omitted_has_its_signature_only():
    thinking = {"type": "adaptive", "display": "omitted"}
    data = events(thinking=thinking)
    assert joined(data, "thinking_delta", "thinking") == ""
    assert joined(data, "signature_delta", "signature")
    block = message(thinking=thinking)["content"][0]
    assert (block["thinking"], bool(block["signature"])) == ("", True)


def test_a_loop_of_tools_ends_after_the_result():
    messages = [user("Weather?"), assistant([CALL]), user([RESULT])]
    whole = message(messages=messages, tools=[WEATHER])
    assert whole["stop_reason"] == "end_turn"
    assert "21 °C" in whole["content"][0]["text"]


@pytest.mark.parametrize("choice", ["none", "tool"])
def test_the_choice_of_a_tool_is_obeyed(choice):
    other = {**WEATHER, "name": "get_time"}
    name = {"name": "get_time"} if choice == "tool" else {}
    whole = message(tools=[WEATHER, other], tool_choice={"type": choice, **name})
    called = [block["name"] for block in whole["content"] if block["type"] == "tool_use"]
    assert called == (["get_time"] if choice == "tool" else [])


@pytest.mark.parametrize("type_", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
def test_a_tool_that_the_client_runs_is_called_with_what_it_takes(type_):
    tool = {"type": type_, "name": "theirs"}
    choice = {"type": "tool", "name": "theirs"}
    (call,) = message(tools=[tool], tool_choice=choice)["content"]
    assert "command" in call["input"]


def test_a_tool_that_anthropic_runs_is_accepted_and_not_called():
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert message(tools=[tool])["stop_reason"] == "end_turn"


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_an_answer_follows_the_schema(field):
    format_ = {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"age": {"type": "integer"}},
            "required": ["age"],
            "additionalProperties": False,
        },
    }
    given = {"format": format_} if field == "output_config" else format_
    text = message(**{field: given})["content"][0]["text"]
    assert isinstance(json.loads(text)["age"], int)


def cached(**fields: object) -> tuple[int, int, int]:
    usage = message(**fields)["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return tuple(usage[name] for name in names)  # type: ignore[return-value]


SYSTEM = [{"type": "text", "text": "You are terse. " * 20, "cache_control": MARK}]


def test_a_marked_prefix_is_written_to_the_cache():
    unmarked, _, _ = cached(system="You are terse. " * 20)
    rest, written, read = cached(system=SYSTEM)
    assert (rest + written, read) == (unmarked, 0)
    assert written > rest > 0


def test_a_conversation_that_goes_on_reads_what_its_earlier_request_has_written():
    messages = [user("Why?"), assistant("So."), user("And then?")]
    rest, written, read = cached(system=SYSTEM, messages=messages)
    assert written == 0
    assert read > rest > 0


def test_what_follows_the_earlier_request_is_written_too():
    last = [{"type": "text", "text": "And then? " * 20, "cache_control": MARK}]
    _, written, read = cached(system=SYSTEM, messages=[user("Why?"), assistant("So."), user(last)])
    assert written > 0
    assert read > 0


def test_the_cache_of_an_hour_is_told_apart():
    usage = message(cache_control={"type": "ephemeral", "ttl": "1h"})["usage"]
    written = usage["cache_creation_input_tokens"]
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": written,
    }
    assert written > 0


def test_the_request_may_say_what_is_read_from_the_cache():
    rest, written, read = cached(messages=[user("why " * 50)], simulator={"cached_tokens": 40})
    assert (rest, written, read) == (10 + 1, 0, 40)


def test_the_count_of_tokens_is_that_of_the_usage():
    image = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    fields = {
        "messages": [user([image, {"type": "text", "text": "What is it?"}])],
        "system": "Look.",
        "tools": [WEATHER],
    }
    encoded = msgspec.json.encode(body(**fields))
    count = msgspec.json.decode(encoded, type=CountRequest).count_tokens()
    assert count == message(**fields)["usage"]["input_tokens"] > 1000


NEVER_SENT = {
    *(
        "container",
        "diagnostics",
        "citations",
        "caller",
        "toolset_name",
        "server_tool_use",
        "speed",
    ),
    # Of the first usage: nothing has been thought yet.
    "output_tokens_details",
}


def assert_exact(value: object) -> None:
    """No field is sent that Anthropic's client does not know, and none is left out."""
    if isinstance(value, BaseModel):
        assert not value.model_extra, value
        fields = set(type(value).model_fields)
        assert fields - value.model_fields_set <= NEVER_SENT, value
        for name in fields:
            assert_exact(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            assert_exact(each)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"tools": [WEATHER], "thinking": {"type": "adaptive"}},
        {"simulator": {"refusal": "No."}},
        {"max_tokens": 1, "system": SYSTEM},
    ],
    ids=["text", "thinking", "tool", "refusal", "cut"],
)
def test_each_event_and_message_has_the_fields_that_anthropics_client_knows(fields):
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for data in events(**fields):
        if data["type"] != "ping":
            assert_exact(adapter.validate_python(data))
    assert_exact(TypeAdapter(Message).validate_python(message(**fields)))


def test_no_event_follows_a_stream_that_lacks_its_end():
    names = types(events(simulator={"text": TEXT, "fault": {"kind": "no_done"}}))
    assert names[-1] == "message_delta"
    names = types(events(simulator={"text": TEXT, "fault": {"kind": "truncate"}}))
    assert names[-1] == "content_block_delta"


def test_the_heartbeat_is_a_ping():
    data = events(simulator={"text": TEXT, "fault": {"kind": "heartbeat"}})
    assert [each["type"] for each in data].count("ping") == 2


@pytest.mark.parametrize(
    ("status", "type_"),
    [(None, "overloaded_error"), (500, "api_error"), (429, "rate_limit_error")],
)
def test_a_failure_in_mid_stream_is_anthropics_error_event(status, type_):
    fault = {"kind": "error_event", **({"status": status} if status else {})}
    request = msgspec.json.decode(
        msgspec.json.encode(body(stream=True, simulator={"fault": fault})), type=MessagesRequest
    )
    simulation = Simulation(request, request.simulator or SimulatorOptions(), StreamContext())
    with pytest.raises(ApiError) as raised:
        list(simulation.items())
    event = simulation.error_event(raised.value)
    assert event.startswith(b"event: error\ndata: ")
    error = json.loads(event.split(b"data: ")[1])
    assert error == {"type": "error", "error": {"type": type_, "message": raised.value.message}}
