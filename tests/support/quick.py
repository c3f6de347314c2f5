"""What has to be quick, measured many times."""

import statistics
from collections.abc import Callable

import pytest

LIMIT_SECONDS = 0.010
TRIES = 50
MAX_ROUNDS = 20


def assert_quick(seconds_taken: Callable[[], float]) -> None:
    """Fifty times in a row within the limit, in one of several rounds. Another program may hold the core for longer
    than that, now and then; what is the server's own doing, if it is one time in five, shows in every round.

    seconds_taken: does it once
    """
    for _ in range(MAX_ROUNDS):
        took = [seconds_taken() for _ in range(TRIES)]
        print(f"p50 {statistics.median(took) * 1000:.2f} ms, longest {max(took) * 1000:.2f} ms")
        if max(took) <= LIMIT_SECONDS:
            return
    pytest.fail(f"{max(took) * 1000:.1f} ms in the last of {MAX_ROUNDS} rounds")
