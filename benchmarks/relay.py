"""What relaying costs, beside nginx's unbuffered ``proxy_pass``, in one run: python -m benchmarks.relay [ROUNDS]

Server on one core, load and upstream on another. CPU is user and system time of the server's process. Each
round runs both servers in turn; the figures are medians, the ratio is the median of the rounds' ratios.
"""

import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.processes import Process

_DEFAULT_ROUNDS = 5


@dataclass(frozen=True)
class Case:
    """One load. unit: what the CPU is told for, events or answers"""

    name: str
    model: str
    concurrent: int
    answers: int
    unit: str


@dataclass(frozen=True)
class Figures:
    cpu_us: float
    first_event_p50_ms: float
    first_event_p99_ms: float
    spread_ms: float


CASES = [
    Case("paced: 200 streams x 50 events/s", "100x20", 200, 400, "events"),
    Case("short: 10 events, 50 at a time", "10x0", 50, 1000, "answers"),
    Case("flat out: 50 streams x 2000 events", "2000x0", 50, 50, "events"),
]


def measure(server: Process, case: Case) -> Figures:
    before = server.cpu_seconds()
    result = processes.load(server, case.model, case.concurrent, case.answers)
    cpu = server.cpu_seconds() - before
    if result.errors:
        sys.exit(f"{result.errors} of {result.answers} answers failed")
    if result.own_cpu > 0.8 * result.duration:
        print("  the load generator was busy all the time: what follows says little")
    first = sorted(result.first_events)
    return Figures(
        cpu / getattr(result, case.unit) * 1e6,
        statistics.median(first) * 1e3,
        first[int(len(first) * 0.99)] * 1e3,
        result.first_event_spread * 1e3,
    )


def median(rounds: list[Figures], name: str) -> float:
    return statistics.median(getattr(each, name) for each in rounds)


def compare(nginx: Process, sluice: Process, case: Case, rounds: int) -> None:
    # The first round makes the connections to the upstream and warms the interpreter up: it does not count.
    measure(nginx, case)
    measure(sluice, case)
    measured: dict[str, list[Figures]] = {"nginx": [], "sluice": []}
    for _ in range(rounds):
        measured["nginx"].append(measure(nginx, case))
        measured["sluice"].append(measure(sluice, case))
    print(case.name)
    for name, figures in measured.items():
        print(
            f"  {name:8}{median(figures, 'cpu_us'):8.1f} us CPU per {case.unit[:-1]:7}"
            f" first event p50 {median(figures, 'first_event_p50_ms'):6.1f} ms"
            f" p99 {median(figures, 'first_event_p99_ms'):6.1f} ms"
            f" spread {median(figures, 'spread_ms'):6.1f} ms"
        )
    pairs = zip(measured["sluice"], measured["nginx"], strict=True)
    ratios = sorted(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)
    print(
        f"  ratio   {statistics.median(ratios):8.2f} x nginx ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT_ROUNDS
    with ExitStack() as running:
        upstream = running.enter_context(processes.started(processes.upstream))
        nginx = running.enter_context(processes.nginx(upstream.port))
        sluice = running.enter_context(processes.started(processes.sluice(upstream.port)))
        for case in CASES:
            compare(nginx, sluice, case, rounds)


if __name__ == "__main__":
    main()
