"""What the unit tests of kept streams hold in memory and on threads, over Redis and on gevent."""

import pytest

from tests.support import once_more


@pytest.mark.slow
@once_more.has_time
@pytest.mark.parametrize("tests", ["tests/unit/kept_streams", "tests/unit/test_extension.py"])
@pytest.mark.parametrize(
    ("place", "in_greenlets"),
    [("memory", True), ("redis", False), ("redis", True)],
    ids=["memory-gevent", "redis-threads", "redis-gevent"],
)
def test_kept_streams_are_the_same(redis, place, in_greenlets, tests):
    url = {"JOURNAL_TEST_REDIS_URL": redis.url} if place == "redis" else {}
    once_more.run_tests(tests, in_greenlets=in_greenlets, **url)
