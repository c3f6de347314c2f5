"""What has to be quick, measured many times."""

import statistics
from collections.abc import Callable

LIMIT_SECONDS = 0.010
TRIES = 50
MAX_ROUNDS = 20
MAX_SHARE_OF_SLOW = 0.05
ROUNDS_FOR_SHARE = 4


def assert_quick(seconds_taken: Callable[[], float]) -> None:
    """Within the limit fifty times in a row, or 95 times of a hundred in several rounds.

    Another program may hold the core for longer than that, now and then. What is the server's own doing, if it is one time in
    five, shows in every round, and in the share of all.

    seconds_taken: does it once
    """
    took: list[float] = []
    for count in range(1, MAX_ROUNDS + 1):
        latest = [seconds_taken() for _ in range(TRIES)]
        took += latest
        print(f"p50 {statistics.median(latest) * 1000:.2f} ms, longest {max(latest) * 1000:.2f} ms")
        share = sum(seconds > LIMIT_SECONDS for seconds in took) / len(took)
        if max(latest) <= LIMIT_SECONDS or (
            count >= ROUNDS_FOR_SHARE and share <= MAX_SHARE_OF_SLOW
        ):
            return
    assert share <= MAX_SHARE_OF_SLOW, f"{share:.0%} of {len(took)} were slow"
