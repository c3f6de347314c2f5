"""The suite itself: what it gives to the programs that tests start."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.server import ROOT

WARNINGS_AS_ERRORS = ROOT / "tests/support/warnings_as_errors"


def ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_program_that_a_test_starts_reacts_to_ctrl_c():
    program = "import signal; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_it_does_so_where_the_suite_is_started_by_a_script_in_its_background():
    this = f"{__file__}::{test_a_program_that_a_test_starts_reacts_to_ctrl_c.__name__}"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", this],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=ignore_ctrl_c,
    )


@pytest.mark.parametrize(
    ("module", "is_error"),
    [("flask_sluice.stream.x", True), ("flask_sluice", True), ("gunicorn.x", False)],
)
def test_warnings_of_our_own_modules_alone_can_be_made_errors(module, is_error):
    warn = "import warnings; warnings.warn('old', DeprecationWarning)"
    program = f"exec(compile({warn!r}, 'x.py', 'exec'), {{'__name__': {module!r}}})"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(WARNINGS_AS_ERRORS)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ("DeprecationWarning: old" in ended.stderr) == is_error
    assert bool(ended.returncode) == is_error
