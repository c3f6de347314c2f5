"""Runs tests once more, in a process of its own: with greenlets in place of threads, or with other variables."""

import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT

_LIMIT_SECONDS = 240
"""Ten times as long as it takes on a machine that does nothing else."""
_PLAIN = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
_IN_GREENLETS = f"from gevent import monkey; monkey.patch_all()\n{_PLAIN}"

has_time = pytest.mark.timeout(_LIMIT_SECONDS + 20)
"""For a test that calls ``run_tests``."""


def run_tests(*arguments: str, in_greenlets: bool, **variables: str) -> None:
    """Fail if one of the tests fails. arguments: pytest's; variables: of the environment"""
    program = _IN_GREENLETS if in_greenlets else _PLAIN
    run = subprocess.run(
        [sys.executable, "-c", program, "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10_000:]
