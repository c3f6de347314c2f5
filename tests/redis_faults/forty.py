"""The scenario of these tests: forty readers, on four workers in two processes, of streams that one of the workers produces."""

from typing import Any

from tests.support.judged_streams.judgement import Judgement
from tests.support.judged_streams.scenario import Scenario

LEASE_SECONDS = 0.9
PATIENCE_SECONDS = 5 * LEASE_SECONDS
"""A reader that Redis keeps from getting an event for so long is let go."""
TOLD_SECONDS = PATIENCE_SECONDS + 9
"""Within this every reader gets an event or is told to come again: a request may wait for a connection and for a reply."""
HISTORY_SECONDS = 4


def forty_readers(url: str, **options: Any) -> Scenario:
    given = {
        "streams": 4,
        "journals": 2,
        "lease_seconds": LEASE_SECONDS,
        "history_seconds": HISTORY_SECONDS,
        "abandon_seconds": HISTORY_SECONDS,
    }
    return Scenario(url, **{**given, **options})


def assert_all_is_well(scenario: Scenario, *outcomes: str) -> Judgement:
    """Judge what the readers got: each event once and in order, or one of these outcomes; none was left without an answer."""
    judgement = scenario.judge()
    assert judgement.faults == [], judgement.logs
    assert set(judgement.outcomes) <= {"exact", *outcomes}, f"{judgement.outcomes} {judgement.logs}"
    assert sum(judgement.outcomes.values()) >= 40
    assert judgement.untold_seconds < TOLD_SECONDS
    return judgement


def assert_all_will_expire(redis: Any) -> None:
    """See that no key stays longer than it is kept, if no worker renews it. redis: the client of the Redis that has them"""
    longest_ms = 1000 * (HISTORY_SECONDS + 3 * LEASE_SECONDS)
    left_ms = {key: redis.pttl(key) for key in redis.keys("*")}
    # -2: it has expired meanwhile.
    assert all(ms == -2 or 0 < ms <= longest_ms for ms in left_ms.values()), left_ms
