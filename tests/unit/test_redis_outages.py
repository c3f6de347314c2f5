"""What a worker tells of a Redis that fails, or that fails and works in turns."""

import os
import threading

import pytest

from flask_sluice.observe import redis_outages
from flask_sluice.observe.redis_outages import RedisOutage, RedisOutages
from flask_sluice.observe.stream_stats import StreamStats

REFUSED = "Redis cannot be reached: Connection refused"
FULL = "Redis refuses commands: OOM"
REACHED = "Redis is reached again"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(redis_outages, "time", clock)
    return clock


@pytest.fixture
def stats():
    return StreamStats()


@pytest.fixture
def outages(stats, clock):
    return RedisOutages(stats)


@pytest.fixture
def outage(outages):
    return outages.of("an address")


@pytest.fixture
def lines(caplog):
    caplog.set_level("INFO", "sluice.journal")
    return lambda: [record.getMessage() for record in caplog.records]


def test_an_outage_of_three_clients_is_two_lines(outage, lines, clock, stats):
    for client in ("streams", "channels", "limits"):
        outage.failed(client, "ConnectionError", REFUSED)
    for client in ("streams", "channels", "limits"):
        clock.now += 10
        assert outage.reason == REFUSED
        outage.works(client)
    clock.now += 3
    outage.works("channels")
    assert outage.reason is None
    assert lines() == [REFUSED, REACHED]
    assert (stats.redis_out, stats.redis_problems) == (0, 1)


def test_it_is_not_over_before_it_was_quiet_for_three_seconds(outage, lines, clock, stats):
    outage.failed("streams", "ConnectionError", REFUSED)
    outage.works("streams")
    clock.now += 2.9
    outage.works("streams")
    assert (outage.reason, lines(), stats.redis_out) == (REFUSED, [REFUSED], 1)
    clock.now += 0.1
    outage.works("streams")
    assert (outage.reason, lines(), stats.redis_out) == (None, [REFUSED, REACHED], 0)


def test_a_redis_that_fails_every_other_second_is_one_outage(outage, lines, clock, stats):
    for _ in range(500):
        outage.failed("streams", "ConnectionError", REFUSED)
        clock.now += 1
        outage.works("streams")
        clock.now += 1
    assert lines() == [REFUSED]
    assert (stats.redis_out, stats.redis_problems) == (1, 1)


def test_another_reason_is_told_once_and_is_no_second_beginning(outage, lines, clock, stats):
    for _ in range(3):
        outage.failed("streams", "ConnectionError", REFUSED)
        outage.failed("channels", "OOM", FULL)
    assert outage.reason == FULL
    for client in ("streams", "channels"):
        outage.works(client)
    clock.now += 3
    outage.works("streams")
    assert lines() == [REFUSED, "Redis still fails: OOM", "Redis takes commands again"]
    assert stats.redis_problems == 1


def test_a_client_that_is_closed_holds_up_no_end(outage, lines, clock):
    outage.failed("streams", "ConnectionError", REFUSED)
    outage.failed("channels", "ConnectionError", REFUSED)
    outage.works("streams")
    outage.closed("channels")
    clock.now += 3
    outage.works("streams")
    assert lines() == [REFUSED, REACHED]


def test_a_worker_that_ends_in_an_outage_does_not_say_that_it_is_over(outage, lines, stats):
    outage.failed("streams", "ConnectionError", REFUSED)
    outage.closed("streams")
    assert (lines(), stats.redis_out) == ([REFUSED], 0)


def test_a_worker_that_ends_when_redis_works_again_says_so(outage, lines):
    outage.failed("streams", "ConnectionError", REFUSED)
    outage.works("streams")
    outage.closed("streams")
    assert lines() == [REFUSED, REACHED]


def test_workers_of_one_process_tell_theirs_apart(lines, clock):
    """As they do in tests: each has objects of its own."""
    one, other = (RedisOutages(StreamStats()).of("an address") for _ in range(2))
    one.failed("streams", "ConnectionError", REFUSED)
    assert other.reason is None
    other.failed("streams", "ConnectionError", REFUSED)
    assert lines() == [REFUSED, REFUSED]


def test_a_forked_worker_does_not_inherit_an_outage(outages, outage, stats, monkeypatch):
    outage.failed("streams", "ConnectionError", REFUSED)
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    here = outages.of("an address")
    assert here.reason is None
    here.failed("streams", "ConnectionError", REFUSED)
    here.closed("streams")
    assert stats.redis_out == 0


def test_an_outage_that_many_threads_meet_at_once_begins_once(lines):
    outage = RedisOutage(lambda _: None)
    barrier = threading.Barrier(20)

    def fail(number):
        barrier.wait()
        outage.failed(number, "ConnectionError", REFUSED)

    threads = [threading.Thread(target=fail, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines() == [REFUSED]
