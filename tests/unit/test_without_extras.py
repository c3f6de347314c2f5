"""Streams with nothing but Flask and msgspec, on a system that is not Unix."""

import subprocess
import sys

from tests.support.server import ROOT


def test_streams_need_no_extra_and_nothing_of_unix():
    streamed = subprocess.run(
        [sys.executable, ROOT / "tests/support/without_unix.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert streamed.stdout.splitlines() == [
        *("complete 3", "left True", "201 one", "the generator was closed")
    ], streamed.stderr
