"""What costs may grow to: ratios of two that are measured in the same moment, so that they hold on any machine."""

import statistics
import time
from collections.abc import Callable

MIN_ROUNDS, MAX_ROUNDS = 7, 36

Work = Callable[[], object]


def assert_median(measure: Callable[[], float], limit: float) -> None:
    """The median of what ``measure`` returns, each time the ratio of one cost to another, is at most ``limit``.

    Measures on while it is above, 36 times at most: the cost of the same work was seen to double and to halve
    from one second to the next where others share the machine.
    """
    ratios = [measure() for _ in range(MIN_ROUNDS)]
    while statistics.median(ratios) > limit and len(ratios) < MAX_ROUNDS:
        ratios.append(measure())
    median = statistics.median(ratios)
    print(f"ratio {median:.3f} in {len(ratios)} rounds")
    assert median <= limit


def assert_cpu(work: Work, limit: float, other_work: Work) -> None:
    """``work`` takes at most ``limit`` times the CPU of ``other_work``."""
    assert_median(lambda: _cpu_seconds(work) / _cpu_seconds(other_work), limit)


def assert_linear(
    work: Callable[[list[bytes]], object], chunks_of_size: Callable[[int], list[bytes]]
) -> None:
    """Eight times the stream takes about eight times the time; more than twenty if it is gone through again."""
    small, large = chunks_of_size(32 * 1024), chunks_of_size(256 * 1024)
    assert_cpu(lambda: work(large), 12, lambda: work(small))


def _cpu_seconds(work: Work) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start
