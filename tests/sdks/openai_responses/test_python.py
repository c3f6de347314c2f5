"""OpenAI's Python SDK against the simulator's Responses API."""

import asyncio
import json

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.support.server import Server

MODEL = "gpt-4o"
QUICK = {"itl_ms": 0, "tokens": 8}
LONG = {"itl_ms": 20, "tokens": 500}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
EVENTS = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def server():
    with Server(workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def simulated(**options):
    return {"simulator": {**QUICK, **options}}


def streamed(client, *, options=None, **fields):
    """The events of a new response, each of which is checked against the SDK's types."""
    given = {"model": MODEL, "input": "Why?", **fields}
    extra = simulated(**(options or {}))
    with client.responses.create(**given, stream=True, extra_body=extra) as stream:
        events = list(stream)
    for event in events:
        EVENTS.validate_python(event.to_dict())
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def types_of(events):
    """The types, each run of one told once."""
    types = [event.type.removeprefix("response.") for event in events]
    return [type_ for place, type_ in enumerate(types) if types[place - 1 : place] != [type_]]


def test_a_stream_and_its_whole_say_the_same(client):
    whole = client.responses.create(model=MODEL, input="Why?", extra_body=simulated())
    events = streamed(client)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert whole.usage == events[-1].response.usage


def test_text_comes_in_the_events_of_a_message(client):
    assert types_of(streamed(client)) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.done", "content_part.done", "output_item.done"),
        "completed",
    ]


def test_a_refusal_has_events_of_its_own(client):
    events = streamed(client, options={"refusal": "I would rather not."})
    assert types_of(events)[4:6] == ["refusal.delta", "refusal.done"]
    assert events[-1].response.output[0].content[0].refusal == "I would rather not."


def test_reasoning_is_shown_as_it_is_where_no_summary_is_asked_for(client):
    events = streamed(client, options={"reasoning": "Let me think."})
    assert types_of(events)[2:8] == [
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
    ]
    assert events[-1].response.output[0].content[0].text == "Let me think."


def test_reasoning_is_summed_up_on_demand_and_counted(client):
    reasoning = {"effort": "low", "summary": "auto"}
    events = streamed(client, model="o3", reasoning=reasoning)
    assert types_of(events)[2:8] == [
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
    ]
    response = events[-1].response
    assert response.usage.output_tokens_details.reasoning_tokens == 64
    assert response.output[0].summary[0].text
    hidden = client.responses.create(
        model="o3", input="Why?", reasoning={"effort": "low"}, extra_body=simulated()
    )
    assert (hidden.output[0].type, hidden.output[0].summary) == ("reasoning", [])
    assert hidden.usage.output_tokens_details.reasoning_tokens == 64


def test_a_function_is_called_with_arguments_of_its_schema(client):
    events = streamed(client, tools=[WEATHER])
    assert types_of(events)[2:6] == [
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
    ]
    call = events[-1].response.output[0]
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert set(json.loads(call.arguments)) == {"city"}


def test_a_custom_tool_is_called_with_text(client):
    tool = {"type": "custom", "name": "run"}
    choice = {"type": "custom", "name": "run"}
    events = streamed(client, tools=[tool], tool_choice=choice)
    assert types_of(events)[3:5] == ["custom_tool_call_input.delta", "custom_tool_call_input.done"]
    assert events[-1].response.output[0].type == "custom_tool_call"


def test_log_probabilities_come_with_each_token_and_with_the_whole(client):
    events = streamed(client, include=["message.output_text.logprobs"], top_logprobs=2)
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert all(len(event.logprobs[0].top_logprobs) == 2 for event in deltas)
    logprobs = events[-1].response.output[0].content[0].logprobs
    assert [each.token for each in logprobs] == [event.delta for event in deltas]


def test_an_answer_that_is_cut_by_its_limit_is_incomplete(client):
    events = streamed(client, max_output_tokens=16, options={"tokens": 20})
    assert events[-1].type == "response.incomplete"
    response = events[-1].response
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"
    assert response.usage.output_tokens == 16


def test_an_answer_that_is_filtered_is_incomplete(client):
    events = streamed(client, options={"finish_reason": "content_filter"})
    assert events[-1].response.incomplete_details.reason == "content_filter"


