"""What the unit tests of kept streams hold in memory and on threads, over Redis and on gevent."""

import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT

_PATCH = "from gevent import monkey; monkey.patch_all()\n"
_PROGRAM = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "patch"),
    [("memory", _PATCH), ("redis", ""), ("redis", _PATCH)],
    ids=["memory-gevent", "redis-threads", "redis-gevent"],
)
def test_kept_streams_are_the_same(redis, place, patch):
    url = {"JOURNAL_TEST_REDIS_URL": redis.url} if place == "redis" else {}
    run = subprocess.run(
        [
            *(sys.executable, "-c", patch + _PROGRAM, "-q", "-p", "no:cacheprovider"),
            *("tests/unit/kept_streams", "tests/unit/test_extension.py"),
        ],
        cwd=ROOT,
        env={**os.environ, **url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout
