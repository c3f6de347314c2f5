"""Google's client for Python, google-genai, against the simulator."""

import asyncio

import pydantic
import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini-2.5-flash"
QUESTION = "What is the weather in Paris?"


@pytest.fixture(scope="module")
def client(sluice):
    with genai.Client(
        api_key="none", http_options=types.HttpOptions(base_url=sluice.url)
    ) as client:
        yield client


def config(simulator=None, **fields):
    """The configuration of a request, which also says how the simulator answers."""
    body = {"simulator": {"itl_ms": 0, **(simulator or {})}}
    return types.GenerateContentConfig(http_options=types.HttpOptions(extra_body=body), **fields)


def short(**fields):
    return config({"tokens": 8}, **fields)


def failing(kind, **fields):
    return config({"tokens": 8, "fault": {"kind": kind, **fields}})


def streamed(client, **fields):
    return [*client.models.generate_content_stream(model=MODEL, contents=QUESTION, **fields)]


def text_of(chunks):
    return "".join(chunk.text or "" for chunk in chunks)


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def test_a_stream_says_what_the_whole_answer_says(client):
    chunks = streamed(client, config=short())
    whole = client.models.generate_content(model=MODEL, contents=QUESTION, config=short())
    assert text_of(chunks) == whole.text
    assert len(chunks) == 9
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks]
    assert reasons == [None] * 8 + [types.FinishReason.STOP]
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata.candidates_token_count == 8
    assert whole.usage_metadata.total_token_count == 8 + whole.usage_metadata.prompt_token_count
    assert whole.model_version == MODEL
    assert whole.response_id


def test_an_async_client_reads_the_same(client):
    async def read():
        stream = await client.aio.models.generate_content_stream(
            model=MODEL, contents=QUESTION, config=short()
        )
        return text_of([chunk async for chunk in stream])

    assert asyncio.run(read()) == text_of(streamed(client, config=short()))


def test_the_configuration_is_obeyed(client):
    (cut,) = client.models.generate_content(
        model=MODEL, contents=QUESTION, config=config(max_output_tokens=3)
    ).candidates
    assert cut.finish_reason == types.FinishReason.MAX_TOKENS
    said = config({"text": "one two three"}, stop_sequences=[" three"])
    answer = client.models.generate_content(model=MODEL, contents=QUESTION, config=said)
    assert answer.text == "one two"
    several = client.models.generate_content(
        model=MODEL, contents=QUESTION, config=short(candidate_count=2)
    )
    assert [each.index for each in several.candidates] == [0, 1]
    texts = [
        client.models.generate_content(
            model=MODEL, contents=QUESTION, config=config(seed=seed)
        ).text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_the_system_instruction_and_media_count_as_prompt(client):
    def prompt_tokens(contents, **fields):
        answer = client.models.generate_content(
            model=MODEL, contents=contents, config=short(**fields)
        )
        return answer.usage_metadata.prompt_token_count

    plain = prompt_tokens(QUESTION)
    assert prompt_tokens(QUESTION, system_instruction="Be brief.") > plain
    image = types.Part.from_bytes(data=b"an image", mime_type="image/png")
    assert prompt_tokens([QUESTION, image]) == plain + 258
    file = types.Part.from_uri(file_uri="https://example.com/a.pdf", mime_type="application/pdf")
    assert prompt_tokens([QUESTION, file]) > plain


def test_a_chat_remembers_what_was_said(client):
    chat = client.chats.create(model=MODEL, config=short())
    first = chat.send_message("Hello")
    assert first.text
    assert text_of(chat.send_message_stream("And now?"))
    roles = [content.role for content in chat.get_history(curated=True)]
    # The client keeps each piece of a stream by itself.
    assert roles == ["user", "model", "user"] + ["model"] * 9


def test_automatic_function_calling_ends_with_the_result_in_the_answer(client):
    answer = client.models.generate_content(
        model=MODEL, contents=QUESTION, config=config(tools=[get_weather])
    )
    assert "sunny in" in answer.text
    history = answer.automatic_function_calling_history
    calls = [part for content in history for part in content.parts if part.function_call]
    assert len(calls) == 1


DECLARED = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name=name,
            parameters={"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
        )
        for name in ("get_weather", "get_time")
    ]
)


