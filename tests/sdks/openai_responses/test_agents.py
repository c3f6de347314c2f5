"""OpenAI's Agents SDK against the simulator."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.examples.installed import python_with

PROGRAM = Path(__file__).with_name("agent.py")


@pytest.mark.slow
def test_an_agent_with_a_tool_comes_to_an_answer(sluice):
    python = python_with("openai-agents==0.24.0")
    result = subprocess.run(
        [python, PROGRAM, sluice.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert len(told["called"]) == 1
    assert told["answer"] == told["deltas"]
    assert "it rains" in told["answer"]
