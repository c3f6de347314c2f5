"""What relaying costs may not grow unseen.

A ratio to a plain relay on the same gunicorn, gevent and Flask, in the same run, is nearly the same on every machine;
microseconds are not.
"""

import statistics
from typing import NamedTuple

import pytest

from benchmarks import processes, servers
from benchmarks.figures import cpu_per_event_us, percentile
from benchmarks.measure import Target

STREAMS, INTERVAL_MS, WINDOW_SECONDS = 200, 20, 0.5
MAX_RATIO = 0.65
"""0.44 was measured where the benchmarks were preferred to other programs, 0.53 as the median of ten rounds on a busy one."""
MAX_ROUNDS = 12


class Round(NamedTuple):
    """delay_seconds: the median event's, of the slower of both"""

    delay_seconds: float
    ratio: float


def measure(sluice, generator):
    results = [
        target.open_streams(STREAMS, INTERVAL_MS, WINDOW_SECONDS) for target in (sluice, generator)
    ]
    ours, theirs = map(cpu_per_event_us, results)
    return Round(max(percentile(result.delays, 50) for result in results), ours / theirs)


def of_the_calmest(rounds):
    """The median ratio of three rounds: where events come late they come in bunches, which cost everybody less."""
    return statistics.median(each.ratio for each in sorted(rounds)[:3])


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_relayed_event_costs_at_most_two_thirds_of_what_a_plain_generator_takes():
    with (
        processes.started(processes.upstream) as upstream,
        servers.sluice(upstream.port) as sluice,
        servers.gevent_generator(upstream.port) as generator,
    ):
        targets = Target(sluice, upstream), Target(generator, upstream)
        measure(*targets)  # Warms up; does not count.
        rounds = [measure(*targets) for _ in range(3)]
        while of_the_calmest(rounds) > MAX_RATIO and len(rounds) < MAX_ROUNDS:
            rounds.append(measure(*targets))
    print(rounds)
    assert of_the_calmest(rounds) <= MAX_RATIO, rounds
