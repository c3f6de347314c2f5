"""What is left in Redis of processes that were killed, and of clients that never come back: nothing, in the end."""

from contextlib import closing

import pytest

from flask_sluice.gateway.request.rate_limits import RateLimits
from tests.support.server import wait_until
from tests.system.channel_worker import ChannelWorker
from tests.system.journal_worker import JournalWorker, new_stream_id
from tests.system.redis_server import RedisServer

pytestmark = pytest.mark.slow


def keys_of(redis: RedisServer) -> list[bytes]:
    return list(redis.client.scan_iter(count=1000))


@pytest.fixture
def redis():
    with RedisServer() as redis:
        yield redis


def test_of_streams_whose_workers_were_killed_nothing_is_left(redis):
    options = {"history_seconds": 1.0, "lease_seconds": 1.0, "abandon_seconds": 1.0}
    with (
        JournalWorker(redis.url, **options) as producer,
        JournalWorker(redis.url, **options) as follower,
    ):
        running, finished = new_stream_id(), new_stream_id()
        for stream_id in (running, finished):
            producer.create(stream_id)
            reader = follower.follow(stream_id)
            producer.append(stream_id, 3)
            follower.until_has(reader, 3)
        producer.finish(finished)
        follower.all_ids(reader)
        producer.kill()
        follower.kill()
        assert keys_of(redis)
        wait_until(lambda: keys_of(redis) == [], 10, lambda: str(keys_of(redis)))


def test_of_a_redis_that_was_away_meanwhile_nothing_is_left_either(redis):
    options = {"history_seconds": 1.0, "lease_seconds": 1.0, "abandon_seconds": 1.0}
    with JournalWorker(redis.url, **options) as producer:
        stream_id = new_stream_id()
        producer.create(stream_id)
        producer.append(stream_id, 3)
        redis.kill()
        producer.append(stream_id, 3)
        redis.start()
        producer.finish(stream_id)
        wait_until(lambda: producer.problem() is None)
        # The worker's own, which it renews.
        wait_until(lambda: len(keys_of(redis)) == 1, 10, lambda: str(keys_of(redis)))
        producer.kill()
        wait_until(lambda: keys_of(redis) == [], 10, lambda: str(keys_of(redis)))


def test_of_readers_whose_process_was_killed_nothing_stays(redis):
    with ChannelWorker(redis.url) as worker:
        worker.follow_as("room", "7")
        worker.publish("room", 1)
        wait_until(lambda: worker.present("room"))
        worker.kill()
    keys = keys_of(redis)
    assert len(keys) > 3
    for key in keys:
        # For as long as a channel's last id is known.
        assert 0 < redis.client.ttl(key) <= 24 * 3600


def test_of_clients_of_rate_limits_nothing_is_left_after_two_windows(redis):
    with closing(RateLimits("5/second", redis.url)) as limits:
        for number in range(20):
            limits.count(f"192.0.2.{number}")
        assert len(keys_of(redis)) == 20
        wait_until(lambda: keys_of(redis) == [])
