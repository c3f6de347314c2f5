"""What an event of a channel costs its reader's worker, beside the same event of a stream of the reader's own."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from benchmarks.usage import cpu_seconds
from tests.support.server import ROOT, Server, clean_environment, wait_until
from tests.system.costing_app import READERS
from tests.system.counting_readers import Readers
from tests.system.redis_server import RedisServer

pytestmark = [pytest.mark.measures, pytest.mark.slow, pytest.mark.timeout(300)]

MAX_RATIO = 1.5
MIN_ROUNDS, MAX_ROUNDS = 3, 15
WINDOW_SECONDS = 2


def cost(server: Server, path: str, channels: int) -> float:
    """Return the CPU seconds of the workers for each event that readers get."""
    readers = Readers(server, path, READERS, channels)
    try:
        readers.read(1)
        before = cpu_seconds(server.pid)
        count = readers.read(WINDOW_SECONDS)
        spent = cpu_seconds(server.pid) - before
    finally:
        readers.close()
    assert count > READERS
    return spent / count


@contextmanager
def costing_server(redis_url: str = "", workers: int = 1) -> Iterator[Server]:
    with Server(
        "tests.system.costing_app:app",
        configuration="python:flask_sluice.server.settings",
        arguments=("-w", str(workers), "--worker-connections", str(2 * READERS)),
        environment={"COSTING_REDIS_URL": redis_url} if redis_url else {},
    ) as server:
        yield server


@contextmanager
def publisher_in(server: Server, channels: int) -> Iterator[None]:
    """Publish in the worker itself, while events of channels are counted and not otherwise."""
    requests.post(f"{server.url}/publish/{channels}", timeout=30).raise_for_status()
    yield
    requests.delete(f"{server.url}/publish", timeout=30).raise_for_status()


@contextmanager
def publisher_over(redis: RedisServer, channels: int) -> Iterator[None]:
    publisher = subprocess.Popen(
        [sys.executable, "-m", "tests.system.channel_publisher", redis.url, str(channels)],
        cwd=ROOT,
        env=clean_environment(),
    )
    try:
        wait_until(lambda: redis.client.keys("*channel-0*"))
        yield
    finally:
        publisher.kill()
        publisher.wait()


def assert_costs_little_more(measure) -> None:
    """measure: returns the ratio of an event of a channel to one of a stream, both of the same moment"""
    ratios = [measure() for _ in range(MIN_ROUNDS)]
    while statistics.median(ratios) > MAX_RATIO and len(ratios) < MAX_ROUNDS:
        ratios.append(measure())
    print([round(ratio, 2) for ratio in ratios])
    assert statistics.median(ratios) <= MAX_RATIO


@pytest.mark.parametrize("channels", [1, READERS])
def test_an_event_of_a_channel_in_memory_costs_little_more_than_one_of_a_stream(channels):
    with costing_server() as server:

        def measure():
            direct = cost(server, "/direct", READERS)
            with publisher_in(server, channels):
                return cost(server, "/channel", channels) / direct

        assert_costs_little_more(measure)


@pytest.mark.parametrize("channels", [1, READERS])
def test_an_event_of_a_channel_over_redis_costs_little_more_than_one_of_a_stream(redis, channels):
    with costing_server(redis.url, workers=2) as server:

        def measure():
            direct = cost(server, "/direct", READERS)
            with publisher_over(redis, channels):
                return cost(server, "/channel", channels) / direct

        assert_costs_little_more(measure)
