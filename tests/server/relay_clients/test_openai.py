"""OpenAI's clients for Python: all of this holds for the synchronous and for the asynchronous one."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.pagination import SyncPage

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Handler,
    chunk,
    head,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.server.relay_clients.exchanges import (
    CHUNK,
    DONE,
    ERRORS,
    LAST,
    PROMPT,
    TOOL_CALL,
    USAGE,
    Script,
    answers_json,
    comparable,
    ended,
    wait_until_cancelled,
)
from tests.server.test_clients import CHAT, WEATHER_TOOL, fault, simulator
from tests.support.server import Server, wait_until

Call = Callable[[Any], Any]
"""Given a client, makes one call with it."""


@dataclass
class Seen:
    """What a client got: the items of a stream, or the one answer, before the error, if there was one."""

    items: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def facts(self) -> tuple[object, ...]:
        items = [item.model_dump(mode="json") for item in self.items]
        return comparable(items), facts_of(self.error)


def facts_of(error: Exception | None) -> dict[str, object]:
    names = ("status_code", "code", "param", "type", "body", "request_id")
    facts = {name: getattr(error, name, None) for name in names}
    response = getattr(error, "response", None)
    facts["retry_after"] = None if response is None else response.headers.get("retry-after")
    return {"class": type(error), "message": str(error), **facts}


def options_for(url: str, **options: Any) -> dict[str, Any]:
    return {"base_url": f"{url}/v1", "api_key": "any", "max_retries": 0, **options}


def see_sync(url: str, call: Call, **options: Any) -> Seen:
    seen = Seen()
    with OpenAI(**options_for(url, **options)) as client:
        try:
            answer = call(client)
            # Iterable are all models, so that has to be asked.
            for item in answer if isinstance(answer, openai.Stream | SyncPage) else [answer]:
                seen.items.append(item)
        except Exception as error:  # noqa: BLE001 - to be compared, whatever it is
            seen.error = error
    return seen


def see_async(url: str, call: Call, **options: Any) -> Seen:
    async def see() -> Seen:
        seen = Seen()
        async with AsyncOpenAI(**options_for(url, **options)) as client:
            try:
                answer = await call(client)
                if not hasattr(answer, "__aiter__"):
                    return Seen([answer])
                async for item in answer:
                    seen.items.append(item)
            except Exception as error:  # noqa: BLE001 - to be compared, whatever it is
                seen.error = error
        return seen

    return asyncio.run(see())


See = Callable[..., Seen]


@pytest.fixture(
    params=[
        pytest.param(see_sync, id="sync"),
        pytest.param(see_async, id="async", marks=pytest.mark.slow),
    ]
)
def see(request: pytest.FixtureRequest) -> See:
    return request.param


def chat(**fields: Any) -> Call:
    return lambda client: client.chat.completions.create(**CHAT, **fields)


def completion(**fields: Any) -> Call:
    return lambda client: client.completions.create(**PROMPT, **fields)


TOOLS: dict[str, Any] = {"tools": [WEATHER_TOOL], "extra_body": simulator(tool_call=TOOL_CALL)}


ANSWERS: dict[str, Call] = {
    "stream": chat(stream=True, seed=7, extra_body=simulator()),
    "stream-length": chat(stream=True, max_tokens=5, extra_body=simulator()),
    "stream-usage": chat(stream=True, **USAGE, extra_body=simulator()),
    "stream-n": chat(stream=True, n=2, extra_body=simulator()),
    "stream-tools": chat(stream=True, **TOOLS),
    "stream-cut-in-characters": chat(
        stream=True,
        extra_body=simulator(
            text="one two naïve cafés, 你好", fault={"kind": "split_utf8", "after": 1}
        ),
    ),
    "whole": chat(seed=7, extra_body=simulator()),
    "whole-n": chat(n=2, extra_body=simulator()),
    "whole-tools": chat(**TOOLS),
    "completion-stream": completion(stream=True, **USAGE, extra_body=simulator()),
    "completion-whole": completion(extra_body=simulator()),
    "models": lambda client: client.models.list(),
    "model": lambda client: client.models.retrieve("some/model"),
}


@pytest.mark.parametrize("call", ANSWERS.values(), ids=ANSWERS.keys())
def test_openai_gets_the_upstreams_answer(
    upstream: Server, relay: Server, see: See, call: Call
) -> None:
    relayed = see(relay.url, call)
    assert relayed.items
    assert relayed.error is None
    assert relayed.facts() == see(upstream.url, call).facts()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("status", ERRORS)
def test_openai_raises_the_upstreams_refusal(
    upstream: Server, relay: Server, see: See, status: int, stream: bool
) -> None:
    call = chat(
        stream=stream,
        extra_headers={"X-Request-Id": "the-clients"},
        extra_body=fault("status", status=status, retry_after=7),
    )
    relayed = see(relay.url, call)
    assert type(relayed.error) is ERRORS[status]
    facts = facts_of(relayed.error)
    assert (facts["code"], facts["retry_after"]) == ("simulated", "7")
    assert facts["request_id"] == "the-clients"
    assert relayed.facts() == see(upstream.url, call).facts()


OTHER_REFUSALS: dict[str, Call] = {
    "bad-field": chat(n=0),
    "bad-field-of-a-stream": chat(stream=True, extra_body=simulator(tokens=-1)),
    "error-instead-of-an-answer": chat(extra_body=fault("error_event")),
    "no-such-route": lambda client: client.images.generate(prompt="a cat"),
}


@pytest.mark.parametrize("call", OTHER_REFUSALS.values(), ids=OTHER_REFUSALS.keys())
def test_openai_raises_any_other_refusal_alike(
    upstream: Server, relay: Server, see: See, request_id: str, call: Call
) -> None:
    headers = {"X-Request-Id": request_id}
    relayed = see(relay.url, call, default_headers=headers)
    assert isinstance(relayed.error, openai.APIStatusError)
    assert relayed.facts() == see(upstream.url, call, default_headers=headers).facts()


@pytest.mark.parametrize("kind", ["error_event", "malformed", "json_body"])
def test_openai_sees_what_an_upstream_does_wrong(
    upstream: Server, relay: Server, see: See, kind: str
) -> None:
    call = chat(stream=True, extra_body=fault(kind))
    assert see(relay.url, call).facts() == see(upstream.url, call).facts()


def test_openai_raises_an_error_in_mid_stream(relay: Server, see: See) -> None:
    relayed = see(relay.url, chat(stream=True, extra_body=fault("error_event", after=3)))
    assert len(relayed.items) == 1 + 3
    assert type(relayed.error) is openai.APIError
    assert relayed.error.code == "upstream_error"


@pytest.mark.parametrize("make_call", [chat, completion], ids=["chat", "completion"])
@pytest.mark.parametrize("kind", ["cut", "reset", "truncate"])
def test_openai_raises_a_stream_without_its_end(
    upstream: Server, relay: Server, see: See, kind: str, make_call: Callable[..., Call]
) -> None:
    call = make_call(stream=True, extra_body=fault(kind, after=3))
    relayed = see(relay.url, call)
    assert type(relayed.error) is openai.APIError
    assert relayed.error.code == "upstream_truncated"
    assert len(relayed.items) >= 3
    assert relayed.facts()[0] == see(upstream.url, call).facts()[0]


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_openai_raises_a_connection_that_ends_before_an_answer(
    relay: Server, see: See, kind: str
) -> None:
    # The simulator's headers go out with the whole of its answer.
    relayed = see(relay.url, chat(extra_body=fault(kind)))
    assert type(relayed.error) is openai.InternalServerError
    assert relayed.error.status_code == 502
    assert relayed.error.code == "upstream_unreachable"


def test_openai_raises_half_an_answer(script: Script, script_url: str, see: See) -> None:
    script.answers = [sends_and_closes(whole(json.dumps(CHAT).encode())[:-9])]
    error = see(script_url, chat()).error
    if script_url == script.relay_url:
        assert type(error) is openai.InternalServerError
        assert error.code == "upstream_truncated"
    else:
        assert type(error) is openai.APIConnectionError


CLOSING_HEAD = head(
    Content_Type="text/event-stream", Transfer_Encoding="chunked", Connection="close"
)
WHOLE = b"""{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,
"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"""


@pytest.mark.parametrize(
    ("answer", "stream"),
    [
        (sends(STREAM_HEAD + chunk(CHUNK + LAST + DONE) + LAST_CHUNK), True),
        (sends_and_closes(CLOSING_HEAD + chunk(CHUNK + LAST + DONE) + LAST_CHUNK), True),
        (sends_and_closes(whole(WHOLE, Connection="close")), False),
    ],
    ids=["stream", "closing-stream", "closing-whole"],
)
def test_openai_gets_an_answer_that_comes_in_one_piece(
    script: Script, script_url: str, see: See, answer: Handler, stream: bool
) -> None:
    script.answers = [answer]
    seen = see(script_url, chat(stream=stream), timeout=5)
    assert seen.error is None
    assert len(seen.items) == (2 if stream else 1)


def test_openai_raises_a_truncated_stream_that_comes_in_one_piece(script: Script, see: See) -> None:
    script.answers = [sends(STREAM_HEAD + chunk(CHUNK) + LAST_CHUNK)]
    seen = see(script.relay_url, chat(stream=True), timeout=5)
    assert len(seen.items) == 1
    assert type(seen.error) is openai.APIError
    assert seen.error.code == "upstream_truncated"


LATER = {"error": {"message": "later"}}


@pytest.mark.parametrize(
    ("later", "seconds"),
    [
        (answers_json(LATER, "429 Too Many Requests", Retry_After=1), 1),
        (answers_json(LATER, "503 Service Unavailable", Retry_After_Ms=20), 0.02),
    ],
    ids=["429", "503"],
)
def test_openai_tries_again_when_the_upstream_says_so(
    script: Script, script_url: str, see: See, later: Handler, seconds: float
) -> None:
    script.answers = [later, streams(CHUNK, LAST, DONE)]
    started_at = time.monotonic()
    seen = see(script_url, chat(stream=True), max_retries=1)
    # Without the header the client's first pause is at most half a second.
    assert time.monotonic() - started_at >= seconds
    assert seen.error is None
    assert len(seen.items) == 2
    assert len(script.headers) == 2


def test_openai_does_not_try_again_when_the_upstream_says_so(
    script: Script, script_url: str, see: See
) -> None:
    script.answers = [answers_json(LATER, "503 Service Unavailable", X_Should_Retry="false")]
    seen = see(script_url, chat(stream=True), max_retries=1)
    assert isinstance(seen.error, openai.InternalServerError)
    assert len(script.headers) == 1


def test_openai_tries_no_more_often_through_the_relay(
    upstream: Server, relay: Server, see: See, request_id: str
) -> None:
    call = chat(
        stream=True,
        extra_headers={"X-Request-Id": request_id},
        extra_body=fault("status", status=503),
    )
    assert isinstance(see(relay.url, call, max_retries=1).error, openai.InternalServerError)
    for server in (upstream, relay):
        wait_until(lambda server=server: len(ended(server, request_id)) == 2)


def test_openai_that_closes_a_stream_ends_it_on_the_upstream(
    upstream: Server, relay: Server, request_id: str
) -> None:
    with OpenAI(**options_for(relay.url)) as client:
        stream = client.chat.completions.create(
            **CHAT,
            stream=True,
            extra_headers={"X-Request-Id": request_id},
            extra_body=simulator(tokens=100_000),
        )
        next(stream)
        stream.close()
        # While the client is open: its exit must not count.
        wait_until_cancelled(upstream, relay, request_id)


def test_async_openai_that_closes_a_stream_ends_it_on_the_upstream(
    upstream: Server, relay: Server, request_id: str
) -> None:
    async def leave() -> None:
        async with AsyncOpenAI(**options_for(relay.url)) as client:
            stream = await client.chat.completions.create(
                **CHAT,
                stream=True,
                extra_headers={"X-Request-Id": request_id},
                extra_body=simulator(tokens=100_000),
            )
            await anext(stream)
            await stream.close()
            wait_until_cancelled(upstream, relay, request_id)

    asyncio.run(leave())


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_openai_that_waits_no_longer_ends_the_answer_on_the_upstream(
    upstream: Server, relay: Server, see: See, request_id: str, stream: bool
) -> None:
    call = chat(
        stream=stream,
        timeout=2,  # By then it has reached the upstream.
        extra_headers={"X-Request-Id": request_id},
        extra_body=simulator(ttft_ms=60_000),
    )
    assert type(see(relay.url, call).error) is openai.APITimeoutError
    wait_until_cancelled(upstream, relay, request_id)
