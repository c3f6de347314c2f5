"""What it costs to be watched, beside a server that is not, in the same minute."""

import random
import statistics
import sys
from collections.abc import Callable, Iterator

import pytest

from benchmarks import processes
from benchmarks.processes import SERVER_CORE, Process

pytestmark = [pytest.mark.measures, pytest.mark.slow, pytest.mark.timeout(180)]

ROUNDS = 5


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
    """One that is watched, one that is not."""
    with (
        processes.started(relay("app:app", upstream)) as watched,
        processes.started(relay("tests.server.unwatched_app:app", upstream)) as unwatched,
    ):
        yield [watched, unwatched]


# Measured on a busy machine: 1.03 and 1.15, most of the latter by the log's line and its write.
@pytest.mark.parametrize(
    ("model", "concurrent", "answers", "limit"),
    [("50x20", 100, 100, 1.10), ("10x0", 50, 500, 1.30)],
    ids=["an-event", "a-short-answer"],
)
def test_watching_costs_little_cpu(servers, model, concurrent, answers, limit):
    def cpu_of(server: Process) -> float:
        before = server.cpu_seconds()
        result = processes.load(server, model, concurrent, answers)
        assert not result.errors
        return server.cpu_seconds() - before

    for server in servers:
        cpu_of(server)  # Warms up.
    ratios = []
    for _ in range(ROUNDS):
        in_turn = random.sample(servers, 2)
        cpu = {server: cpu_of(server) for server in in_turn}
        ratios.append(cpu[servers[0]] / cpu[servers[1]])
    print(f"ratios {', '.join(f'{ratio:.3f}' for ratio in sorted(ratios))}")
    assert statistics.median(ratios) <= limit
