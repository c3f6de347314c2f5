"""Anthropic's client."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    RawUpstream,
    breaks_off,
    chunk,
    sends,
    streams,
)
from tests.server.relay_clients.exchanges import Script, answers_json
from tests.support.server import wait_until

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
