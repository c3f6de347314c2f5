"""A short chaos run: ``make chaos`` makes a long one."""

import subprocess
import sys

import pytest

from tests.support.server import ROOT

_SECONDS = 25
_TIMEOUT_SECONDS = 240


@pytest.mark.slow
@pytest.mark.measures
def test_whatever_fails_readers_log_and_metrics_tell_the_same_and_nothing_is_lost():
    run = subprocess.run(
        [
            *(sys.executable, "-m", "tests.system.chaos"),
            *("--seconds", str(_SECONDS), "--seed", "1", "--readers", "40"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10_000:] + run.stderr[-5000:]
