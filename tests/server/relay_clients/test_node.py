"""OpenAI's client for Node."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.server.relay_clients.exchanges import (
    ERRORS,
    PROMPT,
    TOOL_CALL,
    USAGE,
    comparable,
    wait_until_cancelled,
)
from tests.server.test_clients import CHAT, fault, simulator
from tests.support.server import ROOT, Server

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
