"""What the unit tests of kept streams hold in memory and on threads, over Redis and on gevent."""

import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT

LIMIT_SECONDS = 200
"""On a machine that does nothing else each takes less than a tenth of it."""
_PATCH = "from gevent import monkey; monkey.patch_all()\n"
_PROGRAM = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_SECONDS + 20)
@pytest.mark.parametrize("tests", ["tests/unit/kept_streams", "tests/unit/test_extension.py"])
@pytest.mark.parametrize(
    ("place", "patch"),
    [("memory", _PATCH), ("redis", ""), ("redis", _PATCH)],
    ids=["memory-gevent", "redis-threads", "redis-gevent"],
)
def test_kept_streams_are_the_same(redis, place, patch, tests):
    url = {"JOURNAL_TEST_REDIS_URL": redis.url} if place == "redis" else {}
    run = subprocess.run(
        [sys.executable, "-c", patch + _PROGRAM, "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        env={**os.environ, **url},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout
