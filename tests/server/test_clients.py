"""The programs that people use with such an API, unchanged, against a running server."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest
import requests
from openai import AsyncOpenAI, OpenAI

from tests.support.server import Server, wait_until

MESSAGES = [{"role": "user", "content": "Why do answers arrive token by token?"}]
CHAT: dict[str, Any] = {"model": "llama-3-70b", "messages": MESSAGES}
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def simulator(**options: Any) -> dict[str, Any]:
    """The request's field that says how the simulator answers; short and fast unless said otherwise."""
    return {"simulator": {"itl_ms": 1, "tokens": 40, **options}}


def fault(kind: str, **options: Any) -> dict[str, Any]:
    return simulator(fault={"kind": kind, **options})


@pytest.fixture(scope="module")
def client(sluice: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{sluice.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def request_id() -> str:
    return uuid.uuid4().hex


# requests


def post_with_requests(url: str, **fields: Any) -> requests.Response:
    body = {**CHAT, "stream": True, **fields}
    return requests.post(f"{url}/v1/chat/completions", json=body, stream=True, timeout=30)


def test_requests_reads_a_stream_line_by_line(sluice: Server) -> None:
    with post_with_requests(sluice.url, **simulator()) as response:
        lines = [line for line in response.iter_lines() if line]
    *events, done = [line.removeprefix(b"data: ") for line in lines]
    assert done == b"[DONE]"
    assert contents(map(json.loads, events)) == whole_answer(sluice, **simulator())


def test_requests_gets_each_line_as_it_comes(sluice: Server) -> None:
    # The stream stands still after three tokens, so whoever waits for more sees nothing.
    with post_with_requests(sluice.url, **fault("stall", after=3)) as response:
        lines = filter(None, response.iter_lines())
        events = [json.loads(next(lines).removeprefix(b"data: ")) for _ in range(4)]
    assert contents(events) == whole_answer(sluice, **simulator(tokens=3))


def contents(chunks: Any) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def whole_answer(server: Server, **fields: Any) -> str:
    with post_with_requests(server.url, stream=False, **fields) as response:
        return response.json()["choices"][0]["message"]["content"]


# curl

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and "CI" not in os.environ, reason="curl is not installed"
)


@contextlib.contextmanager
def curl(url: str, **fields: Any) -> Iterator[subprocess.Popen[bytes]]:
    body = json.dumps({**CHAT, "stream": True, **fields})
    arguments = ["-H", "Content-Type: application/json", "-d", body]
    with subprocess.Popen(
        ["curl", "-N", "--silent", f"{url}/v1/chat/completions", *arguments],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@needs_curl
def test_curl_prints_a_stream_to_its_end(sluice: Server) -> None:
    with curl(sluice.url, **simulator()) as process:
        *events, done, after = process.stdout.read().split(b"\n\n")
        assert process.wait() == 0
    assert (done, after) == (b"data: [DONE]", b"")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert contents(chunks) == whole_answer(sluice, **simulator())


@needs_curl
def test_curl_prints_each_event_as_it_comes(sluice: Server) -> None:
    with curl(sluice.url, **fault("stall", after=3)) as process:
        # The role and three tokens, each with a blank line; then the stream stands still.
        lines = [process.stdout.readline() for _ in range(8)]
    assert [line[:6] for line in lines] == [b"data: ", b"\n"] * 4


@needs_curl
def test_curl_reports_a_cut_stream(sluice: Server) -> None:
    with curl(sluice.url, **fault("cut")) as process:
        process.stdout.read()
        assert process.wait() == 18  # "Partial file", curl(1)


# openai, streamed: all of this holds for the synchronous and for the asynchronous client


class SyncReader:
    """Makes the calls with ``OpenAI``."""

    def __init__(self, server: Server, **options: Any) -> None:
        self._options = {"base_url": f"{server.url}/v1", "api_key": "any", **options}

    def chunks(self, **fields: Any) -> list[Any]:
        with OpenAI(**self._options) as client:
            return list(client.chat.completions.create(**CHAT, stream=True, **fields))

    def whole(self, **fields: Any) -> Any:
        with OpenAI(**self._options) as client:
            return client.chat.completions.create(**CHAT, **fields)

    def leave_after_first_chunk(self, then: Callable[[], object], **fields: Any) -> None:
        """Closes the stream and calls ``then`` while the client is open: its exit must not count."""
        with OpenAI(**self._options) as client:
            stream = client.chat.completions.create(**CHAT, stream=True, **fields)
            next(stream)
            stream.close()
            then()


class AsyncReader(SyncReader):
    """Makes the same calls with ``AsyncOpenAI``."""

    def chunks(self, **fields: Any) -> list[Any]:
        async def read(client: AsyncOpenAI) -> list[Any]:
            stream = await client.chat.completions.create(**CHAT, stream=True, **fields)
            return [chunk async for chunk in stream]

        return self._run(read)

    def whole(self, **fields: Any) -> Any:
        return self._run(lambda client: client.chat.completions.create(**CHAT, **fields))

    def leave_after_first_chunk(self, then: Callable[[], object], **fields: Any) -> None:
        async def leave(client: AsyncOpenAI) -> None:
            stream = await client.chat.completions.create(**CHAT, stream=True, **fields)
            await anext(stream)
            await stream.close()
            then()

        self._run(leave)

    def _run(self, use: Callable[[AsyncOpenAI], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with AsyncOpenAI(**self._options) as client:
                return await use(client)

        return asyncio.run(run())


@pytest.fixture(params=[SyncReader, AsyncReader], ids=["sync", "async"])
def make_reader(request: pytest.FixtureRequest) -> Callable[..., SyncReader]:
    return request.param


@pytest.fixture
def reader(sluice: Server, make_reader: Callable[..., SyncReader]) -> SyncReader:
    return make_reader(sluice, max_retries=0)


def text(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def test_streamed_content_is_that_of_the_whole_answer(reader: SyncReader) -> None:
    whole = reader.whole(seed=7, extra_body=simulator())
    chunks = reader.chunks(seed=7, extra_body=simulator())
    assert len(chunks) > 40
    assert text(chunks) == whole.choices[0].message.content


def test_last_chunk_of_a_stream_has_the_finish_reason(reader: SyncReader) -> None:
    *others, last = reader.chunks(extra_body=simulator())
    assert [chunk.choices[0].finish_reason for chunk in others] == [None] * len(others)
    assert last.choices[0].finish_reason == "stop"


def test_max_tokens_ends_a_stream_with_length(reader: SyncReader) -> None:
    chunks = reader.chunks(max_tokens=5, extra_body=simulator())
    assert len(chunks) == 1 + 5 + 1
    assert chunks[-1].choices[0].finish_reason == "length"


def test_usage_comes_last_when_it_is_asked_for(reader: SyncReader) -> None:
    *others, last = reader.chunks(
        stream_options={"include_usage": True}, extra_body=simulator(tokens=40)
    )
    assert [chunk.usage for chunk in others] == [None] * len(others)
    assert last.choices == []
    assert last.usage == reader.whole(extra_body=simulator(tokens=40)).usage
    assert last.usage.completion_tokens == 40


def test_no_usage_in_a_stream_unless_it_is_asked_for(reader: SyncReader) -> None:
    assert {chunk.usage for chunk in reader.chunks(extra_body=simulator())} == {None}


def test_n_answers_are_streamed_side_by_side(reader: SyncReader) -> None:
    whole = reader.whole(n=2, extra_body=simulator())
    chunks = reader.chunks(n=2, extra_body=simulator())
    texts = [choice.message.content for choice in whole.choices]
    assert [text(chunks, 0), text(chunks, 1)] == texts
    assert texts[0] != texts[1]


def test_tool_call_comes_in_pieces(reader: SyncReader) -> None:
    tool_call = {"name": "get_weather", "arguments": {"city": "Paris"}}
    chunks = reader.chunks(tools=[WEATHER_TOOL], extra_body=simulator(tool_call=tool_call))
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert pieces[0].id.startswith("call_")
    assert [piece.function.name for piece in pieces if piece.function.name] == ["get_weather"]
    assert len(pieces) > 2
    assert json.loads("".join(piece.function.arguments for piece in pieces)) == {"city": "Paris"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_error_event_is_raised(reader: SyncReader) -> None:
    with pytest.raises(openai.APIError, match="a failure was asked for") as raised:
        reader.chunks(extra_body=fault("error_event"))
    assert raised.type is openai.APIError
    assert raised.value.code == "upstream_error"


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_cut_stream_is_raised_as_a_connection_error(reader: SyncReader, kind: str) -> None:
    with pytest.raises(openai.APIConnectionError):
        reader.chunks(extra_body=fault(kind))


def test_closing_a_stream_early_ends_it_on_the_server(
    sluice: Server, reader: SyncReader, request_id: str
) -> None:
    end = {"request_id": request_id, "outcome": "cancelled"}
    reader.leave_after_first_chunk(
        then=lambda: wait_until(lambda: sluice.logged("stream ended", **end)),
        extra_headers={"X-Request-Id": request_id},
        extra_body=simulator(tokens=100_000),
    )


# openai, before a stream


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_refusal_is_raised_as_the_error_of_its_status(
    client: OpenAI, status: int, error: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(error, match="a failure was asked for") as raised:
        client.chat.completions.create(
            **CHAT, stream=stream, extra_body=fault("status", status=status)
        )
    assert raised.value.status_code == status
    assert raised.value.code == "simulated"


def test_bad_field_is_named_by_the_error(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**CHAT, n=0)
    assert (raised.value.code, raised.value.param) == ("integer_below_min_value", "n")


def test_request_id_of_an_error_is_the_clients(client: OpenAI, request_id: str) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(
            **CHAT,
            extra_headers={"X-Request-Id": request_id},
            extra_body=fault("status", status=429),
        )
    assert raised.value.request_id == request_id


def test_client_tries_again_when_retry_after_says_so(
    sluice: Server, make_reader: Callable[..., SyncReader], request_id: str
) -> None:
    started_at = time.monotonic()
    with pytest.raises(openai.RateLimitError):
        make_reader(sluice, max_retries=1).chunks(
            extra_headers={"X-Request-Id": request_id},
            extra_body=fault("status", status=429, retry_after=1),
        )
    # Without the header the client's first pause is at most half a second.
    assert time.monotonic() - started_at >= 1
    wait_until(lambda: len(sluice.logged("stream ended", request_id=request_id)) == 2)


# openai, the rest


def test_streaming_helper_puts_the_answer_together(client: OpenAI) -> None:
    whole = client.chat.completions.create(**CHAT, extra_body=simulator())
    with client.chat.completions.stream(**CHAT, extra_body=simulator()) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == whole.choices[0].message.content


def test_whole_answer_has_finish_reason_and_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(**CHAT, extra_body=simulator(tokens=40))
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 40
    assert answer.model == CHAT["model"]


def test_whole_answer_has_the_tool_call(client: OpenAI) -> None:
    tool_call = {"name": "get_weather", "arguments": {"city": "Paris"}}
    answer = client.chat.completions.create(
        **CHAT, tools=[WEATHER_TOOL], extra_body=simulator(tool_call=tool_call)
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert answer.choices[0].finish_reason == "tool_calls"


def test_cut_whole_answer_is_raised_as_a_connection_error(client: OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**CHAT, extra_body=fault("cut"))


def test_streamed_text_completion_is_the_whole_one(client: OpenAI) -> None:
    prompt = {"model": "llama-3-70b", "prompt": "Once upon a time", "extra_body": simulator()}
    whole = client.completions.create(**prompt)
    chunks = list(client.completions.create(**prompt, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"


# openai, models


def test_any_model_may_be_asked_for_and_one_is_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["sluice-simulator"]
    assert client.models.retrieve("some/model").id == "some/model"


@pytest.fixture(scope="module")
def client_of_two_models() -> Iterator[OpenAI]:
    with (
        Server(models="llama-3-70b, qwen/qwen3:32b") as server,
        OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


def test_models_that_are_set_are_listed(client_of_two_models: OpenAI) -> None:
    names = [model.id for model in client_of_two_models.models.list()]
    assert names == ["llama-3-70b", "qwen/qwen3:32b"]


def test_model_that_is_set_answers(client_of_two_models: OpenAI) -> None:
    model = client_of_two_models.models.retrieve("qwen/qwen3:32b").id
    answer = client_of_two_models.chat.completions.create(
        model=model, messages=MESSAGES, extra_body=simulator()
    )
    assert answer.model == model


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.models.retrieve("gpt-4"),
        lambda client: client.chat.completions.create(model="gpt-4", messages=MESSAGES),
        lambda client: client.chat.completions.create(
            model="gpt-4", messages=MESSAGES, stream=True
        ),
        lambda client: client.completions.create(model="gpt-4", prompt="hi"),
    ],
    ids=["retrieve", "chat", "chat-stream", "completion"],
)
def test_other_models_than_those_that_are_set_are_not_found(
    client_of_two_models: OpenAI, ask: Callable[[OpenAI], object]
) -> None:
    with pytest.raises(openai.NotFoundError, match="llama-3-70b") as raised:
        ask(client_of_two_models)
    assert raised.value.code == "model_not_found"
