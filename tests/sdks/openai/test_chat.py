"""OpenAI's Python SDK finds in the simulator's chat completions what it finds in OpenAI's."""

import asyncio
import json
from typing import Any, Literal

import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion

QUESTION: Any = [{"role": "user", "content": "What is the weather in Köln?"}]
TEXT = "It is sunny. Größe 🌊"


def asking(**fields: Any) -> dict[str, Any]:
    """The arguments of a request that is answered without pauses."""
    simulator = {"itl_ms": 0, "text": TEXT, **fields.pop("simulator", {})}
    return {"model": "any", "messages": QUESTION, "extra_body": {"simulator": simulator}, **fields}


def asking_freely(**fields: Any) -> dict[str, Any]:
    """The same, where the simulator chooses what to answer."""
    return {**asking(**fields), "extra_body": {"simulator": {"itl_ms": 0}}}


class Weather(pydantic.BaseModel):
    """What the weather is like."""

    city: str
    kind: Literal["sun", "rain"]
    degrees: int
    days: list[str]


class GetWeather(pydantic.BaseModel):
    """Tells the weather."""

    city: str
    unit: Literal["C", "F"]


WEATHER_TOOL = openai.pydantic_function_tool(GetWeather, name="get_weather")


class TestCreate:
    def test_returns_the_whole_answer(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(**asking(n=2))
        assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + (
            answer.usage.completion_tokens
        )
        assert answer.system_fingerprint

    def test_yields_the_chunks_of_a_stream(self, client: OpenAI) -> None:
        stream = client.chat.completions.create(
            **asking(stream=True, stream_options={"include_usage": True})
        )
        *chunks, last = stream
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == TEXT
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert last.choices == []
        assert last.usage is not None
        assert all(chunk.usage is None for chunk in chunks)

    def test_tells_log_probabilities(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(**asking(logprobs=True, top_logprobs=3))
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.content is not None
        assert "".join(each.token for each in logprobs.content) == TEXT
        assert all(len(each.top_logprobs) == 3 for each in logprobs.content)

    def test_tells_tokens_of_reasoning(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(**asking(model="gpt-5", reasoning_effort="low"))
        assert answer.usage is not None
        assert answer.usage.completion_tokens_details is not None
        assert answer.usage.completion_tokens_details.reasoning_tokens == 64

    def test_works_with_asyncio(self, openai_url: str) -> None:
        async def ask() -> tuple[str | None, str]:
            async with AsyncOpenAI(base_url=openai_url, api_key="any") as client:
                whole = await client.chat.completions.create(**asking())
                stream = await client.chat.completions.create(**asking(stream=True))
                pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
                return whole.choices[0].message.content, "".join(pieces)

        assert asyncio.run(ask()) == (TEXT, TEXT)

    def test_calls_the_deprecated_functions(self, client: OpenAI) -> None:
        functions: Any = [WEATHER_TOOL["function"]]
        answer = client.chat.completions.create(**asking_freely(functions=functions))
        call = answer.choices[0].message.function_call
        assert answer.choices[0].finish_reason == "function_call"
        assert call is not None
        assert GetWeather.model_validate_json(call.arguments)


class TestRawResponses:
    def test_have_the_headers(self, client: OpenAI) -> None:
        raw = client.chat.completions.with_raw_response.create(**asking())
        assert raw.headers["x-request-id"]
        assert raw.request_id == raw.headers["x-request-id"]
        answer = raw.parse()
        assert isinstance(answer, ChatCompletion)
        assert answer.choices[0].message.content == TEXT

    def test_can_be_read_as_they_come(self, client: OpenAI) -> None:
        with client.chat.completions.with_streaming_response.create(**asking(stream=True)) as raw:
            assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
            lines = [line for line in raw.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"


class TestStreamHelper:
    def test_tells_the_text_as_events(self, client: OpenAI) -> None:
        with client.chat.completions.stream(**asking(logprobs=True)) as stream:
            events = list(stream)
            final = stream.get_final_completion()
        kinds = [event.type for event in events]
        assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= {*kinds}
        deltas = [event.delta for event in events if event.type == "content.delta"]
        assert "".join(deltas) == TEXT
        assert final.choices[0].message.content == TEXT

    def test_tells_the_calls_of_tools_as_events(self, client: OpenAI) -> None:
        with client.chat.completions.stream(**asking_freely(tools=[WEATHER_TOOL])) as stream:
            events = list(stream)
            (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
        (done,) = (e for e in events if e.type == "tool_calls.function.arguments.done")
        assert done.name == "get_weather"
        assert isinstance(done.parsed_arguments, GetWeather)
        assert json.loads(call.function.arguments) == json.loads(done.arguments)

    def test_tells_a_refusal_as_events(self, client: OpenAI) -> None:
        with client.chat.completions.stream(**asking(simulator={"refusal": "No."})) as stream:
            events = [event.type for event in stream]
            assert stream.get_final_completion().choices[0].message.refusal == "No."
        assert {"refusal.delta", "refusal.done"} <= {*events}

    def test_parses_the_form_that_is_asked_for(self, client: OpenAI) -> None:
        with client.chat.completions.stream(**asking_freely(response_format=Weather)) as stream:
            final = stream.get_final_completion()
        assert isinstance(final.choices[0].message.parsed, Weather)

    def test_works_with_asyncio(self, openai_url: str) -> None:
        async def ask() -> str | None:
            async with AsyncOpenAI(base_url=openai_url, api_key="any") as client:
                manager = client.chat.completions.stream(**asking())
                async with manager as stream:
                    return (await stream.get_final_completion()).choices[0].message.content

        assert asyncio.run(ask()) == TEXT


class TestParse:
    def test_returns_an_object_of_the_class(self, client: OpenAI) -> None:
        answer = client.chat.completions.parse(**asking_freely(response_format=Weather))
        assert isinstance(answer.choices[0].message.parsed, Weather)

    def test_takes_a_pydantic_dataclass(self, client: OpenAI) -> None:
        @pydantic.dataclasses.dataclass
        class Place:
            name: str
            people: int

        answer = client.chat.completions.parse(**asking_freely(response_format=Place))
        assert isinstance(answer.choices[0].message.parsed, Place)

    def test_returns_the_arguments_of_a_call_as_an_object(self, client: OpenAI) -> None:
        answer = client.chat.completions.parse(**asking_freely(tools=[WEATHER_TOOL]))
        (call,) = answer.choices[0].message.tool_calls or []
        assert isinstance(call.function.parsed_arguments, GetWeather)

    def test_leaves_a_refusal_unparsed(self, client: OpenAI) -> None:
        fields = asking(simulator={"refusal": "No."}, response_format=Weather)
        message = client.chat.completions.parse(**fields).choices[0].message
        assert (message.refusal, message.parsed) == ("No.", None)

    def test_raises_for_an_answer_that_its_limit_has_cut(self, client: OpenAI) -> None:
        with pytest.raises(openai.LengthFinishReasonError):
            client.chat.completions.parse(**asking_freely(response_format=Weather, max_tokens=2))

    def test_raises_for_an_answer_that_was_filtered(self, client: OpenAI) -> None:
        fields = asking(simulator={"finish_reason": "content_filter"}, response_format=Weather)
        with pytest.raises(openai.ContentFilterFinishReasonError):
            client.chat.completions.parse(**fields)


def test_a_loop_that_runs_tools_ends_with_an_answer(client: OpenAI) -> None:
    messages = [*QUESTION]
    for _ in range(3):
        fields = {**asking_freely(tools=[WEATHER_TOOL]), "messages": messages}
        message = client.chat.completions.create(**fields).choices[0].message
        if not message.tool_calls:
            break
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "17 °C and sunny"}
            for call in message.tool_calls
        ]
    assert len(messages) == 3
    assert "17 °C and sunny" in (message.content or "")


def test_custom_tools_are_called(client: OpenAI) -> None:
    tools: Any = [{"type": "custom", "custom": {"name": "run_code"}}]
    answer = client.chat.completions.create(**asking_freely(tools=tools))
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "custom"
    assert call.custom.input


class TestErrors:
    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({"temperature": "hot"}, "invalid_request", "temperature"),
            ({"temperature": 3}, "decimal_above_max_value", "temperature"),
            ({"messages": []}, "empty_array", "messages"),
            (
                {"messages": [{"role": "bogus", "content": "hi"}]},
                "invalid_value",
                "messages[0].role",
            ),
            ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
            ({"model": "gpt-4", "max_tokens": 9000}, "context_length_exceeded", "messages"),
            ({"model": "o1", "max_tokens": 5}, "unsupported_parameter", "max_tokens"),
        ],
    )
    def test_of_a_bad_request_name_the_field(
        self, client: OpenAI, fields: Any, code: str, param: str
    ) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**asking(**fields))
        error = caught.value
        assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
        assert isinstance(error.body, dict)
        assert error.body["message"]

    def test_of_a_stream_come_before_its_first_chunk(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="is only allowed when 'logprobs'"):
            client.chat.completions.create(**asking(stream=True, top_logprobs=2))

    def test_of_a_rate_limit_are_tried_again(self, openai_url: str) -> None:
        fault = {"kind": "status", "status": 429, "retry_after": 0}
        with (
            OpenAI(base_url=openai_url, api_key="any", max_retries=2) as client,
            pytest.raises(openai.RateLimitError) as caught,
        ):
            client.chat.completions.create(**asking(simulator={"fault": fault}))
        assert caught.value.response.headers["retry-after"] == "0"
        assert caught.value.response.request.headers["x-stainless-retry-count"] == "2"

    def test_of_a_server_are_raised_by_their_status(self, client: OpenAI) -> None:
        fault = {"kind": "status", "status": 503}
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**asking(simulator={"fault": fault}))

    def test_of_a_path_that_is_not_there_are_raised(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve("chatcmpl-absent")

    def test_in_mid_stream_are_raised(self, client: OpenAI) -> None:
        fields = asking(stream=True, simulator={"fault": {"kind": "error_event"}})
        with pytest.raises(openai.APIError, match="a failure was asked for"):
            list(client.chat.completions.create(**fields))

    def test_of_a_server_that_is_silent_are_raised_in_time(self, client: OpenAI) -> None:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**asking(simulator={"ttft_ms": 60_000}), timeout=0.2)


class TestCompletions:
    def test_are_whole_or_streamed(self, client: OpenAI) -> None:
        simulator = {"simulator": {"itl_ms": 0, "text": TEXT}}
        fields: Any = {"model": "any", "prompt": "Say:", "extra_body": simulator}
        whole = client.completions.create(**fields, echo=True, logprobs=2)
        assert whole.choices[0].text == f"Say:{TEXT}"
        assert whole.choices[0].logprobs is not None
        assert "".join(whole.choices[0].logprobs.tokens or []) == f"Say:{TEXT}"
        stream = client.completions.create(**fields, stream=True)
        assert "".join(chunk.choices[0].text for chunk in stream) == TEXT

    def test_can_be_the_best_of_several(self, client: OpenAI) -> None:
        fields: Any = {"model": "any", "prompt": ["a", "b"], "n": 2, "best_of": 3}
        answer = client.completions.create(**fields, extra_body={"simulator": {"itl_ms": 0}})
        assert len(answer.choices) == 4
