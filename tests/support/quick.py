"""What has to be quick, measured many times."""

import statistics
from collections.abc import Callable

import pytest

LIMIT_SECONDS = 0.010
MAX_ROUNDS = 20


def assert_quick(seconds_taken: Callable[[], float], *, tries: int) -> None:
    """99 % within the limit, in the best of several rounds. Another program may hold the core for longer than that,
    now and then; what is the server's own doing shows in every round.

    seconds_taken: does it once
    """
    for _ in range(MAX_ROUNDS):
        took = sorted(seconds_taken() for _ in range(tries))
        p99 = took[len(took) * 99 // 100]
        print(f"p50 {statistics.median(took) * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms")
        if p99 <= LIMIT_SECONDS:
            return
    pytest.fail(f"p99 {p99 * 1000:.1f} ms in the last of {MAX_ROUNDS} rounds")
