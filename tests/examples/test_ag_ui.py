"""The app in examples/ag-ui on real servers, run by AG-UI's own client for JavaScript."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.examples.installed import node_folder_with, python_with
from tests.support.server import ROOT, Server, clean_environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOLDER = ROOT / "examples/ag-ui"
PROGRAM = Path(__file__).with_name("ag_ui_client.mjs").read_text()
SERVER_PACKAGES = ("gunicorn[gevent]~=27.0", "Flask~=3.1", "msgspec~=0.22")
CONFIGURATIONS = {
    "ours": ("python:flask_sluice.server.settings", ()),
    "gthread": (os.devnull, ("-k", "gthread", "--threads", "20", "--no-control-socket")),
}
AGENTS = {"newest": "ag-ui-protocol==1.0.0", "oldest": "ag-ui-protocol==0.1.10"}
"""The oldest of examples/ag-ui/requirements.txt."""
CLIENTS = {"newest": "@ag-ui/client@1.0.0", "older": "@ag-ui/client@0.0.45"}
CLOCK = {"name": "clock", "description": "Shows the time.", "parameters": {"type": "object"}}

ASKED = {
    "threadId": "thread-1",
    "runId": "run-1",
    "messages": [{"id": "message-1", "role": "user", "content": "Hi"}],
    "state": {},
    "tools": [],
    "context": [],
    "forwardedProps": {},
}
LEAVES = """
import sys

from app import app
from flask_sluice.testing import read_events

read_events(
    app.test_client(), "/agent", method="POST", data=sys.argv[1], leave_after=int(sys.argv[2])
)
"""

Run = Callable[..., dict[str, Any]]


@contextlib.contextmanager
def agent_on(kind: str, packages: str, **settings: object) -> Iterator[Server]:
    configuration, arguments = CONFIGURATIONS[kind]
    variables = {f"AGENT_{name.upper()}": str(value) for name, value in settings.items()}
    with Server(
        configuration=configuration,
        arguments=arguments,
        folder=FOLDER,
        python=python_with(AGENTS[packages], *SERVER_PACKAGES),
        environment={"PYTHONPATH": f"{ROOT}/wsgi", **variables},
    ) as server:
        yield server


@pytest.fixture(scope="module", params=["ours-newest", "gthread-oldest"])
def agent(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Waits after each word for longer than a comment takes to come."""
    pauses = {"seconds_between_words": 0.03, "sluice_keepalive_seconds": 0.01}
    with agent_on(*request.param.split("-"), **pauses) as server:
        yield server


