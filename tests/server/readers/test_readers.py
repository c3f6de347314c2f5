"""Comments come before the first event, between events and behind an id; clients of npm and PyPI see none of them."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flask_sluice.sse import EventParser
from tests.support.server import ROOT, Server, clean_environment, without_proxies
from tests.support.stream import ask, chat, get, post

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
# A comment is due every 0.1 s, so that several stand before the first event and in each gap.
SETTINGS = {"keepalive_seconds": 0.1, "commit_seconds": 0.1}
# All clients are there before the first event, on a busy machine, too.
BODY = chat(simulator={"text": "one two three", "ttft_ms": 2500, "itl_ms": 400})
Seen = dict[str, dict[str, list[list[str]]]]
"""What each client saw of each route: the types and the data of events."""

BROKEN_BY_BLANK_LINES = {
    "resumable": {"@microsoft/fetch-event-source", "extended-eventsource", "httpx-sse"},
    "chat": {"@microsoft/fetch-event-source"},
}


@pytest.fixture(scope="session")
def python(pytestconfig: pytest.Config) -> str:
    """A Python with the clients from PyPI; kept, since installing them takes a minute."""
    requirements = HERE / "requirements.txt"
    version = f"{sys.version}{requirements.read_text()}".encode()
    name = f"readers-{hashlib.sha256(version).hexdigest()[:12]}"
    folder = Path(pytestconfig.cache.mkdir("readers")) / name
    program = folder / "bin/python"
    # Other processes of this run want it too.
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            pip = [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet"]
            subprocess.run([*pip, "--requirement", str(requirements)], check=True)
            (folder / "installed").touch()
    return str(program)


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("node is not installed; tests/install-system-packages installs it")
    assert found is not None
    return found


@pytest.fixture(params=["npm", "PyPI"])
def read_with_all(
    request: pytest.FixtureRequest,
) -> Callable[[Server], tuple[Seen, list[list[str]]]]:
    """Have all clients of a registry read one answer; return what they saw, and the events of the resumable stream."""
    if request.param == "npm":
        command = [request.getfixturevalue("node"), str(ROOT / "tests/node/readers.mjs")]
    else:
        command = [request.getfixturevalue("python"), str(HERE / "python_readers.py")]

    def read(server: Server) -> tuple[Seen, list[list[str]]]:
        result = subprocess.run(
            [*command, server.url, json.dumps(BODY)],
            env=without_proxies(clean_environment()),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        report = json.loads(result.stdout)
        events = EventParser().feed(ask(server, get(report["path"]))[1])
        return report["seen"], [[event.event, event.data] for event in events]

    return read


def contents_of(seen: list[list[str]]) -> list[Any]:
    """What each event says; "" for an empty one. Not every client shows [DONE], and only some routes send usage."""
    chunks = [data and json.loads(data) for _, data in seen if data != "[DONE]"]
    return [
        chunk and chunk["choices"][0]["delta"].get("content")
        for chunk in chunks
        if not chunk or chunk["choices"]
    ]


def test_clients_see_all_events_and_no_others(read_with_all):
    with Server(**SETTINGS) as server:
        seen, events = read_with_all(server)
        assert b": keep-alive\n: keep-alive\n" in ask(server, post("/v1/chat/completions", BODY))[1]
    assert seen["resumable"] == dict.fromkeys(seen["resumable"], events)
    contents = contents_of(events[:-1])
    assert "".join(filter(None, contents)) == "one two three"
    assert {name: contents_of(of) for name, of in seen["chat"].items()} == dict.fromkeys(
        seen["chat"], contents
    )


def test_a_blank_line_behind_comments_makes_empty_events_in_some_clients(read_with_all):
    with Server(**SETTINGS, keepalive_blank_line=1) as server:
        seen, _ = read_with_all(server)
    for route, clients in seen.items():
        broken = {name for name, of in clients.items() if any(not data for _, data in of)}
        assert broken == BROKEN_BY_BLANK_LINES[route] & set(clients)
