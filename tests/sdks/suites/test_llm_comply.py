"""llm-comply, a compliance test of servers of several APIs, judges the simulator."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.examples.installed import python_with
from tests.support.server import Server, clean_environment, without_proxies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PACKAGE = "llm-comply==0.5.0"
FORMATS = {
    "openai-chat": ("/v1",),
    "open-responses": ("/v1",),
    "anthropic": ("/v1", "--auth-header", "x-api-key", "--no-bearer"),
    "google-genai": ("",),
}

_COMPACTION = "responses cannot be compacted"
_PARTS = "the suite demands container, server_tool_use, citations and caller, which the real API leaves out where they are null"
NOT_LIKE_THE_REAL_API = {
    **dict.fromkeys(["compact-response", "compact-missing-model"], _COMPACTION),
    **dict.fromkeys(
        [
            "anth-basic-response",
            "anth-system-prompt",
            "anth-multi-turn",
            "anth-tool-calling",
            "anth-image-input",
        ],
        _PARTS,
    ),
}


def results(server: Server, name: str) -> list[dict[str, object]]:
    """Return what llm-comply says of each of its tests of this API."""
    program = Path(python_with(PACKAGE)).with_name("llm-comply")
    path, *options = FORMATS[name]
    judged = ("--format", name, "--base-url", server.url + path, "--model", "gpt-5")
    run = subprocess.run(
        [program, *judged, "--api-key", "none", "--json", *options],
        env=without_proxies(clean_environment()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout, run.stderr
    return json.loads(run.stdout)["results"]


def test_the_compliance_tests_pass_but_for_those_named(sluice):
    # Its questions cannot ask for a quicker answer, so the three take their time together.
    python_with(PACKAGE)
    with ThreadPoolExecutor(len(FORMATS)) as threads:
        by_format = list(threads.map(lambda name: results(sluice, name), FORMATS))
    every = [result for of_one in by_format for result in of_one]
    failed = [result for result in every if result["status"] not in ("passed", "skipped")]
    new = [result for result in failed if result["id"] not in NOT_LIKE_THE_REAL_API]
    assert new == []
    assert len(every) > 25
