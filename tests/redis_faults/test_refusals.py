"""A Redis that is up and refuses, while forty readers on four workers come and go."""

import pytest

from tests.redis_faults.forty import assert_all_is_well, assert_all_will_expire, forty_readers
from tests.support.redis_servers import RedisNode
from tests.system.redis_server import RedisServer
from tests.system.test_journal_refusals import REFUSALS, Refusal

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_no_reader_misses_an_event_or_gets_one_twice(refusal: Refusal):
    with RedisNode() as redis, forty_readers(redis.url) as forty:
        refusal.begin(redis)
        forty.until_problem(refusal.told)
        refusal.end(redis)
        judgement = assert_all_is_well(forty)
        for lines in judgement.logs:
            assert [refusal.told in line for line in lines].count(True) == 2, lines
        assert_all_will_expire(redis.client)


def test_a_redis_that_loads_its_data_for_a_while_costs_no_reader_an_event():
    arguments = ("--loading-process-events-interval-bytes", "1024", "--key-load-delay", "300")
    with RedisServer(*arguments) as redis, forty_readers(redis.url) as forty:
        fill(redis, "other", 8000)
        redis.kill()
        redis.start()
        judgement = assert_all_is_well(forty)
        for lines in judgement.logs:
            assert any("loading" in line for line in lines), lines
        redis.client.delete(*redis.client.keys("other-*"))
        assert_all_will_expire(redis.client)


@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_keys_all_the_time_leaves_no_gap_that_is_not_told(policy: str):
    with RedisNode("--maxmemory-policy", policy) as redis:
        fill(redis, "other", 2000)
        redis.client.config_set("maxmemory", redis.client.info("memory")["used_memory"] + 3_000_000)
        with forty_readers(redis.url) as forty:
            for number in range(30):
                fill(redis, f"more-{number}", 200)
                forty.until_produced(3)
            assert redis.client.info("stats")["evicted_keys"] > 1000
            redis.client.config_set("maxmemory", 0)
            assert_all_is_well(forty, "reset")


def fill(redis: RedisNode | RedisServer, name: str, count: int) -> None:
    """Add keys of others', of 300 bytes each, that expire in an hour."""
    with redis.client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"{name}-{number}", "x" * 200, ex=3600)
        pipeline.execute()