def test_a_response_repeats_its_request(client):
    asked = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "tool_choice": {"type": "function", "name": "get_weather"},
        "tools": [WEATHER, {"type": "web_search", "search_context_size": "low"}],
        "truncation": "auto",
        "prompt_cache_key": "k",
    }
    response = client.responses.create(
        model=MODEL, input="Why?", **asked, extra_body=simulated()
    ).to_dict()
    assert response | asked == response
    Response.model_validate(response)


class City(BaseModel):
    name: str
    inhabitants: int


def test_structured_output_is_parsed(client):
    response = client.responses.parse(
        model=MODEL, input="A city", text_format=City, extra_body=simulated()
    )
    assert isinstance(response.output_parsed, City)


def test_a_call_is_parsed_into_the_tool_s_model(client):
    tool = openai.pydantic_function_tool(City)
    flat = {"type": "function", **tool["function"]}
    response = client.responses.parse(
        model=MODEL, input="A city", tools=[flat], extra_body=simulated()
    )
    assert isinstance(response.output[0].parsed_arguments, City | dict)
    assert set(json.loads(response.output[0].arguments)) == {"name", "inhabitants"}


def test_the_stream_helper_accumulates_text_and_parses_it(client):
    with client.responses.stream(
        model=MODEL, input="A city", text_format=City, extra_body=simulated()
    ) as stream:
        snapshots = [
            event.snapshot for event in stream if event.type == "response.output_text.delta"
        ]
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, City)
    assert snapshots[-1] == final.output_text


def test_a_loop_that_runs_tools_comes_to_an_end(client):
    items = [{"role": "user", "content": "What is the weather in Paris?"}]
    for _ in range(5):
        response = client.responses.create(
            model=MODEL, input=items, tools=[WEATHER], extra_body=simulated()
        )
        items += [item.to_dict() for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            break
        items += [
            {"type": "function_call_output", "call_id": call.call_id, "output": "it rains"}
            for call in calls
        ]
    assert response.output_text.startswith("The tool returned: “it rains”")


def test_a_conversation_goes_on_from_the_response_before(client):
    first = client.responses.create(
        model=MODEL, input="Weather?", tools=[WEATHER], extra_body=simulated()
    )
    result = {
        "type": "function_call_output",
        "call_id": first.output[0].call_id,
        "output": "it rains",
    }
    second = client.responses.create(
        model=MODEL,
        input=[result],
        previous_response_id=first.id,
        tools=[WEATHER],
        extra_body=simulated(),
    )
    assert "The tool" in second.output_text
    assert second.usage.input_tokens > first.usage.input_tokens
    listed = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in listed] == ["message", "function_call", "function_call_output"]
    third = client.responses.create(
        model=MODEL,
        input=[{"type": "item_reference", "id": second.output[0].id}],
        extra_body=simulated(),
    )
    assert third.usage.input_tokens >= second.usage.output_tokens


def test_a_response_is_found_again_until_it_is_deleted(client):
    for events in (streamed(client), None):
        made = (
            client.responses.create(model=MODEL, input="Why?", extra_body=simulated())
            if events is None
            else events[-1].response
        )
        assert client.responses.retrieve(made.id) == made
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError, match="not found"):
            client.responses.retrieve(made.id)


def test_a_response_that_is_not_stored_is_not_found(client):
    made = client.responses.create(model=MODEL, input="Why?", store=False, extra_body=simulated())
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_the_input_is_listed_page_by_page_from_the_newest_on(client):
    items = [{"role": "user", "content": f"{number}"} for number in range(5)]
    made = client.responses.create(model=MODEL, input=items, extra_body=simulated())
    listed = list(client.responses.input_items.list(made.id, limit=2))
    assert [item.content[0].text for item in listed] == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("is_background", [True, False])
def test_a_stream_goes_on_right_after_any_of_its_events(client, is_background):
    events = streamed(client, background=is_background)
    response_id = events[0].response.id
    for after in (None, 0, 4, len(events) - 2, len(events) - 1):
        given = {} if after is None else {"starting_after": after}
        with client.responses.retrieve(response_id, stream=True, **given) as stream:
            rest = list(stream)
        assert rest == events[0 if after is None else after + 1 :]


def test_the_stream_helper_goes_on_where_another_has_stopped(client):
    with client.responses.stream(
        model=MODEL, input="Why?", background=True, extra_body=simulated()
    ) as stream:
        for event in stream:
            if event.sequence_number == 6:
                break
    with client.responses.stream(response_id=event_id(stream), starting_after=6) as stream:
        numbers = [event.sequence_number for event in stream]
        final = stream.get_final_response()
    assert numbers[0] == 7
    assert final.status == "completed"


def event_id(stream):
    return stream._state._ResponseStreamState__current_snapshot.id


def test_a_response_in_the_background_goes_on_without_its_client(client):
    made = client.responses.create(
        model=MODEL, input="Why?", background=True, extra_body=simulated()
    )
    assert made.status == "queued"
    with client.responses.retrieve(made.id, stream=True) as stream:
        events = list(stream)
    assert types_of(events)[:3] == ["created", "queued", "in_progress"]
    done = client.responses.retrieve(made.id)
    assert done.status == "completed"
    assert done == events[-1].response


def test_a_response_in_the_background_can_be_cancelled_more_than_once(client):
    made = client.responses.create(
        model=MODEL, input="Why?", background=True, extra_body={"simulator": LONG}
    )
    assert client.responses.retrieve(made.id).status == "in_progress"
    for _ in range(2):
        assert client.responses.cancel(made.id).status == "cancelled"
    assert client.responses.retrieve(made.id).status == "cancelled"
    with client.responses.retrieve(made.id, stream=True) as stream:
        assert list(stream)[-1].response.status == "cancelled"


def test_a_running_response_can_be_deleted(client):
    made = client.responses.create(
        model=MODEL, input="Why?", background=True, extra_body={"simulator": LONG}
    )
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_what_was_not_in_the_background_or_has_ended_cannot_be_cancelled(client):
    made = client.responses.create(model=MODEL, input="Why?", extra_body=simulated())
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)
    events = streamed(client, background=True)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a completed response"):
        client.responses.cancel(events[0].response.id)


def test_a_client_that_leaves_ends_a_response_of_its_own(client):
    with client.responses.create(
        model=MODEL, input="Why?", stream=True, extra_body={"simulator": LONG}
    ) as stream:
        created = next(iter(stream))
    # The reader follows the response to its end, however late the server has seen the client leave.
    with client.responses.retrieve(created.response.id, stream=True) as stream:
        last = list(stream)[-1]
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    assert client.responses.retrieve(created.response.id).status == "cancelled"


def test_the_input_is_counted_as_a_response_counts_it(client):
    made = client.responses.create(model=MODEL, input="Why is it so?", extra_body=simulated())
    counted = client.responses.input_tokens.count(model=MODEL, input="Why is it so?")
    assert counted.input_tokens == made.usage.input_tokens


def test_the_async_client_streams_and_parses(server):
    async def run():
        url = f"{server.url}/v1"
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            async with client.responses.stream(
                model=MODEL, input="Why?", extra_body=simulated()
            ) as stream:
                async for _ in stream:
                    pass
                final = await stream.get_final_response()
            parsed = await client.responses.parse(
                model=MODEL, input="A city", text_format=City, extra_body=simulated()
            )
            found = await client.responses.retrieve(final.id)
            return final, parsed, found

    final, parsed, found = asyncio.run(run())
    assert found.output_text == final.output_text
    assert isinstance(parsed.output_parsed, City)


