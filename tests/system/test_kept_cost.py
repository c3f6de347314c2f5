"""What an event of a kept stream costs where its producer and its readers are on different workers."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from benchmarks import processes, servers
from benchmarks.cases.kept import Arm, Streams, reading_us, workers_us
from benchmarks.processes import LOAD_CORE, SERVER_CORE
from tests.support.server import Server
from tests.system.counting_readers import Readers
from tests.system.redis_server import RedisServer

pytestmark = [pytest.mark.measures, pytest.mark.slow, pytest.mark.timeout(300)]

MAX_RATIO = 2.9
"""To a stream that is passed on directly. 2.1 to 2.4 were measured; with one XREAD over all streams it was 3.5."""
MAX_FOLLOWING_RATIO = 1.5
"""1.1 was measured; with one XREAD over all streams it was more than 2."""
MIN_ROUNDS, MAX_ROUNDS = 3, 12
WINDOW_SECONDS = 1.5
READERS = 1000


def assert_at_most(limit, measure):
    """measure: returns the ratio of two costs of the same moment"""
    ratios = [measure() for _ in range(MIN_ROUNDS)]
    while statistics.median(ratios) > limit and len(ratios) < MAX_ROUNDS:
        ratios.append(measure())
    print([round(ratio, 2) for ratio in ratios])
    assert statistics.median(ratios) <= limit


@pytest.fixture
def workers() -> Iterator[list[processes.Process]]:
    """One that reads, one that produces, and Redis."""
    with processes.redis(SERVER_CORE) as redis:
        url = f"redis://127.0.0.1:{redis.port}"
        with (
            servers.kept_generators(url, LOAD_CORE) as reading,
            servers.kept_generators(url, SERVER_CORE) as producer,
        ):
            yield [reading, producer, redis]


def test_both_workers_together_take_little_more_than_twice_what_one_takes_for_a_direct_stream(
    workers,
):
    reading, producer, redis = workers
    streams = Streams(1000, 5)
    direct, kept = Arm(reading, streams), Arm(reading, streams, producer, redis)
    direct.run(0.2)

    def measure():
        cost = workers_us(direct.run(WINDOW_SECONDS))
        return workers_us(kept.run(WINDOW_SECONDS)) / cost

    assert_at_most(MAX_RATIO, measure)


def test_an_event_costs_a_worker_that_follows_many_streams_what_it_costs_with_few(workers):
    reading, producer, redis = workers
    few, many = (
        Arm(reading, Streams(count, 2000 / count), producer, redis) for count in (100, 1000)
    )
    few.run(0.2)

    def measure():
        cost = reading_us(few.run(WINDOW_SECONDS))
        return reading_us(many.run(WINDOW_SECONDS)) / cost

    assert_at_most(MAX_FOLLOWING_RATIO, measure)


@contextmanager
def streaming_server(redis: RedisServer, workers: int) -> Iterator[Server]:
    with Server(
        "benchmarks.peers.kept_generators:app",
        configuration="python:flask_sluice.server.settings",
        arguments=("-w", str(workers), "--worker-connections", str(2 * READERS)),
        environment={"KEPT_REDIS_URL": redis.url},
    ) as server:
        yield server


def reads(redis: RedisServer) -> int:
    """Return how often events or messages have been read."""
    stats = redis.client.info("commandstats")
    names = ("xread", "xrange", "xrevrange")
    return sum(stats[f"cmdstat_{name}"]["calls"] for name in names if f"cmdstat_{name}" in stats)


def test_an_event_with_a_thousand_readers_is_read_from_redis_once_for_each_worker(redis):
    with streaming_server(redis, 1) as producer, streaming_server(redis, 2) as reading:
        started = requests.post(f"{producer.url}/kept?streams=1&rate=10&evenly", timeout=30)
        started.raise_for_status()
        readers = Readers(reading, "/kept", READERS, 1)
        try:
            before = reads(redis)
            events = readers.read(4) / READERS
            read = reads(redis) - before
        finally:
            readers.close()
    print(f"{read} reads for {events:.0f} events on 2 workers")
    assert events > 20
    # Workers read also what they tell each other every two seconds: which streams they follow, and where these are.
    assert read < 3 * events
