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

_DIRECT, _KEPT = "direct", "kept"


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


def ask(server: Process, method: str, path: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - the URL is ours
        pass


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
    title = "Kept streams: the producer on one worker, the readers on another"
    if not shutil.which("redis-server"):
        return Section(title, "Redis is not installed.")
    scale = bench.scale
    rows = []
    with ExitStack() as running:
        redis = running.enter_context(processes.redis(SERVER_CORE))
        url = f"redis://127.0.0.1:{redis.port}"
        producer, reading = (
            running.enter_context(servers.kept_generators(url, core))
            for core in (SERVER_CORE, LOAD_CORE)
        )

        def measured(streams: Streams) -> Rounds:
            arms = {_DIRECT: Arm(reading, streams), _KEPT: Arm(reading, streams, producer, redis)}
            return bench.in_turns(arms, lambda arm: arm.run(scale.window_seconds))

        for count, rate in scale.kept_streams:
            for come in ("evenly", "bunched"):
                streams = Streams(count, rate, come)
                rows.append(_row(streams, measured(streams)))
        few, many = (Streams(count, rate) for count, rate in scale.followed_streams)
        arms = {str(each): Arm(reading, each, producer, redis) for each in (few, many)}
        followed = bench.in_turns(arms, lambda arm: arm.run(scale.window_seconds))
    ratio = statistics.median(ratios(followed, str(many), str(few), reading_us))
    columns = ["", "direct", "kept", "× direct", "producing", "reading", "in Redis"]
    columns += ["added latency p50, ms", "p99, ms"]
    return Section(
        title,
        "An app's generators, passed on by the worker that runs them, and kept in Redis by one worker while another sends them: "
        "µs CPU/event, of both workers together and of each. Evenly: the events of all streams come one by one. Bunched: "
        "those that are due within the same 10 ms come at once, as they do where many streams follow one source; then an event "
        "costs less. Redis logs each change (appendonly). The producer and Redis have one core, the reading worker and the "
        "load the other. Latency: from the moment of the yield, beyond that of direct streams, each in its calmest round.",
        [
            Table(columns, rows),
            f"A worker that follows {many} pays {ratio:.2f} times for an event what it pays with {few} "
            f"({median(followed[str(many)], reading_us):.1f} µs and {median(followed[str(few)], reading_us):.1f}).",
        ],
    )


def _row(streams: Streams, rounds: Rounds) -> list[str]:
    kept = rounds[_KEPT]
    ratio = statistics.median(ratios(rounds, _KEPT, _DIRECT, workers_us))
    return [
        f"{streams}, {streams.come}",
        f"{median(rounds[_DIRECT], workers_us):.1f}",
        f"{median(kept, workers_us):.1f}",
        f"{ratio:.2f}",
        f"{median(kept, producing_us):.1f}",
        f"{median(kept, reading_us):.1f}",
        f"{median(kept, redis_us):.1f}",
        *added_delay_cells(rounds, _KEPT, _DIRECT),
    ]
