"""What it costs that a stream is kept in Redis, where one worker produces it and another has its readers.

The same generators are passed on to their readers by the worker that runs them. Both have the same events at the same times.
"""

import shutil
import statistics
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import processes, servers
from benchmarks.bench import Bench
from benchmarks.figures import added_delay_cells, median, ratios
from benchmarks.load import Load, Result
from benchmarks.measure import Rounds
from benchmarks.processes import LOAD_CORE, SERVER_CORE, Process
from benchmarks.report import Section, Table

_MANY_READERS = 1000


@dataclass(frozen=True)
class Streams:
    """How many there are, how many events each has in a second, and whether these come one by one or in bunches."""

    count: int
    rate: float
    come: str = "evenly"

    @property
    def query(self) -> str:
        return f"streams={self.count}&rate={self.rate}&{self.come}"

    def __str__(self) -> str:
        return f"{self.count:,} × {self.rate:g}/s"


@dataclass(frozen=True)
class Arm:
    """Streams whose readers ask one server, and that this one makes itself or another one does.

    producer: None: the reading server itself, for each reader
    """

    reading: Process
    streams: Streams
    producer: Process | None = None
    redis: Process | None = None

    def run(self, window_seconds: float) -> Result:
        with self._produced():
            return self._read(window_seconds)

    def _read(self, seconds: float) -> Result:
        kind = "kept" if self.producer else "direct"
        others = tuple(each.pid for each in (self.producer, self.redis) if each)
        return processes.run_load(
            Load(
                url=f"http://127.0.0.1:{self.reading.port}/{kind}/NUMBER?{self.streams.query}",
                body="",
                concurrent=self.streams.count,
                server_pid=self.reading.pid,
                upstream_pid=None,
                other_pids=others,
                window_seconds=seconds,
            )
        )

    @contextmanager
    def _produced(self) -> Iterator[None]:
        if self.producer is None:
            yield
            return
        ask(self.producer, "POST", f"/kept?{self.streams.query}")
        try:
            yield
        finally:
            ask(self.producer, "DELETE", "/kept")


def ask(server: Process, method: str, path: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


# Figures of one run, in µs for an event that a reader got.


def reading_us(result: Result) -> float:
    return result.usage.server / result.events * 1e6


def producing_us(result: Result) -> float:
    return result.usage.others[0] / result.events * 1e6 if result.usage.others else 0.0


def workers_us(result: Result) -> float:
    return reading_us(result) + producing_us(result)


def redis_us(result: Result) -> float:
    return result.usage.others[1] / result.events * 1e6


def kept(bench: Bench) -> Section:
    if not shutil.which("redis-server"):
        return Section("Kept streams, over two workers", "Redis is not installed.")
    scale = bench.scale
    rows = []
    with ExitStack() as running:
        redis = running.enter_context(processes.redis(SERVER_CORE))
        url = f"redis://127.0.0.1:{redis.port}"
        producer, reading = (
            running.enter_context(servers.kept_generators(url, core))
            for core in (SERVER_CORE, LOAD_CORE)
        )
        for count, rate in scale.kept_streams:
            for come in ("evenly", "bunched"):
                streams = Streams(count, rate, come)
                arms = {
                    "direct": Arm(reading, streams),
                    "kept": Arm(reading, streams, producer, redis),
                }
                rounds = bench.in_turns(arms, lambda arm: arm.run(scale.window_seconds))
                print(
                    [[round(workers_us(r)) for r in rounds[n]] for n in rounds],
                    [
                        round(len(r.delays) and sorted(r.delays)[len(r.delays) // 2] * 1e6)
                        for n in rounds
                        for r in rounds[n]
                    ],
                    [
                        r.usage.wall and round(r.events / r.usage.wall)
                        for n in rounds
                        for r in rounds[n]
                    ],
                    flush=True,
                )
                rows.append(_row(streams, rounds))
    columns = ["", "direct, µs CPU/event", "kept: both workers", "× direct", "producing", "reading"]
    columns += ["Redis", "added latency p50, ms", "p99, ms"]
    return Section(
        "Kept streams, over two workers",
        "x",
        [Table(columns, rows)],
    )


def _row(streams: Streams, rounds: Rounds) -> list[str]:
    kept = rounds["kept"]
    ratio = statistics.median(ratios(rounds, "kept", "direct", workers_us))
    return [
        f"{streams}, {streams.come}",
        f"{median(rounds['direct'], workers_us):.1f}",
        f"{median(kept, workers_us):.1f}",
        f"{ratio:.2f}",
        f"{median(kept, producing_us):.1f}",
        f"{median(kept, reading_us):.1f}",
        f"{median(kept, redis_us):.1f}",
        *added_delay_cells(rounds, "kept", "direct"),
    ]
