"""Clients that know nothing of models: requests, curl."""

import json

import requests

from tests.server.raw_upstream import streams
from tests.server.relay_clients.exchanges import CHUNK, DONE, LAST, Script
from tests.server.test_clients import (
    CHAT,
    contents,
    curl,
    fault,
    needs_curl,
    post_with_requests,
    simulator,
    whole_answer,
)
from tests.support.server import Server


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
    of_the_relay = {
        "X-Content-Type-Options": "nosniff",
        "X-Upstream-Request-Id": "the-clients",  # The upstream has taken it over.
    }
    assert headers[1] == {**headers[0], **of_the_relay}


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
