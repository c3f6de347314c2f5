"""What costs may grow to: ratios of two that are measured in the same moment, so that they hold on any machine."""

import statistics
import time
from collections.abc import Callable

MIN_ROUNDS, MAX_ROUNDS = 7, 36


def median_ratio(measure: Callable[[], float], limit: float) -> float:
    """The median of what ``measure`` returns: each time the ratio of one cost to another.

    Measures on while the median is above ``limit``, 36 times at most: the cost of the same work was seen to
    double and to halve from one second to the next where others share the machine.
    """
    ratios = [measure() for _ in range(MIN_ROUNDS)]
    while statistics.median(ratios) > limit and len(ratios) < MAX_ROUNDS:
        ratios.append(measure())
    median = statistics.median(ratios)
    print(f"ratio {median:.3f} in {len(ratios)} rounds")
    return median


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start
