"""A network between the workers and Redis that loses, delays and cuts, while forty readers come and go."""

import time
from collections.abc import Iterator

import pytest

from tests.redis_faults.forty import (
    assert_all_is_well,
    assert_all_will_expire,
    forty_readers,
)
from tests.redis_faults.proxy import RedisProxy
from tests.support.redis_servers import RedisNode
from tests.support.server import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def redis() -> Iterator[RedisNode]:
    with RedisNode() as redis:
        yield redis
        assert_all_will_expire(redis.client)


@pytest.fixture
def proxy(redis: RedisNode) -> Iterator[RedisProxy]:
    with RedisProxy(redis.port) as proxy:
        yield proxy


def test_packets_that_vanish_for_a_second_cost_no_reader_an_event(proxy):
    with forty_readers(proxy.url) as forty:
        proxy.swallow()
        forty.until_produced(50)
        proxy.pass_on()
        assert_all_is_well(forty)


def test_packets_that_vanish_for_twelve_seconds_cost_no_reader_an_event(proxy):
    """Longer than the streams are kept: what has expired, the producer stores again."""
    with forty_readers(proxy.url) as forty:
        vanished_at = time.monotonic()
        proxy.swallow()
        forty.until_problem("imeout")
        wait_until(lambda: time.monotonic() > vanished_at + 12, 12)
        proxy.pass_on()
        judgement = assert_all_is_well(forty)
        assert judgement.silence_seconds > 11
        for lines in judgement.logs:
            assert [("imeout" in line) for line in lines].count(True) == 2, lines


def test_a_slow_network_costs_no_reader_an_event_and_is_not_a_problem(proxy):
    proxy.delay_seconds = 0.05
    with forty_readers(proxy.url) as forty:
        forty.until_produced(100)
        assert assert_all_is_well(forty).logs == [[], []]


def test_connections_that_redis_closes_again_and_again_cost_no_reader_an_event(redis):
    with forty_readers(redis.url) as forty:
        for _ in range(20):
            redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            forty.until_produced(5)
        assert_all_is_well(forty)


def test_connections_that_redis_closes_when_they_are_idle_cost_no_reader_an_event(redis):
    redis.client.config_set("timeout", 1)
    with forty_readers(redis.url, streams=1, per_second=0.6) as forty:
        forty.until_produced(3)
        assert assert_all_is_well(forty).logs == [[], []]
