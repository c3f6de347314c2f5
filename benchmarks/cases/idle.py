"""Streams that wait: the memory that each takes."""

from collections.abc import Sequence

from benchmarks import processes, servers
from benchmarks.bench import SIMULATOR, Bench
from benchmarks.measure import Target, simulator_body
from benchmarks.processes import FILE_LIMIT
from benchmarks.report import Bars, Section, Table
from benchmarks.usage import Memory

_HOUR_MS = 3_600_000
_FIRST_STREAMS = 10
"""For which a server loads and makes what it needs but once."""


def idle(bench: Bench) -> Section:
    scale = bench.scale
    rows, uss_kib = [], {}
    sizes = sorted({*scale.idle_relayed, *scale.idle_simulated})

    def measure(name: str, target: Target, some_sizes: Sequence[int]) -> None:
        files_each = 2 if target.upstream else 1
        some_sizes = [size for size in some_sizes if size * files_each < FILE_LIMIT - 1000]
        before, *after = [_memory_with(target, size) for size in (_FIRST_STREAMS, *some_sizes)]
        pairs = list(zip(some_sizes, after, strict=True))
        uss = {size: _kib_each(size, memory.uss - before.uss) for size, memory in pairs}
        last_size, last = pairs[-1]
        pss_and_rss = [last.pss - before.pss, last.rss - before.rss]
        cells = [f"{uss[size]:.1f}" if size in uss else "" for size in sizes]
        cells += [f"{_kib_each(last_size, kib):.1f}" for kib in pss_and_rss]
        rows.append([name, *cells])
        uss_kib[name] = uss[last_size]

    for name, start in (bench.fast | bench.slow).items():
        # Opening thousands takes the slow ones a minute.
        some_sizes = scale.idle_relayed[:1] if name in bench.slow else scale.idle_relayed
        with processes.started(processes.upstream) as upstream, start(upstream.port) as server:
            measure(name, Target(server, upstream), some_sizes)
    with servers.sluice(None) as server:
        target = Target(server, None, body=simulator_body(_HOUR_MS, tokens=2))
        measure(SIMULATOR, target, scale.idle_simulated)
    columns = ["KiB for a stream", *[f"USS, {size:,} streams" for size in sizes]]
    return Section(
        "Idle streams",
        "The memory of a stream that has had its first event and waits for the next: a server's with all of them, less "
        f"that with {_FIRST_STREAMS}. One run. USS: pages that are the server's alone; PSS, RSS, of the most streams: with its "
        "share, or all, of those that others have too. The kernel's socket buffers are in none of them. A relay has two "
        f"connections for a stream; a process may have {FILE_LIMIT:,} files here.",
        [
            Table([*columns, "PSS", "RSS"], rows),
            Bars("idle", "Memory of an idle stream", "KiB (USS)", uss_kib),
        ],
    )


def _memory_with(target: Target, streams: int) -> Memory:
    result = target.open_streams(streams, _HOUR_MS, window_seconds=0)
    if result.errors:
        raise RuntimeError(
            f"{result.errors} of {streams} streams were refused, closed, or never had an event"
        )
    return result.memory


def _kib_each(streams: int, kib: int) -> float:
    return kib / (streams - _FIRST_STREAMS)
