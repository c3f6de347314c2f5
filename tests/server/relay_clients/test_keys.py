"""Clients whose keys are not Bearer tokens: Azure's and Anthropic's send Sluice's key, and the upstream gets its own."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from anthropic import Anthropic, AuthenticationError
from openai import AzureOpenAI

from tests.server.raw_upstream import RawUpstream, streams, target_of
from tests.server.relay_clients.exchanges import CHUNK, DONE, LAST, PROMPT, Script, answers_json
from tests.server.relay_clients.test_anthropic import BEGINNING, END, MESSAGE
from tests.server.test_clients import CHAT
from tests.support.server import Server

KEY, OTHER_KEY = "a-key-of-sluice-1", "a-key-of-sluice-2"
UPSTREAM_KEY = "sk-upstream"
AZURE: dict[str, Any] = {"api_version": "2024-10-21", "max_retries": 0}


@pytest.fixture(scope="module")
def key_holder(raw_upstream: RawUpstream) -> Iterator[Server]:
    models = "llama-3-70b,ours,claude"
    with Server(
        upstream=raw_upstream.url, api_keys=KEY, upstream_api_key=UPSTREAM_KEY, models=models
    ) as server:
        yield server


@pytest.fixture
def held(raw_upstream: RawUpstream, key_holder: Server) -> Script:
    return Script(raw_upstream, key_holder)


@pytest.mark.parametrize("given", [{}, {"azure_deployment": "ours"}], ids=["named", "in-the-url"])
def test_azures_client_streams_with_sluices_key(
    held: Script, raw_upstream: RawUpstream, given: dict[str, str]
) -> None:
    held.answers = [streams(CHUNK, LAST, DONE)]
    with AzureOpenAI(azure_endpoint=held.relay_url, api_key=KEY, **given, **AZURE) as client:
        chunks = list(client.chat.completions.create(**{**CHAT, "model": "ours"}, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).startswith("Hello")
    assert held.headers[0]["api-key"] == UPSTREAM_KEY
    assert "authorization" not in held.headers[0]
    target = target_of(raw_upstream.requests[-1])
    assert target == "/v1/chat/completions?api-version=2024-10-21"


def test_azures_client_completes_and_lists_models(held: Script) -> None:
    held.answers = [
        answers_json({"id": "cmpl-1", "object": "text_completion", "choices": []}),
        answers_json({"object": "list", "data": [{"id": "ours", "object": "model"}]}),
    ]
    with AzureOpenAI(azure_endpoint=held.relay_url, api_key=KEY, **AZURE) as client:
        assert client.completions.create(**PROMPT).id == "cmpl-1"
        assert [model.id for model in client.models.list()] == ["ours"]


def test_azures_client_is_refused_with_a_wrong_key_and_for_a_model_that_is_not_there(
    held: Script,
) -> None:
    with (
        AzureOpenAI(azure_endpoint=held.relay_url, api_key=OTHER_KEY, **AZURE) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.completions.create(**PROMPT)
    with (
        AzureOpenAI(azure_endpoint=held.relay_url, api_key=KEY, **AZURE) as client,
        pytest.raises(openai.NotFoundError, match="theirs"),
    ):
        client.completions.create(**{**PROMPT, "model": "theirs"})
    assert held.headers == []


@pytest.mark.slow
def test_azures_client_reaches_an_upstream_of_azures_kind_by_its_own_routes(
    raw_upstream: RawUpstream,
) -> None:
    with Server(
        upstream=f"http://{raw_upstream.host}/openai", upstream_api_key=UPSTREAM_KEY
    ) as relay:
        script = Script(raw_upstream, relay)
        script.answers = [streams(CHUNK, LAST, DONE)]
        with AzureOpenAI(azure_endpoint=relay.url, api_key="any", **AZURE) as client:
            assert list(client.chat.completions.create(**{**CHAT, "model": "gpt"}, stream=True))
    assert script.headers[0]["api-key"] == UPSTREAM_KEY
    target = target_of(raw_upstream.requests[-1])
    assert target == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"


def test_anthropics_client_streams_with_sluices_key(held: Script) -> None:
    held.answers = [streams(*BEGINNING, *END)]
    with (
        Anthropic(base_url=held.relay_url, api_key=KEY, max_retries=0) as client,
        client.messages.stream(**MESSAGE) as stream,
    ):
        assert stream.get_final_text() == "Hello, wörld"
    assert held.headers[0]["x-api-key"] == UPSTREAM_KEY
    assert "authorization" not in held.headers[0]
    assert held.headers[0]["anthropic-version"]


def test_anthropics_client_is_refused_with_a_wrong_key(held: Script) -> None:
    with (
        Anthropic(base_url=held.relay_url, api_key=OTHER_KEY, max_retries=0) as client,
        pytest.raises(AuthenticationError),
    ):
        client.messages.create(**MESSAGE)
    assert held.headers == []
