"""The cost of counters and log lines: the CPU of a server with them beside that of one without, in the same minute."""

import random
import sys
from collections.abc import Callable, Iterator

import pytest

from benchmarks import processes
from benchmarks.figures import cpu_per_answer_us, cpu_per_event_us
from benchmarks.measure import Target
from benchmarks.processes import SERVER_CORE, Process
from tests.support.ratio import assert_median

pytestmark = [pytest.mark.measures, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Process]:
    with processes.started(processes.upstream) as process:
        yield process


def relay(app: str, upstream: Process) -> Callable[[int], Process]:
    def start(port: int) -> Process:
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", app]
        settings = {
            "SLUICE_BIND": f"127.0.0.1:{port}",
            "SLUICE_UPSTREAM": f"http://127.0.0.1:{upstream.port}/v1",
        }
        return Process(command, port, SERVER_CORE, **settings)

    return start


@pytest.fixture(scope="module")
def servers(upstream: Process) -> Iterator[list[Process]]:
    """One server that counts and logs its streams, and one that does not."""
    with (
        processes.started(relay("app:app", upstream)) as watched,
        processes.started(relay("tests.server.unwatched_app:app", upstream)) as unwatched,
    ):
        yield [watched, unwatched]


def cpu_of_an_event(target: Target) -> float:
    return cpu_per_event_us(target.open_streams(streams=100, interval_ms=20, window_seconds=0.5))


def cpu_of_a_short_answer(target: Target) -> float:
    return cpu_per_answer_us(target.answers(events=10, at_once=50, answers=500))


# Medians of 24 rounds were 1.02 and 1.10. Most of the latter is the log line and its write.
@pytest.mark.parametrize(
    ("cpu_of", "limit"),
    [(cpu_of_an_event, 1.15), (cpu_of_a_short_answer, 1.30)],
    ids=["an-event", "a-short-answer"],
)
def test_counting_and_logging_streams_costs_little_cpu(servers, upstream, cpu_of, limit):
    watched, unwatched = targets = [Target(server, upstream) for server in servers]

    def ratio() -> float:
        cpu = {target: cpu_of(target) for target in random.sample(targets, 2)}
        return cpu[watched] / cpu[unwatched]

    ratio()  # Warms both servers up.
    assert_median(ratio, limit)
