"""What it costs that a stream can be resumed: python -m benchmarks.resumable [ROUNDS]

The same relayed answers three ways, in one run and in turns: directly, kept in memory, kept in Redis. CPU is that
of the server's process, without Redis's own.
"""

import statistics
import sys
from contextlib import ExitStack

from benchmarks import processes
from benchmarks.processes import Process

_DEFAULT_ROUNDS = 3
# Answers of ten seconds: in shorter ones the second request, which a resumable stream needs, weighs more.
_MODEL, _CONCURRENT, _ANSWERS = "500x20", 200, 200


def measure(server: Process, path: str) -> tuple[float, float]:
    """CPU per event in microseconds, and the median first event in milliseconds."""
    before = server.cpu_seconds()
    result = processes.load(server, _MODEL, _CONCURRENT, _ANSWERS, path)
    cpu = server.cpu_seconds() - before
    if result.errors:
        sys.exit(f"{result.errors} of {result.answers} answers failed")
    return cpu / result.events * 1e6, first_event_ms(server, path)


def first_event_ms(server: Process, path: str) -> float:
    """Of a server that has nothing else to do."""
    result = processes.load(server, "1x1", 1, 50, path)
    return statistics.median(result.first_events) * 1e3


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT_ROUNDS
    with ExitStack() as running:
        upstream = running.enter_context(processes.started(processes.upstream))
        redis = running.enter_context(processes.redis())
        url = f"redis://127.0.0.1:{redis.port}"
        settings = {"SLUICE_STREAMS_PER_CLIENT": "1000"}
        in_memory = processes.sluice(upstream.port, **settings)
        in_redis = processes.sluice(upstream.port, SLUICE_REDIS_URL=url, **settings)
        memory = running.enter_context(processes.started(in_memory))
        kept = running.enter_context(processes.started(in_redis))
        ways = {
            "direct": (memory, "/v1/chat/completions"),
            "in memory": (memory, "/v1/streams"),
            "in Redis": (kept, "/v1/streams"),
        }
        for server, path in ways.values():
            measure(server, path)  # Warms up; does not count.
        measured = [{name: measure(*way) for name, way in ways.items()} for _ in range(rounds)]
    print(f"{_CONCURRENT} streams x 50 events/s, medians of {rounds} rounds")
    for name in ways:
        cpu = statistics.median(each[name][0] for each in measured)
        ratio = statistics.median(each[name][0] / each["direct"][0] for each in measured)
        later = statistics.median(each[name][1] - each["direct"][1] for each in measured)
        print(
            f"  {name:10}{cpu:7.1f} us CPU per event  {ratio:5.2f} x direct"
            f"  first event {later:+6.2f} ms"
        )


if __name__ == "__main__":
    main()
