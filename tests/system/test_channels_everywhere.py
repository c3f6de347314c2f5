"""What channels do in the memory of a process with threads, they do in Redis and with greenlets, too."""

import pytest

from tests.support import once_more

TESTS = ("tests/unit/test_channels.py", "tests/unit/test_channel_presence.py")


@pytest.mark.slow
@once_more.has_time
@pytest.mark.parametrize("in_greenlets", [True, False], ids=["greenlets", "threads"])
def test_channels_do_the_same_in_redis(redis, in_greenlets):
    once_more.run_tests(*TESTS, in_greenlets=in_greenlets, CHANNELS_TEST_REDIS_URL=redis.url)


@pytest.mark.slow
@once_more.has_time
def test_channels_do_the_same_with_greenlets():
    once_more.run_tests(*TESTS, in_greenlets=True)