def fails(client, *, error=openai.BadRequestError, **fields):
    with pytest.raises(error) as raised:
        client.responses.create(**{"model": MODEL, "input": "Why?", **fields})
    return raised.value.param, raised.value.code, raised.value.message


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value", ">= 16"),
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value", "<= 2"),
        ({"temperature": "hot"}, "temperature", "invalid_request", "a decimal"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value", "<= 20"),
        ({"input": [{"role": "boss", "content": "x"}]}, "input[0].role", "invalid_value", "'boss'"),
        ({"input": [{"type": "x"}]}, "input[0].type", "invalid_value", "'x'"),
        ({"input": 5}, "input", "invalid_request", "a string"),
        ({"tools": [{"type": "x"}]}, "tools[0].type", "invalid_value", "'x'"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "invalid_request", "Missing"),
        (
            {"tool_choice": {"type": "function", "name": "f"}},
            *("tool_choice", "invalid_value", "not found in 'tools'"),
        ),
        ({"include": ["x"]}, "include[0]", "invalid_value", "'x'"),
        ({"reasoning": {"effort": "x"}}, "reasoning.effort", "invalid_value", "'x'"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", None, "Missing"),
        ({"text": {"format": {"type": "json_object"}}}, "input", "invalid_value", "word 'json'"),
        ({"truncation": "x"}, "truncation", "invalid_value", "'x'"),
        ({"stream_options": {}}, "stream_options", "invalid_value", "'stream'"),
        ({"background": True, "store": False}, "background", "invalid_value", "stored"),
        (
            {"previous_response_id": "resp_x"},
            *("previous_response_id", "previous_response_not_found", "'resp_x' not found"),
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            *("input", "invalid_value", "No tool call found for function call output"),
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            *("input", "invalid_value", "No tool output found for function call c"),
        ),
    ],
)
def test_a_request_is_checked_as_the_api_checks_it(client, fields, param, code, message):
    told = fails(client, **fields)
    assert told[0] == param
    assert code is None or told[1] == code
    assert message in told[2]


def test_a_request_without_input_is_refused(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.responses.create(model=MODEL)
    assert raised.value.param == "input"


def test_what_refers_to_something_unknown_is_not_found(client):
    assert fails(client, error=openai.NotFoundError, conversation="conv_1")[0] == "conversation"
    reference = [{"type": "item_reference", "id": "msg_x"}]
    assert fails(client, error=openai.NotFoundError, input=reference)[0] == "input"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_x")
    with pytest.raises(openai.BadRequestError, match="begins with 'resp'"):
        client.responses.retrieve("x")


def test_a_failure_in_mid_stream_is_raised_by_the_sdk_and_kept_as_failed(client):
    fault = {"fault": {"kind": "error_event", "after": 2}}
    seen = []
    with (
        pytest.raises(openai.APIError, match="a failure was asked for"),
        client.responses.create(
            model=MODEL, input="Why?", stream=True, extra_body=simulated(**fault)
        ) as stream,
    ):
        seen.extend(stream)
    failed = client.responses.retrieve(seen[0].response.id)
    assert (failed.status, failed.error.code) == ("failed", "server_error")


def test_a_failure_can_be_told_as_the_end_of_the_response(client):
    fault = {"fault": {"kind": "error_event", "event": "failed"}}
    events = streamed(client, options=fault)
    assert events[-1].type == "response.failed"
    background = streamed(client, options={"fault": {"kind": "error_event"}}, background=True)
    assert background[-1].type == "response.failed"
    assert client.responses.retrieve(background[0].response.id).status == "failed"


@pytest.mark.parametrize("kind", ["truncate", "no_done"])
def test_a_stream_without_its_end_is_noticed(client, kind):
    with (
        client.responses.stream(
            model=MODEL, input="Why?", extra_body=simulated(fault={"kind": kind})
        ) as stream,
        pytest.raises(RuntimeError, match=r"response\.completed"),
    ):
        stream.get_final_response()


@pytest.mark.parametrize("kind", ["cut", "reset", "truncate", "no_done"])
def test_a_response_in_the_background_survives_its_connection(client, kind):
    seen = []
    extra = simulated(fault={"kind": kind, **({} if kind == "no_done" else {"after": 2})})
    try:
        with client.responses.create(
            model=MODEL, input="Why?", stream=True, background=True, extra_body=extra
        ) as stream:
            seen.extend(stream)
    except openai.APIConnectionError:
        assert kind in ("cut", "reset")
    assert seen[-1].type != "response.completed"
    with client.responses.retrieve(
        seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
    ) as stream:
        rest = list(stream)
    assert [event.sequence_number for event in (*seen, *rest)] == list(range(len(seen + rest)))
    assert rest[-1].response.status == "completed"


def test_a_refusal_of_the_simulator_refuses_a_response_in_the_background_too(client):
    with pytest.raises(openai.RateLimitError):
        client.responses.create(
            model=MODEL,
            input="Why?",
            background=True,
            extra_body=simulated(fault={"kind": "status", "status": 429}),
        )
