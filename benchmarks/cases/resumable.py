"""What it costs that a stream can be resumed: the same answers passed on directly, kept in memory, kept in Redis."""

import shutil
import statistics
from contextlib import ExitStack

from benchmarks import processes, servers
from benchmarks.bench import Bench
from benchmarks.figures import added_delay_cells, cpu_per_event_us, median, ratios
from benchmarks.measure import Target
from benchmarks.report import Section, Table

_DIRECT, _PATH = "direct", "/v1/streams"


def resumable(bench: Bench) -> Section:
    scale, upstream = bench.scale, bench.upstream
    with ExitStack() as running:
        # A stream goes on without its reader: those of one round are to be over before the next.
        settings = {"SLUICE_ABANDON_SECONDS": "0.5"}
        memory = running.enter_context(servers.sluice(upstream.port, **settings))
        targets = {
            _DIRECT: Target(memory, upstream),
            "in memory": Target(memory, upstream, _PATH),
        }
        if shutil.which("redis-server"):
            redis = running.enter_context(processes.redis())
            settings["SLUICE_REDIS_URL"] = f"redis://127.0.0.1:{redis.port}"
            kept = running.enter_context(servers.sluice(upstream.port, **settings))
            targets["in Redis"] = Target(kept, upstream, _PATH)
        rounds = bench.open_streams(targets, scale.streams, scale.events_per_second)
    rows = [
        [
            name,
            f"{median(results, cpu_per_event_us):.1f}",
            f"{statistics.median(ratios(rounds, name, _DIRECT, cpu_per_event_us)):.2f}",
            *added_delay_cells(rounds, name, _DIRECT),
        ]
        for name, results in rounds.items()
    ]
    columns = ["", "µs CPU/event", "× direct", "added latency p50, ms", "p99, ms"]
    return Section(
        "Streams that can be resumed",
        f"{scale.events_per_second:,} events/s from {scale.streams} streams, relayed: directly, kept in memory, kept in "
        "Redis. CPU is that of the server, without Redis's own, which takes the load's core; latency is what is added to "
        "that of the direct ones, each in its calmest round.",
        [Table(columns, rows)],
    )
