"""Runs the tests of the browser client that need no browser: one node process for each file."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SPEED_TESTS = "event-parser-speed.test.mjs"
TIMEOUT_SECONDS = 50


@pytest.mark.parametrize(
    "name", sorted({path.name for path in HERE.glob("*.test.mjs")} - {SPEED_TESTS})
)
def test_browser_client_under_node(name: str) -> None:
    run_node(name)


@pytest.mark.measures
def test_speed_of_the_event_parser_under_node() -> None:
    run_node(SPEED_TESTS)


def run_node(name: str) -> None:
    node = shutil.which("node")
    if node is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("node is not installed; tests/install-system-packages installs it")
    result = subprocess.run(
        [node, "--test-reporter=spec", name],
        cwd=HERE,
        check=False,
        timeout=TIMEOUT_SECONDS,
        capture_output=True,
        text=True,
    )
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