@pytest.mark.parametrize(
    ("mode", "allowed", "called"),
    [
        ("AUTO", None, ["get_weather"]),
        ("ANY", ["get_time"], ["get_time"]),
        ("NONE", None, []),
    ],
)
def test_the_mode_of_function_calling_is_obeyed(client, mode, allowed, called):
    calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=allowed)
    fields = {
        "tools": [DECLARED],
        "tool_config": types.ToolConfig(function_calling_config=calling),
    }
    answer = client.models.generate_content(model=MODEL, contents=QUESTION, config=config(**fields))
    assert [call.name for call in answer.function_calls or ()] == called
    chunks = streamed(client, config=config(**fields))
    calls = [call for chunk in chunks for call in chunk.function_calls or ()]
    assert [call.name for call in calls] == called
    assert all(isinstance(call.args["city"], str) for call in calls)


def test_an_answer_has_the_schema_that_was_asked_for(client):
    class City(pydantic.BaseModel):
        name: str
        people: int
        districts: list[str]

    fields = {"response_mime_type": "application/json"}
    answer = client.models.generate_content(
        model=MODEL, contents=QUESTION, config=config(response_schema=City, **fields)
    )
    assert isinstance(answer.parsed, City)
    answer = client.models.generate_content(
        model=MODEL,
        contents=QUESTION,
        config=config(response_json_schema=City.model_json_schema(), **fields),
    )
    City.model_validate_json(answer.text)


def test_thoughts_are_shown_where_they_are_wanted_and_counted_anyway(client):
    def answer(**thinking):
        thinking_config = types.ThinkingConfig(**thinking)
        return client.models.generate_content(
            model=MODEL, contents=QUESTION, config=short(thinking_config=thinking_config)
        )

    shown = answer(include_thoughts=True)
    assert [part.thought for part in shown.candidates[0].content.parts] == [True, None]
    assert shown.usage_metadata.thoughts_token_count > 0
    hidden = answer(thinking_budget=20)
    assert [part.thought for part in hidden.candidates[0].content.parts] == [None]
    assert hidden.usage_metadata.thoughts_token_count == 20
    assert answer(thinking_budget=0).usage_metadata.thoughts_token_count is None


def test_tokens_are_counted_as_the_answers_usage_counts_them(client):
    answer = client.models.generate_content(model=MODEL, contents=QUESTION, config=short())
    counted = client.models.count_tokens(model=MODEL, contents=QUESTION)
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count


def test_texts_become_vectors(client):
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    assert [len(each.values) for each in answer.embeddings] == [3072, 3072]
    fewer = types.EmbedContentConfig(output_dimensionality=64)
    (only,) = client.models.embed_content(
        model="gemini-embedding-001", contents="a", config=fewer
    ).embeddings
    assert len(only.values) == 64


def test_the_models_are_listed_and_described(client):
    (model,) = client.models.list()
    assert model.name == "models/sluice-simulator"
    assert client.models.get(model=model.name).input_token_limit > 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.ClientError), (429, errors.ClientError), (503, errors.ServerError)],
)
def test_a_refusal_is_an_error_of_its_kind_with_its_status(client, status, kind):
    failing_config = failing("status", status=status)
    with pytest.raises(kind) as raised:
        client.models.generate_content(model=MODEL, contents=QUESTION, config=failing_config)
    assert raised.value.code == status
    with pytest.raises(kind):
        streamed(client, config=failing_config)


@pytest.mark.parametrize("kind", ["cut", "reset", "malformed"])
def test_a_stream_that_breaks_is_an_exception(client, kind):
    with pytest.raises(Exception):  # noqa: B017, PT011 - each is of another library
        streamed(client, config=failing(kind))


@pytest.mark.parametrize("kind", ["truncate", "no_done"])
def test_a_stream_without_its_end_has_no_finish_reason(client, kind):
    chunks = streamed(client, config=failing(kind))
    assert chunks
    assert not any(chunk.candidates[0].finish_reason for chunk in chunks)


def test_a_split_character_and_a_duplicate_are_read(client):
    text = "Größe — 🌊 ends well"
    split = {"text": text, "fault": {"kind": "split_utf8", "after": 0}}
    assert text_of(streamed(client, config=config(split))) == text
    assert len(streamed(client, config=failing("duplicate"))) == 10