@pytest.fixture(scope="module", params=["ours-newest", "gthread-oldest"])
def slow_agent(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Waits for a minute after each word."""
    pauses = {"seconds_between_words": 60, "sluice_keepalive_seconds": 0.05}
    with agent_on(*request.param.split("-"), **pauses) as server:
        yield server


@pytest.fixture(scope="module", params=CLIENTS)
def node(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Runs a program that can import the client, and returns its output."""
    folder = node_folder_with(CLIENTS[request.param])

    def node(program: str, *arguments: str) -> str:
        result = subprocess.run(
            ["node", "--input-type=module", "-e", program, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return node


@pytest.fixture(scope="module")
def run(node: Callable[..., str]) -> Run:
    """Runs an agent with the client, and returns what that saw."""

    def run(
        server: Server,
        content: Any,
        *,
        path: str = "/agent",
        tools: tuple[Any, ...] = (),
        leave_after: int | None = None,
    ) -> dict[str, Any]:
        asked = {
            "url": server.url + path,
            "runId": "run-1",
            "messages": [{"id": "message-1", "role": "user", "content": content}],
            "tools": tools,
            "leaveAfter": leave_after,
        }
        return json.loads(node(PROGRAM, json.dumps(asked)).splitlines()[-1])

    return run


def types(seen: dict[str, Any]) -> list[str]:
    return [event["type"] for event in seen["events"]]


def test_the_client_reads_the_run_event_by_event_and_has_its_message_and_state(agent, run):
    seen = run(agent, "Why stream?")
    assert seen["error"] is None
    assert types(seen) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        *["TEXT_MESSAGE_CONTENT"] * 4,
        "TEXT_MESSAGE_END",
        "STATE_SNAPSHOT",
        "RUN_FINISHED",
    ]
    first, last = seen["events"][0], seen["events"][-1]
    assert (first["threadId"], first["runId"]) == ("thread-1", "run-1")
    assert (last["threadId"], last["runId"]) == ("thread-1", "run-1")
    assert seen["messages"][-1]["role"] == "assistant"
    assert seen["messages"][-1]["content"] == "You asked: Why stream? "
    assert seen["state"] == {"words": 4}


def test_the_client_gets_the_call_of_its_tool(agent, run):
    seen = run(agent, "Show the clock", tools=(CLOCK,))
    assert seen["error"] is None
    assert [name for name in types(seen) if name.startswith("TOOL_CALL")] == [
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
    ]
    (call,) = [call for message in seen["messages"] for call in message.get("toolCalls", ())]
    assert call["function"]["name"] == "clock"
    assert json.loads(call["function"]["arguments"]) == {"words": 5}


def test_the_readmes_program_prints_the_answer(agent, node):
    (program,) = re.findall(r"```js\n(.+?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    words = node(program.replace("http://127.0.0.1:8000", agent.url)).splitlines()
    assert words == ["You ", "asked: ", "Why ", "stream? "]


def test_an_exception_of_the_agent_is_the_run_error_of_the_client(agent, run):
    logged = len(agent.log)
    seen = run(agent, "please fail now")
    assert types(seen)[-1] == "RUN_ERROR"
    assert types(seen).count("TEXT_MESSAGE_CONTENT") == 3
    assert seen["events"][-1]["message"] == "The agent failed."
    assert seen["events"][-1]["code"] == "internal_error"
    assert "does not answer" not in json.dumps(seen)
    wait_until(lambda: "ConnectionError: the model does not answer" in agent.log[logged:])


def test_a_client_that_aborts_stops_the_agent_at_once(slow_agent, run):
    logged = len(slow_agent.log)
    seen = run(slow_agent, "Why stream?", leave_after=3)
    assert types(seen)[:3] == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert "RUN_FINISHED" not in types(seen)
    wait_until(lambda: "the run run-1 is over" in slow_agent.log[logged:], timeout_seconds=5)
    assert "is complete" not in slow_agent.log[logged:]
    assert "Traceback" not in slow_agent.log[logged:]


def test_the_first_word_is_read_while_the_agent_works_on_the_second(slow_agent):
    with requests.post(f"{slow_agent.url}/agent", json=ASKED, stream=True, timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = filter(lambda line: line.startswith(b"data: "), response.iter_lines())
        events = [json.loads(next(lines).removeprefix(b"data: ")) for _ in range(3)]
    assert events[-1]["delta"] == "You "


def test_comments_come_while_the_agent_works(slow_agent):
    with requests.post(f"{slow_agent.url}/agent", json=ASKED, stream=True, timeout=10) as response:
        assert b": keep-alive" in response.iter_lines()


def test_a_question_in_parts_is_read(agent, run):
    parts = [{"type": "text", "text": "Why"}, {"type": "text", "text": "stream?"}]
    seen = run(agent, parts)
    assert seen["error"] is None
    assert seen["messages"][-1]["content"] == "You asked: Why stream? "


def test_a_run_whose_time_is_over_ends_with_a_run_error(run):
    limits = {"seconds_between_words": 60, "sluice_stream_timeout_seconds": 0.3}
    with agent_on("ours", "newest", **limits) as agent:
        seen = run(agent, "Why stream?")
    assert types(seen)[2:] == ["TEXT_MESSAGE_CONTENT", "RUN_ERROR"]
    assert seen["events"][-1]["code"] == "stream_timeout"


@pytest.mark.parametrize(
    ("leave_after", "log"),
    [(7, ["the run run-1 is over"]), (8, ["the run run-1 is complete", "the run run-1 is over"])],
    ids=["before-run-finished", "with-run-finished"],
)
def test_a_run_is_saved_though_its_client_leaves_with_run_finished(leave_after, log):
    python = python_with(AGENTS["newest"], *SERVER_PACKAGES)
    reads = subprocess.run(
        [python, "-c", LEAVES, json.dumps(ASKED), str(leave_after)],
        cwd=FOLDER,
        env={**clean_environment(), "PYTHONPATH": f"{ROOT}/wsgi"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert [line.partition("app: ")[2] for line in reads.stderr.splitlines()] == log


@pytest.mark.parametrize("body", ["{", "[]", '{"threadId": "t"}', ""])
def test_a_request_that_is_not_a_run_is_refused(agent, body):
    headers = {"Content-Type": "application/json"}
    response = requests.post(f"{agent.url}/agent", data=body, headers=headers, timeout=10)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_request"


def test_a_client_throws_the_status_of_a_refusal(agent, run):
    seen = run(agent, "Hi", path="/elsewhere")
    assert seen["events"] == []
    assert "404" in seen["error"]["message"]
