"""OpenAI's Node SDK against the simulator's Responses API: client.mjs holds the checks, one process runs them all."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server import ROOT

PROGRAM = Path(__file__).parent / "client.mjs"
PACKAGES = ROOT / "tests/node"
TIMEOUT_SECONDS = 60


def test_the_node_sdk_speaks_with_the_simulator(sluice, tmp_path):
    node = shutil.which("node")
    if node is None or not (PACKAGES / "node_modules/openai").exists():
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("node, or its package openai, is not installed")
    # Node looks for packages beside the program.
    (tmp_path / "node_modules").symlink_to((PACKAGES / "node_modules").resolve())
    program = tmp_path / PROGRAM.name
    program.write_text(PROGRAM.read_text())
    result = subprocess.run(
        [node, "--test", program],
        env={**os.environ, "SLUICE_URL": sluice.url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
