"""OpenAI's client for Python asks for embeddings and moderations."""

import asyncio
import math

import openai
import pytest

MODEL = "text-embedding-3-small"


@pytest.fixture(scope="module")
def client(sluice):
    with openai.OpenAI(base_url=f"{sluice.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def vectors(client, texts, **options):
    answer = client.embeddings.create(model=MODEL, input=texts, **options)
    assert [each.index for each in answer.data] == list(range(len(answer.data)))
    return [each.embedding for each in answer.data]


def similarity(first, second):
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_a_text_has_a_vector_of_unit_length(client):
    answer = client.embeddings.create(model=MODEL, input="a text")
    (embedding,) = answer.data
    assert len(embedding.embedding) == 1536
    assert math.isclose(math.hypot(*embedding.embedding), 1, abs_tol=1e-6)
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == (MODEL, 2, 2)


def test_the_default_base64_and_numbers_are_the_same_vector(client):
    assert vectors(client, ["a", "b c"]) == vectors(client, ["a", "b c"], encoding_format="float")


def test_the_document_about_a_question_is_the_most_similar_one(client):
    documents = [
        "Open the settings and choose “Reset password”. We send a mail with a link.",
        "The shop is open from nine to five, and closed on Sundays.",
        "We ship to all countries of Europe; shipping takes three days.",
    ]
    questions = [
        "How do I reset my password?",
        "Are you open on Sunday?",
        "How long does shipping take?",
    ]
    of_documents = vectors(client, documents)
    for place, vector in enumerate(vectors(client, questions)):
        similarities = [similarity(vector, each) for each in of_documents]
        assert similarities.index(max(similarities)) == place


def test_a_shorter_vector_is_the_beginning_of_the_long_one(client):
    (long,), (short,) = (
        vectors(client, ["some text"]),
        vectors(client, ["some text"], dimensions=64),
    )
    length = math.hypot(*long[:64])
    assert short == pytest.approx([number / length for number in long[:64]], abs=1e-6)


def test_token_ids_have_vectors_like_texts(client):
    answer = client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]])
    assert [len(each.embedding) for each in answer.data] == [1536, 1536]
    assert answer.usage.prompt_tokens == 4
    assert len(vectors(client, [1, 2, 3])) == 1


def test_an_async_client_reads_the_same(client, sluice):
    async def read():
        async with openai.AsyncOpenAI(base_url=f"{sluice.url}/v1", api_key="none") as async_client:
            answer = await async_client.embeddings.create(model=MODEL, input="a text")
            return answer.data[0].embedding

    assert asyncio.run(read()) == vectors(client, ["a text"])[0]


@pytest.mark.parametrize(
    ("fields", "param", "part_of_message"),
    [
        ({"input": ""}, "input", "empty string"),
        ({"input": []}, "input", "empty array"),
        ({"input": ["a", ""]}, "input", "empty string"),
        ({"input": ["a"] * 2049}, "input", "maximum length 2048"),
        ({"input": ["a", 1]}, "input", "texts or token ids"),
        ({"input": "a " * 9000}, "input", "maximum context length is 8192"),
        ({"input": ["a " * 4000] * 80}, "input", "300000 tokens"),
        ({"dimensions": 1537}, "dimensions", "1536"),
        ({"dimensions": 0}, "dimensions", "minimum"),
        ({"model": "text-embedding-ada-002", "dimensions": 5}, "dimensions", "does not support"),
        ({"encoding_format": "hex"}, "encoding_format", "'float' and 'base64'"),
    ],
)
def test_a_request_that_openai_refuses_is_refused(client, fields, param, part_of_message):
    with pytest.raises(openai.BadRequestError, match=part_of_message) as raised:
        client.embeddings.create(**{"model": MODEL, "input": "a", **fields})
    assert raised.value.param == param


def test_each_text_is_moderated_by_itself(client):
    answer = client.moderations.create(input=["a flower", "I will kill you", "skills"])
    assert answer.model == "omni-moderation-2024-09-26"
    assert [result.flagged for result in answer.results] == [False, True, False]
    flagged = answer.results[1]
    assert flagged.categories.violence
    assert flagged.category_scores.violence >= 0.9
    assert not flagged.categories.hate
    assert flagged.category_scores.hate < 0.001


def test_a_text_and_an_image_are_moderated_together(client):
    parts = [
        {"type": "text", "text": "I hate it"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    (result,) = client.moderations.create(input=parts).results
    assert result.categories.hate
    applied = result.category_applied_input_types
    assert (applied.hate, applied.violence) == (["text"], ["text", "image"])


def test_a_failure_that_is_asked_for_comes_in_place_of_the_vectors(client):
    fault = {"simulator": {"fault": {"kind": "status", "status": 429, "retry_after": 1}}}
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model=MODEL, input="a", extra_body=fault)
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(
            model=MODEL, input="a", extra_body={"simulator": {"fault": {"kind": "cut"}}}
        )
