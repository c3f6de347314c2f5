"""Anthropic's client for Python against the simulator."""

import asyncio
import time
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import beta_tool
from pydantic import BaseModel

from tests.support.messages import RESULT, TEXT, WEATHER

ASKED: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "What is the weather in “Paris”?"}],
}


def with_options(**options: object) -> dict[str, Any]:
    return {**ASKED, "extra_body": {"simulator": {"itl_ms": 0, **options}}}


def with_fault(kind: str, **fault: object) -> dict[str, Any]:
    return with_options(text=TEXT, fault={"kind": kind, **fault})


def test_a_message_is_read_whole(claude):
    message = claude.messages.create(**with_options(text=TEXT))
    assert message.content[0].text == TEXT
    assert message.stop_reason == "end_turn"
    assert message._request_id.startswith("req_")


def test_a_stream_of_events_is_read(claude):
    with claude.messages.create(**with_options(text=TEXT), stream=True) as stream:
        types = [event.type for event in stream]
    assert types[:2] == ["message_start", "content_block_start"]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_the_helper_puts_a_stream_together(claude):
    with claude.messages.stream(**with_options(text=TEXT)) as stream:
        assert "".join(stream.text_stream) == TEXT
        final = stream.get_final_message()
    assert (final.content[0].text, final.stop_reason) == (TEXT, "end_turn")
    assert final.usage.output_tokens == 6


def test_the_helper_tells_thinking_and_calls_as_they_come(claude):
    given = {**with_options(), "thinking": {"type": "adaptive"}, "tools": [WEATHER]}
    with claude.messages.stream(**given) as stream:
        types = {event.type for event in stream}
        thinking, call = stream.get_final_message().content
    assert types >= {"thinking", "signature", "input_json", "content_block_stop", "message_stop"}
    assert thinking.signature
    assert isinstance(call.input["city"], str)


def test_the_client_for_asyncio_reads_the_same(sluice):
    async def read() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=sluice.url, api_key="none") as client:
            message = await client.messages.create(**with_options(text=TEXT))
            async with client.messages.stream(**with_options(text=TEXT)) as stream:
                return message.content[0].text, await stream.get_final_text()

    assert asyncio.run(read()) == (TEXT, TEXT)


def test_a_loop_of_tools_ends(claude):
    messages = list(ASKED["messages"])
    for _ in range(5):
        given = {**with_options(), "messages": messages, "tools": [WEATHER]}
        answer = claude.messages.create(**given)
        if answer.stop_reason != "tool_use":
            break
        results = [
            {**RESULT, "tool_use_id": block.id}
            for block in answer.content
            if block.type == "tool_use"
        ]
        messages += [
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ]
    assert len(messages) == 3
    assert "21 °C" in answer.content[0].text


@pytest.mark.parametrize("stream", [False, True])
def test_the_tool_runner_runs_a_tool_and_ends(claude, stream):
    cities = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Return the weather of a city.

        Args:
            city: its name
        """
        cities.append(city)
        return "21 °C"

    given = {**with_options(), "tools": [get_weather], "stream": stream}
    final = claude.beta.messages.tool_runner(**given).until_done()
    assert len(cities) == 1
    assert "21 °C" in final.content[0].text


class City(BaseModel):
    name: str
    people: int
    districts: list[str]


def test_an_answer_is_parsed_as_its_schema_says(claude):
    parsed = claude.messages.parse(**with_options(), output_format=City).parsed_output
    assert isinstance(parsed, City)
    with claude.messages.stream(**with_options(), output_format=City) as stream:
        assert stream.get_final_message().parsed_output == parsed


def test_tokens_are_counted_as_they_are_used(claude):
    asked = {name: ASKED[name] for name in ("model", "messages")}
    counted = claude.messages.count_tokens(**asked, system="Be short.", tools=[WEATHER])
    used = claude.messages.create(**with_options(), system="Be short.", tools=[WEATHER]).usage
    assert counted.input_tokens == used.input_tokens > 0


def test_the_models_are_listed(claude):
    (model,) = claude.models.list()
    assert claude.models.retrieve(model.id).display_name == model.id


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
def test_a_status_raises_its_class_of_error(claude, status, error):
    with pytest.raises(error) as raised:
        claude.messages.create(**with_fault("status", status=status))
    assert raised.value.status_code == status
    assert raised.value.request_id.startswith("req_")
    assert raised.value.type == raised.value.body["error"]["type"]


def test_the_client_asks_again_when_it_is_told(sluice):
    times = []

    def note(request: object) -> None:
        times.append(time.monotonic())

    http = anthropic.DefaultHttpxClient(event_hooks={"request": [note]})
    given = with_fault("status", status=529, retry_after=1)
    with (
        anthropic.Anthropic(
            base_url=sluice.url, api_key="none", max_retries=1, http_client=http
        ) as client,
        pytest.raises(anthropic.OverloadedError),
    ):
        client.messages.create(**given)
    assert len(times) == 2
    assert 0.95 <= times[1] - times[0] < 2


def test_a_failure_in_mid_stream_is_raised_with_its_type(claude):
    texts = []
    with (
        pytest.raises(anthropic.APIStatusError) as raised,
        claude.messages.stream(**with_fault("error_event")) as stream,
    ):
        texts.extend(stream.text_stream)
    assert texts == ["One", " two", " three"]
    assert raised.value.type == "overloaded_error"


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_cut_stream_is_noticed(claude, kind):
    with (
        pytest.raises((anthropic.APIConnectionError, httpx2.TransportError)),
        claude.messages.stream(**with_fault(kind)) as stream,
    ):
        stream.get_final_message()


def test_a_split_character_and_a_ping_do_no_harm(claude):
    for kind in ("split_utf8", "heartbeat"):
        given = with_options(text="Größe 🌊", fault={"kind": kind, "after": 0})
        with claude.messages.stream(**given) as stream:
            assert stream.get_final_text() == "Größe 🌊"


def test_a_refusal_is_told_as_the_reason_of_the_end(claude):
    with claude.messages.stream(**with_options(refusal="No.")) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_details.type) == ("refusal", "refusal")


def test_a_wrong_request_says_what_is_wrong(claude):
    with pytest.raises(anthropic.BadRequestError) as raised:
        claude.messages.create(**{**ASKED, "messages": []})
    assert raised.value.type == "invalid_request_error"
    assert "at least one message is required" in str(raised.value)
