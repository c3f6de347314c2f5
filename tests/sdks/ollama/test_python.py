"""Ollama's client for Python, against the simulator."""

import asyncio
import base64
import json

import ollama
import pydantic
import pytest

MODEL = "llama3.2"
QUICK = {"itl_ms": 0, "tokens": 8}
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def client(sluice):
    return ollama.Client(host=sluice.url)


def simulated(**fields):
    """Options by which a client that sends no other fields sets how the simulator answers."""
    return {"simulator": {**QUICK, **fields}}


def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
      city: The name of the city
    """
    return f"sunny in {city}"


def test_a_chat_that_is_streamed_says_what_the_whole_one_says(client):
    parts = [
        *client.chat(MODEL, QUESTION, options=simulated(), stream=True),
    ]
    whole = client.chat(MODEL, QUESTION, options=simulated())
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * 8 + [True]
    assert parts[-1].done_reason == whole.done_reason == "stop"
    assert parts[-1].eval_count == whole.eval_count == 8
    assert parts[-1].prompt_eval_count == whole.prompt_eval_count > 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_durations_agree_with_the_pace(client, stream):
    options = simulated(ttft_ms=60, itl_ms=10)
    answer = client.chat(MODEL, QUESTION, options=options, stream=stream)
    last = [*answer][-1] if stream else answer
    assert last.prompt_eval_duration >= 55_000_000
    assert last.eval_duration >= 6 * 10_000_000
    assert last.total_duration >= last.prompt_eval_duration + last.eval_duration


def test_the_options_of_the_model_are_obeyed(client):
    short = client.chat(MODEL, QUESTION, options={"num_predict": 3, "simulator": {"itl_ms": 0}})
    assert (short.eval_count, short.done_reason) == (3, "length")
    options = {**simulated(text="one two three"), "stop": [" three"]}
    assert client.chat(MODEL, QUESTION, options=options).message.content == "one two"
    seeds = [
        client.chat(MODEL, QUESTION, options={"seed": seed, "simulator": {"itl_ms": 0}})
        for seed in (1, 1, 2)
    ]
    assert seeds[0].message.content == seeds[1].message.content != seeds[2].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_until_its_result_is_there(client, stream):
    options = {"simulator": {"itl_ms": 0}}
    messages = list(QUESTION)
    called = 0
    for _ in range(5):
        answer = client.chat(MODEL, messages, tools=[get_weather], options=options, stream=stream)
        parts = [*answer] if stream else [answer]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        if not calls:
            break
        called += 1
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        for call in calls:
            result = get_weather(**call.function.arguments)
            messages.append({"role": "tool", "content": result, "tool_name": call.function.name})
    text = "".join(part.message.content or "" for part in parts)
    assert called == 1
    assert "sunny in" in text


def test_the_format_is_obeyed(client):
    class City(pydantic.BaseModel):
        name: str
        people: int
        is_capital: bool

    options = {"simulator": {"itl_ms": 0}}
    answer = client.chat(MODEL, QUESTION, format=City.model_json_schema(), options=options)
    City.model_validate_json(answer.message.content)
    answer = client.generate(MODEL, "some JSON", format="json", options=options)
    assert isinstance(json.loads(answer.response), dict)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_to_think_thinks_apart_from_its_answer(client, stream):
    for think in (True, "low"):
        answer = client.chat(MODEL, QUESTION, think=think, options=simulated(), stream=stream)
        parts = [*answer] if stream else [answer]
        assert "".join(part.message.thinking or "" for part in parts)
        assert "".join(part.message.content or "" for part in parts)
    answer = client.generate(MODEL, "Why?", think=True, options=simulated(reasoning="Hm."))
    assert answer.thinking == "Hm."
    plain = client.chat(MODEL, QUESTION, options=simulated())
    assert plain.message.thinking is None


def test_generate_goes_on_from_the_context_of_the_answer_before(client):
    first = client.generate(MODEL, "Why?", system="Be brief.", options=simulated())
    assert first.context
    more = client.generate(MODEL, "And?", context=first.context, options=simulated())
    assert more.prompt_eval_count > len(first.context)
    streamed = [*client.generate(MODEL, "Why?", stream=True, options=simulated())]
    assert "".join(part.response for part in streamed)
    assert client.generate(MODEL, "Why?", raw=True, options=simulated()).context is None


def test_images_and_a_suffix_are_read_as_part_of_the_prompt(client):
    plain = client.generate(MODEL, "What is it?", options=simulated())
    with_image = client.generate(MODEL, "What is it?", images=[PIXEL], options=simulated())
    with_suffix = client.generate(MODEL, "What is it?", suffix=" done", options=simulated())
    assert with_image.prompt_eval_count > plain.prompt_eval_count
    assert with_suffix.prompt_eval_count > plain.prompt_eval_count


def test_a_request_without_a_question_loads_the_model(client):
    assert client.generate(MODEL).done_reason == "load"
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    (only,) = client.chat(MODEL, [], stream=True)
    assert (only.done, only.done_reason, only.message.content) == (True, "load", "")


def test_texts_become_vectors(client):
    answer = client.embed(MODEL, ["one text", "another"])
    assert [len(vector) for vector in answer.embeddings] == [768, 768]
    assert answer.prompt_eval_count == 3
    assert len(client.embed(MODEL, "one text", dimensions=64).embeddings[0]) == 64
    assert client.embeddings(MODEL, "one text").embedding == list(answer.embeddings[0])
    assert client.embed(MODEL, "").embeddings == []


def test_the_models_are_listed_and_described(client):
    (model,) = client.list().models
    assert model.model == "sluice-simulator:latest"
    assert client.ps().models[0].model == model.model
    assert "tools" in client.show(model.model).capabilities


def test_a_model_cannot_be_pulled_and_the_error_says_why(client):
    with pytest.raises(ollama.ResponseError, match="without pulling") as raised:
        client.pull("llama3.2")
    assert raised.value.status_code == 501


def test_an_async_client_reads_the_same(client, sluice):
    async def read():
        async_client = ollama.AsyncClient(host=sluice.url)
        answer = await async_client.chat(MODEL, QUESTION, options=simulated(), stream=True)
        return "".join([part.message.content async for part in answer])

    assert asyncio.run(read()) == client.chat(MODEL, QUESTION, options=simulated()).message.content


@pytest.mark.parametrize(
    ("request_", "part_of_message"),
    [
        ({"model": "", "messages": QUESTION}, "model is required"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid role"),
        ({"messages": QUESTION, "think": "deeply"}, "invalid think value"),
        ({"messages": QUESTION, "format": "yaml"}, "invalid format"),
        ({"messages": [{"role": "user", "images": ["!"]}]}, "illegal base64"),
        ({"messages": QUESTION, "options": {"num_predict": "many"}}, "options.num_predict"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client, request_, part_of_message):
    with pytest.raises(ollama.ResponseError, match=part_of_message) as raised:
        client._request_raw("POST", "/api/chat", json={"model": MODEL, **request_})
    assert raised.value.status_code == 400


def fault(kind, **fields):
    return simulated(fault={"kind": kind, **fields})


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_a_response_error_with_its_status(client, stream):
    with pytest.raises(ollama.ResponseError) as raised:
        [*client.chat(MODEL, QUESTION, options=fault("status", status=503), stream=stream)]
    assert raised.value.status_code == 503


def test_an_error_in_mid_stream_is_a_response_error(client):
    parts = client.chat(MODEL, QUESTION, options=fault("error_event", after=2), stream=True)
    assert [next(parts).message.content, next(parts).message.content]
    with pytest.raises(ollama.ResponseError, match="failure"):
        next(parts)


@pytest.mark.parametrize("kind", ["cut", "reset", "malformed"])
def test_a_stream_that_breaks_is_an_exception(client, kind):
    with pytest.raises(Exception):  # noqa: B017, PT011 - each is of another library
        [*client.chat(MODEL, QUESTION, options=fault(kind), stream=True)]


@pytest.mark.parametrize("kind", ["truncate", "no_done"])
def test_a_stream_without_its_end_has_no_line_that_is_done(client, kind):
    parts = [*client.chat(MODEL, QUESTION, options=fault(kind), stream=True)]
    assert parts
    assert not any(part.done for part in parts)


def test_a_line_that_comes_twice_is_read_twice(client):
    once = [*client.chat(MODEL, QUESTION, options=simulated(), stream=True)]
    twice = [*client.chat(MODEL, QUESTION, options=fault("duplicate"), stream=True)]
    assert len(twice) == len(once) + 1


@pytest.mark.parametrize("kind", ["heartbeat", "split_utf8"])
def test_what_a_stream_of_lines_survives_changes_no_text(client, kind):
    options = {"text": "Größe — 🌊 ends well", "tokens": None, "itl_ms": 0}
    plain = {"simulator": options}
    faulty = {"simulator": {**options, "fault": {"kind": kind, "after": 0}}}
    texts = [
        "".join(
            part.message.content for part in client.chat(MODEL, QUESTION, options=each, stream=True)
        )
        for each in (plain, faulty)
    ]
    assert texts[0] == texts[1] == options["text"]
