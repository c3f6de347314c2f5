"""Runs the tests of Node's clients: one node process for each file, all of whose tests ask one server."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Node looks for packages in the folders above a program.
FOLDER = Path(__file__).parents[1] / "node" / "sdks"
TIMEOUT_SECONDS = 50


def run_node_tests(name: str, url: str) -> None:
    """Run a file of ``tests/node/sdks``, which finds the server's URL in ``SLUICE_URL``."""
    node = shutil.which("node")
    if node is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("node is not installed; tests/install-system-packages installs it")
    result = subprocess.run(
        [node, "--test-reporter=spec", name],
        cwd=FOLDER,
        env={**os.environ, "SLUICE_URL": url},
        check=False,
        timeout=TIMEOUT_SECONDS,
        capture_output=True,
        text=True,
    )
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
