"""The MCP server in examples/mcp on gunicorn, with the official SDKs as its clients, newer and older ones."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from flask_sluice.sse import EventParser
from tests.examples.installed import node_folder_with, python_with
from tests.examples.mcp_server.messages import VERSION, call
from tests.support.server import ROOT, Server, clean_environment, wait_until, without_proxies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
PYTHON_SDKS = {
    "mcp~=2.0": VERSION,
    "mcp==2.0.0": VERSION,
    "mcp~=1.30": "2025-11-25",
    "mcp==1.9.4 pydantic<2.12": "2025-03-26",
}
"""The newest and the oldest release for each era, and the version that it speaks."""
NODE_PACKAGES = ("@modelcontextprotocol/client@2", "@modelcontextprotocol/sdk@1")
NODE_SDKS = {"@modelcontextprotocol/client": VERSION, "@modelcontextprotocol/sdk": "2025-11-25"}
SEEN = {
    "tools": ["count_words", "read_pages"],
    "quick": "2 words",
    "slow": "3 pages read",
    "progress": [[1, 3, "page 1"], [2, 3, "page 2"], [3, 3, "page 3"]],
    "for the model": "Expected `str`, got `int` - at `$.text`",
}
PASSED = ("SUCCESS", "INFO", "SKIPPED")
ENDED = "the silent tool has ended"
CONFORMANCE = "@modelcontextprotocol/conformance"
CONFORMANCE_RELEASE = f"{CONFORMANCE}@0.2.0-alpha.12"
CONFORMANCE_NODE = 22
"""The oldest Node that runs the suite."""
TOOLS_SCENARIOS = {
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "tools-call-with-progress",
    "dns-rebinding-protection",
}
SCENARIOS = {
    VERSION: TOOLS_SCENARIOS
    | {"server-stateless", "server-sse-multiple-streams", "http-header-validation"},
    "2025-11-25": TOOLS_SCENARIOS | {"server-initialize", "ping"},
}
"""Those for what the example has: the suite's others are for resources, prompts, input that a server asks for, and the like."""


def new_server(**settings: object) -> Server:
    return Server(
        "tests.examples.mcp_server.tools_app:app",
        folder=ROOT / "examples/mcp",
        configuration="python:flask_sluice.server.settings",
        environment={"PYTHONPATH": f"{ROOT}/wsgi:{ROOT}"},
        **settings,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server() as server:
        yield server


@contextmanager
def program(*command: str | Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command,
        env=without_proxies(clean_environment()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_client(server: Server, version: str, *command: str | Path) -> None:
    """Check what the client sees, and that the server sees it close the response of the call that it cancels."""
    streams = len(server.logged("stream ended"))
    endings = server.log.count(ENDED)
    with program(*command) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = json.loads(process.stdout.readline())
        # The SDKs put words of their own before these.
        assert seen.pop("unknown").endswith("Unknown tool: unknown")
        assert seen.pop("broken").endswith("Internal error")
        assert seen == {"version": version, **SEEN}
        assert process.stdout.readline() == "cancelled\n"
        if version == VERSION:
            # The client is still connected: closing the response is all that it did.
            wait_until(lambda: server.log.count(ENDED) == endings + 1)
        process.stdin.close()
        assert process.wait(10) == 0
    wait_until(lambda: server.log.count(ENDED) == endings + 1)
    ended = wait_until(lambda: (ended := server.logged("stream ended")[streams:])[2:] and ended)
    assert [line["outcome"] for line in ended] == ["complete", "error", "cancelled"]


@pytest.mark.parametrize("requirement", PYTHON_SDKS)
def test_the_sdk_for_python_calls_tools_and_cancels_them(server, requirement):
    python = python_with(*requirement.split())
    run_client(server, PYTHON_SDKS[requirement], python, HERE / "client.py", f"{server.url}/mcp")


@pytest.mark.parametrize("package", NODE_SDKS)
def test_the_sdk_for_typescript_calls_tools_and_cancels_them(server, package, tmp_path):
    folder = node_folder_with(*NODE_PACKAGES)
    # A program finds the packages of the folder that it stands in.
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    shutil.copy(HERE / "client.mjs", tmp_path)
    run_client(
        server, NODE_SDKS[package], "node", tmp_path / "client.mjs", f"{server.url}/mcp", package
    )


def new_enough_node() -> str | Path:
    """Return a Node that runs the suite."""
    release = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(release.stdout.removeprefix("v").partition(".")[0]) >= CONFORMANCE_NODE:
        return "node"
    return node_folder_with(f"node@{CONFORMANCE_NODE}") / "node_modules/node/bin/node"


@pytest.mark.parametrize("version", SCENARIOS)
def test_the_conformance_suite_finds_nothing_wrong(server, version, tmp_path):
    modules = node_folder_with(CONFORMANCE_RELEASE) / "node_modules"
    subprocess.run(
        [
            new_enough_node(),
            modules / CONFORMANCE / "dist/index.js",
            *("server", "--url", f"{server.url}/mcp", "--requirements", version, "-o", tmp_path),
        ],
        cwd=tmp_path,
        env=without_proxies(clean_environment()),
        check=False,  # it counts the scenarios that are not the example's, too
        timeout=60,
    )
    for scenario in SCENARIOS[version]:
        (report,) = tmp_path.glob(f"server-{scenario}-20*/checks.json")
        checks = json.loads(report.read_text())
        assert any(check["status"] == "SUCCESS" for check in checks), scenario
        assert [check for check in checks if check["status"] not in PASSED] == []


def post(server: Server, tool: str) -> requests.Response:
    request = call(tool)
    return requests.post(
        f"{server.url}/mcp",
        json=request["json"],
        headers=request["headers"],
        stream=True,
        timeout=30,
    )


def test_a_silent_tool_is_kept_alive_by_comments_until_its_client_leaves(server):
    endings = server.log.count(ENDED)
    with post(server, "silent") as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [b": stream", *[b": keep-alive"] * 3]
        assert server.log.count(ENDED) == endings
    wait_until(lambda: server.log.count(ENDED) == endings + 1)


def test_the_clients_of_a_server_that_shuts_down_get_an_error():
    with new_server(drain_seconds=0.5) as server, post(server, "silent") as response:
        wait_until(lambda: "the silent tool has begun" in server.log)
        server.signal(signal.SIGTERM)
        (event,) = EventParser().feed(response.content)
        error = json.loads(event.data)
        assert (error["id"], error["error"]["code"]) == (7, -32603)
        assert "restarted" in error["error"]["message"]
        wait_until(lambda: ENDED in server.log)


def test_the_types_of_the_example_are_right(tmp_path):
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "."],
        cwd=ROOT / "examples/mcp",
        env={**clean_environment(), "MYPYPATH": str(ROOT / "wsgi")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
