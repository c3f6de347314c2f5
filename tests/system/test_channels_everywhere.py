"""What channels do in the memory of a process with threads, they do in Redis and with greenlets, too."""

import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT

TESTS = ("tests/unit/test_channels.py", "tests/unit/test_channel_presence.py")
_IN_GREENLETS = (
    "from gevent import monkey; monkey.patch_all()\n"
    "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
)


def run_tests(*, in_greenlets, url):
    how = ["-c", _IN_GREENLETS] if in_greenlets else ["-m", "pytest"]
    run = subprocess.run(
        [*(sys.executable, *how), "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=ROOT,
        env={**os.environ, **({"CHANNELS_TEST_REDIS_URL": url} if url else {})},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10_000:]


@pytest.mark.slow
@pytest.mark.parametrize("in_greenlets", [True, False], ids=["greenlets", "threads"])
def test_channels_do_the_same_in_redis(redis, in_greenlets):
    run_tests(in_greenlets=in_greenlets, url=redis.url)


@pytest.mark.slow
def test_channels_do_the_same_with_greenlets():
    run_tests(in_greenlets=True, url=None)
