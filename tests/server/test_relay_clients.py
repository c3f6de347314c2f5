"""The official clients in front of a relay: each sees what it would see from the upstream itself."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest
import requests
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI
from openai.pagination import SyncPage

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Handler,
    RawUpstream,
    breaks_off,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.server.test_clients import (
    CHAT,
    WEATHER_TOOL,
    contents,
    curl,
    fault,
    needs_curl,
    post_with_requests,
    simulator,
    whole_answer,
)
from tests.support.server import ROOT, Server, wait_until

PROMPT = {"model": "llama-3-70b", "prompt": "Once upon a time"}
TOOL_CALL = {"name": "get_weather", "arguments": {"city": "Paris"}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    """The simulator."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def relay(upstream: Server) -> Iterator[Server]:
    with Server(upstream=f"{upstream.url}/v1") as server:
        yield server


@pytest.fixture
def request_id() -> str:
    return uuid.uuid4().hex


def comparable(value: Any) -> Any:
    """JSON without what is new in every answer of the simulator: ids and times."""
    text = re.sub(r"\b(chatcmpl-|cmpl-|call_)[0-9a-f]{24,}", r"\1", json.dumps(value))
    return json.loads(re.sub(r'"created": \d+', '"created": 0', text))


# An upstream that says what the test wrote


class Script:
    """Each request gets the next answer.

    url: of the upstream itself
    relay_url: of a relay in front of it
    headers: of the requests that came
    """

    def __init__(self, raw: RawUpstream, relay: Server) -> None:
        self.url = raw.url.removesuffix("/v1")
        self.relay_url = relay.url
        self.answers: list[Handler] = []
        self.headers: list[dict[str, str]] = []
        raw.handler = self._answer

    def _answer(self, sock: socket.socket, request: bytes) -> None:
        self.headers.append(headers_of(request))
        self.answers.pop(0)(sock, request)


@pytest.fixture(scope="module")
def raw_relay(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=raw_upstream.url) as server:
        yield server


@pytest.fixture
def script(raw_upstream: RawUpstream, raw_relay: Server) -> Script:
    return Script(raw_upstream, raw_relay)


@pytest.fixture(params=["direct", "relayed"])
def script_url(request: pytest.FixtureRequest, script: Script) -> str:
    return script.url if request.param == "direct" else script.relay_url


def answers_json(body: object, status: str = "200 OK", **headers: object) -> Handler:
    return sends(whole(json.dumps(body).encode(), status, **headers))


# openai: all of this holds for the synchronous and for the asynchronous client

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


@pytest.fixture(params=[see_sync, see_async], ids=["sync", "async"])
def see(request: pytest.FixtureRequest) -> See:
    return request.param


def chat(**fields: Any) -> Call:
    return lambda client: client.chat.completions.create(**CHAT, **fields)


def completion(**fields: Any) -> Call:
    return lambda client: client.completions.create(**PROMPT, **fields)


TOOLS: dict[str, Any] = {"tools": [WEATHER_TOOL], "extra_body": simulator(tool_call=TOOL_CALL)}
USAGE = {"stream_options": {"include_usage": True}}

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


ERRORS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


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
    "no-such-route": lambda client: client.embeddings.create(model="any", input="text"),
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
    assert type(see(script_url, chat()).error) is openai.APIConnectionError


CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'
)
LAST = CHUNK.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
DONE = b"data: [DONE]\n\n"


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


def ended(server: Server, request_id: str) -> list[object]:
    """The outcomes of the streams with that id, as the log has them."""
    return [line["outcome"] for line in server.logged("stream ended", request_id=request_id)]


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


def wait_until_cancelled(upstream: Server, relay: Server, request_id: str) -> None:
    for server in (upstream, relay):
        wait_until(lambda server=server: ended(server, request_id) == ["cancelled"])


# anthropic

MESSAGE: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
}
CLAUDES = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 25, "output_tokens": 1},
}


def named(name: str, **fields: object) -> bytes:
    """An event as Anthropic writes it."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def text_delta(text: str) -> bytes:
    return named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def json_delta(text: str) -> bytes:
    delta = {"type": "input_json_delta", "partial_json": text}
    return named("content_block_delta", index=1, delta=delta)


BEGINNING = (
    named("message_start", message=CLAUDES),
    named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    named("ping"),
    text_delta("Hello"),
    text_delta(", wörld"),
)
CALL_OF_TOOL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
END = (
    named("content_block_stop", index=0),
    named("content_block_start", index=1, content_block=CALL_OF_TOOL),
    json_delta('{"city": '),
    json_delta('"Paris"}'),
    named("content_block_stop", index=1),
    named(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 15},
    ),
    named("message_stop"),
)
OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}


@pytest.fixture
def claude(script_url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=script_url, api_key="key", max_retries=0) as client:
        yield client


def read_messages(client: Anthropic) -> tuple[list[str], Exception]:
    """The texts of a stream that fails, and what it failed with."""
    texts: list[str] = []
    with (
        pytest.raises(anthropic.AnthropicError) as raised,
        client.messages.stream(**MESSAGE) as stream,
    ):
        texts.extend(stream.text_stream)
    return texts, raised.value


def test_anthropic_puts_a_stream_together(script: Script, claude: Anthropic) -> None:
    script.answers = [streams(*BEGINNING, *END)]
    with claude.messages.stream(**MESSAGE) as stream:
        assert list(stream.text_stream) == ["Hello", ", wörld"]
        final = stream.get_final_message()
    text, tool_call = final.content
    assert text.text == "Hello, wörld"
    assert tool_call.input == {"city": "Paris"}
    assert final.stop_reason == "tool_use"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (25, 15)


def test_anthropic_sees_each_event(script: Script, claude: Anthropic) -> None:
    script.answers = [streams(*BEGINNING, *END)]
    with claude.messages.create(**MESSAGE, stream=True) as stream:
        types = [event.type for event in stream]
    assert types == [
        "message_start",
        *["content_block_start", *["content_block_delta"] * 2, "content_block_stop"] * 2,
        "message_delta",
        "message_stop",
    ]


def test_anthropic_gets_each_event_as_it_comes(script: Script, claude: Anthropic) -> None:
    has_come = threading.Event()

    def answer(sock: socket.socket, request: bytes) -> None:
        sends(STREAM_HEAD, *map(chunk, BEGINNING))(sock, request)
        assert has_come.wait(30)
        sends(*map(chunk, END), LAST_CHUNK)(sock, request)

    script.answers = [answer]
    with claude.messages.stream(**MESSAGE) as stream:
        texts = stream.text_stream
        assert [next(texts), next(texts)] == ["Hello", ", wörld"]
        has_come.set()
        assert stream.get_final_message().stop_reason == "tool_use"


OF_THE_CONNECTION = {
    "host": "",
    "connection": "",
    "accept-encoding": "",  # A compressed stream cannot be cut into events.
    "x-request-id": "",
}


def test_anthropics_headers_reach_the_upstream(script: Script) -> None:
    script.answers = [streams(*BEGINNING, *END)] * 2
    for url in (script.url, script.relay_url):
        with (
            Anthropic(base_url=url, api_key="key", default_headers={"x-api-key": "k"}) as client,
            client.messages.stream(**MESSAGE) as stream,
        ):
            stream.until_done()
    direct, relayed = ({**headers, **OF_THE_CONNECTION} for headers in script.headers)
    assert "anthropic-version" in direct
    assert direct["x-api-key"] == "k"
    assert relayed == direct


def test_anthropic_gets_a_whole_message(script: Script, claude: Anthropic) -> None:
    content = [{"type": "text", "text": "Hello, wörld"}]
    body = {**CLAUDES, "content": content, "stop_reason": "end_turn"}
    script.answers = [answers_json(body, Request_Id="req_1")]
    message = claude.messages.create(**MESSAGE)
    assert message.content[0].text == "Hello, wörld"
    assert message._request_id == "req_1"


@pytest.mark.parametrize(
    ("status", "type_", "error"),
    [
        ("401 Unauthorized", "authentication_error", anthropic.AuthenticationError),
        ("429 Too Many Requests", "rate_limit_error", anthropic.RateLimitError),
        ("529 Overloaded", "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_anthropic_raises_the_upstreams_refusal(
    script: Script,
    claude: Anthropic,
    status: str,
    type_: str,
    error: type[anthropic.APIStatusError],
) -> None:
    body = {"type": "error", "error": {"type": type_, "message": "no"}}
    script.answers = [answers_json(body, status, Retry_After=7, Request_Id="req_1")]
    texts, raised = read_messages(claude)
    assert texts == []
    assert isinstance(raised, error)
    assert raised.body == body
    assert raised.response.headers["retry-after"] == "7"
    assert raised.request_id == "req_1"


def test_anthropic_raises_an_error_in_mid_stream(script: Script, claude: Anthropic) -> None:
    script.answers = [streams(*BEGINNING, named("error", error=OVERLOADED))]
    texts, raised = read_messages(claude)
    assert texts == ["Hello", ", wörld"]
    assert isinstance(raised, anthropic.APIStatusError)
    assert raised.body == {"type": "error", "error": OVERLOADED}


def test_anthropic_sees_an_error_as_first_event_with_its_status(script: Script) -> None:
    script.answers = [streams(named("error", error=OVERLOADED))]
    with Anthropic(base_url=script.relay_url, api_key="key", max_retries=0) as client:
        texts, raised = read_messages(client)
    assert texts == []
    assert isinstance(raised, anthropic.APIStatusError)
    assert raised.status_code == 529
    assert raised.body == {"type": "error", "error": OVERLOADED}


@pytest.mark.parametrize(
    "rest", [(), (text_delta("!")[:30],)], ids=["between-events", "inside-an-event"]
)
def test_anthropic_raises_a_stream_that_is_cut(script: Script, rest: tuple[bytes, ...]) -> None:
    script.answers = [breaks_off(*BEGINNING, *rest)]
    with Anthropic(base_url=script.relay_url, api_key="key", max_retries=0) as client:
        texts, raised = read_messages(client)
    assert texts == ["Hello", ", wörld"]
    assert isinstance(raised, anthropic.APIStatusError)
    assert raised.body["type"] == "error"
    assert raised.body["error"]["code"] == "upstream_truncated"


def test_anthropic_that_leaves_closes_the_upstreams_connection(
    script: Script, raw_upstream: RawUpstream
) -> None:
    script.answers = [sends(STREAM_HEAD, *map(chunk, BEGINNING))]
    with Anthropic(base_url=script.relay_url, api_key="key") as client:
        with client.messages.stream(**MESSAGE) as stream:
            next(stream.text_stream)
            asked_at = time.monotonic()
        wait_until(lambda: closed_since(raw_upstream, asked_at))


def closed_since(raw: RawUpstream, moment: float) -> bool:
    return any((connection.closed_at or 0) > moment for connection in raw.connections)


# openai for Node

NODE = ROOT / "tests" / "node"


@pytest.fixture(scope="module")
def node() -> Iterator[Callable[..., Any]]:
    """Makes a call with the client for Node, see tests/node/client.mjs."""
    if shutil.which("node") is None or not (NODE / "node_modules" / "openai").exists():
        reason = "node, or its packages, are not installed; make test does that"
        pytest.fail(reason) if "CI" in os.environ else pytest.skip(reason)
    with subprocess.Popen(
        ["node", "client.mjs"], cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def see(url: str, call: str, *parameters: Any, leave: bool = False) -> Any:
            asked = {"url": url, "call": call, "parameters": parameters, "leave": leave}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            yield see
        finally:
            process.kill()


NODE_CHAT = "chat.completions.create"
NODE_ANSWERS: dict[str, tuple[Any, ...]] = {
    "stream": (NODE_CHAT, {**CHAT, "stream": True, **simulator()}),
    "stream-usage": (NODE_CHAT, {**CHAT, "stream": True, **USAGE, **simulator()}),
    "stream-tools": (NODE_CHAT, {**CHAT, "stream": True, **simulator(tool_call=TOOL_CALL)}),
    "whole": (NODE_CHAT, {**CHAT, "n": 2, **simulator()}),
    "completion-stream": ("completions.create", {**PROMPT, "stream": True, **simulator()}),
    "models": ("models.list",),
}


@pytest.mark.parametrize("call", NODE_ANSWERS.values(), ids=NODE_ANSWERS.keys())
def test_node_gets_the_upstreams_answer(
    upstream: Server, relay: Server, node: Callable[..., Any], call: tuple[Any, ...]
) -> None:
    relayed = node(relay.url, *call)
    assert relayed["items"]
    assert relayed["error"] is None
    assert comparable(relayed) == comparable(node(upstream.url, *call))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("status", ERRORS)
def test_node_raises_the_upstreams_refusal(
    upstream: Server, relay: Server, node: Callable[..., Any], status: int, stream: bool
) -> None:
    body = {**CHAT, "stream": stream, **fault("status", status=status, retry_after=7)}
    relayed = node(relay.url, NODE_CHAT, body)
    # The same names as in Python.
    assert relayed["error"]["class"] == ERRORS[status].__name__
    assert (relayed["error"]["code"], relayed["error"]["retryAfter"]) == ("simulated", "7")
    assert relayed == node(upstream.url, NODE_CHAT, body)


def test_node_raises_an_error_in_mid_stream(
    upstream: Server, relay: Server, node: Callable[..., Any]
) -> None:
    body = {**CHAT, "stream": True, **fault("error_event", after=3)}
    relayed = node(relay.url, NODE_CHAT, body)
    assert len(relayed["items"]) == 1 + 3
    assert relayed["error"]["code"] == "upstream_error"
    assert comparable(relayed) == comparable(node(upstream.url, NODE_CHAT, body))


@pytest.mark.parametrize("kind", ["cut", "reset", "truncate"])
def test_node_raises_a_stream_without_its_end(
    relay: Server, node: Callable[..., Any], kind: str
) -> None:
    relayed = node(relay.url, NODE_CHAT, {**CHAT, "stream": True, **fault(kind, after=3)})
    assert len(relayed["items"]) >= 3
    assert relayed["error"]["isAPIError"]
    assert relayed["error"]["code"] == "upstream_truncated"


def test_node_that_leaves_a_stream_ends_it_on_the_upstream(
    upstream: Server, relay: Server, node: Callable[..., Any], request_id: str
) -> None:
    body = {**CHAT, "stream": True, **simulator(tokens=100_000)}
    options = {"headers": {"X-Request-Id": request_id}}
    assert node(relay.url, NODE_CHAT, body, options, leave=True)["error"] is None
    wait_until_cancelled(upstream, relay, request_id)


# requests


def test_requests_gets_the_upstreams_bytes(script: Script) -> None:
    seen = []
    for url in (script.url, script.relay_url):
        script.answers = [streams(CHUNK, CHUNK, LAST, DONE)]
        with post_with_requests(url) as response:
            seen.append(response.content)
    assert seen == [CHUNK + CHUNK + LAST + DONE] * 2


def test_requests_gets_the_upstreams_headers(upstream: Server, relay: Server) -> None:
    headers = []
    for server in (upstream, relay):
        with requests.post(
            f"{server.url}/v1/chat/completions",
            json={**CHAT, "stream": True, **simulator()},
            headers={"X-Request-Id": "the-clients"},
            timeout=30,
        ) as response:
            headers.append({**response.headers, "Date": "now"})
    assert headers[0] == headers[1]


def test_requests_gets_each_line_as_it_comes(upstream: Server, relay: Server) -> None:
    # The stream stands still after three tokens, so whoever waits for more sees nothing.
    with post_with_requests(relay.url, **fault("stall", after=3)) as response:
        lines = filter(None, response.iter_lines())
        events = [json.loads(next(lines).removeprefix(b"data: ")) for _ in range(4)]
    assert contents(events) == whole_answer(upstream, **simulator(tokens=3))


def test_requests_gets_the_upstreams_refusal(upstream: Server, relay: Server) -> None:
    seen = []
    for server in (upstream, relay):
        with post_with_requests(
            server.url, **fault("status", status=429, retry_after=7)
        ) as response:
            seen.append((response.status_code, response.headers["Retry-After"], response.content))
    assert seen[0] == seen[1]
    assert seen[1][:2] == (429, "7")


# curl


@needs_curl
def test_curl_prints_a_stream_to_its_end(upstream: Server, relay: Server) -> None:
    with curl(relay.url, **simulator()) as process:
        *events, done, after = process.stdout.read().split(b"\n\n")
        assert process.wait() == 0
    assert (done, after) == (b"data: [DONE]", b"")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert contents(chunks) == whole_answer(upstream, **simulator())


@needs_curl
def test_curl_prints_each_event_as_it_comes(relay: Server) -> None:
    with curl(relay.url, **fault("stall", after=3)) as process:
        # The role and three tokens, each with a blank line; then the stream stands still.
        lines = [process.stdout.readline() for _ in range(8)]
    assert [line[:6] for line in lines] == [b"data: ", b"\n"] * 4


@needs_curl
def test_curl_prints_an_error_at_the_end_of_a_cut_stream(relay: Server) -> None:
    with curl(relay.url, **fault("cut")) as process:
        *_, last, after = process.stdout.read().split(b"\n\n")
        assert process.wait() == 0
    assert after == b""
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_truncated"
