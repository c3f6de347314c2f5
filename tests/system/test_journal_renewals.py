"""The keys of a running stream are there for as long as it runs, however long it is without an event."""

import time
from collections.abc import Iterator

import pytest

from flask_sluice.journal.redis.keys_and_commands import (
    about_key,
    name_key,
    producer_key,
    stream_key,
)
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, new_stream_id
from tests.system.redis_server import RedisServer

LEASE_SECONDS = 0.6
KEPT_SECONDS = 2 * LEASE_SECONDS
"""For how long Redis keeps a running stream at least, since its history is shorter."""

KEYS = {
    "stream": stream_key,
    "owner": producer_key,
    "about": about_key,
    "name": lambda stream_id: name_key(f"*:key-of-{stream_id}"),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker(redis: RedisServer) -> Iterator[JournalWorker]:
    with JournalWorker(redis.url, lease_seconds=LEASE_SECONDS, history_seconds=1) as worker:
        yield worker


@pytest.fixture
def stream_id(worker: JournalWorker) -> str:
    stream_id = new_stream_id()
    worker.create(stream_id, f"key-of-{stream_id}")
    return stream_id


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_a_silent_stream_outlives_the_time_for_which_it_is_kept(redis, stream_id, kind):
    key, ends_at = KEYS[kind](stream_id), time.monotonic() + 2.5 * KEPT_SECONDS

    def is_there_to_the_end():
        assert redis.client.exists(key)
        return time.monotonic() > ends_at

    wait_until(is_there_to_the_end)


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_a_silent_stream_that_is_lost_is_written_again(redis, stream_id, kind):
    key = KEYS[kind](stream_id)
    assert redis.client.delete(key) == 1
    wait_until(lambda: redis.client.exists(key))


def test_all_keys_that_are_lost_together_are_written_again(redis, stream_id):
    keys = [key(stream_id) for key in KEYS.values()]
    redis.client.delete(*keys)
    wait_until(lambda: redis.client.exists(*keys) == len(keys))


def test_the_keys_of_a_finished_stream_expire(redis, worker, stream_id):
    worker.finish(stream_id)
    wait_until(lambda: not redis.client.exists(*(key(stream_id) for key in KEYS.values())))
