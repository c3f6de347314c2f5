"""A crowd on one worker: ten thousand streams that are silent, a thousand that run, and some that come and go.

Run: python -m benchmarks.crowd [--engine relay|simulator] [--idle N] [--paced N] [--seconds N] [--prefill]

The worker has one core; readers and upstream share another. A silent stream has had its first event (with
--prefill: not even that) and gets keep-alives only. After five minutes all leave, and the silent ones come
again: memory must not grow by that.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import processes, servers
from benchmarks.crowd_load import TICKS_PER_SECOND, Plan, Seen
from benchmarks.processes import Process

FIRST_EVENT_TARGET_SECONDS = 0.25
GAP_TARGET_SECONDS = 0.025
KEEPALIVE_TARGET_SECONDS = 1
IDLE_TARGET_KIB = 25
_FILES_BESIDE_STREAMS = 300
_SAMPLE_SECONDS = 1
_HOUR_MS = 3_600_000
_PROMPT = (
    "Why is the sky blue? " * 400
)  # two thousand tokens: a prompt that is kept shows in the memory


@dataclass(frozen=True)
class Crowd:
    """relayed: each stream has an upstream's behind it; else the simulator answers"""

    relayed: bool = True
    prefill: bool = False
    idle: int = 10_000
    paced: int = 1000
    rate: int = 20
    seconds: float = 300
    idle_opened_per_second: int = 400
    keepalive_seconds: float = 15
    settle_seconds: float = 5
    waves: int = 2

    @property
    def files_per_stream(self) -> int:
        return 2 if self.relayed else 1

    @property
    def files(self) -> int:
        """How many the worker has open."""
        return (self.idle + self.paced) * self.files_per_stream + _FILES_BESIDE_STREAMS

    def bodies(self) -> dict[str, str]:
        if self.relayed:
            idle = {"model": "prefill" if self.prefill else "idle"}
            return {
                "idle_body": _body(idle),
                "paced_body": _body({"model": str(self.rate)}),
                "visit_body": _body({"model": "visit"}),
            }
        wait = "ttft_ms" if self.prefill else "itl_ms"
        tokens = int(self.rate * (self.seconds + 60))
        return {
            "idle_body": _body({"simulator": {"tokens": 2, wait: _HOUR_MS}}),
            "paced_body": _body({"simulator": {"tokens": tokens, "itl_ms": 1000 / self.rate}}),
            "visit_body": _body({"simulator": {"tokens": 4, "itl_ms": 0}}),
        }


@dataclass(frozen=True)
class Sample:
    """worker_waited: to be run, because something else had its core"""

    at: float
    resident_kib: int
    worker_cpu_seconds: float
    worker_waited_seconds: float
    load_cpu_seconds: float


@dataclass(frozen=True)
class Figures:
    """Times in seconds. cpu, worker_waited: as a part of the time"""

    seen: Seen
    first_event_p50: float
    first_event_p99: float
    gap_p50: float
    gap_p99: float
    keepalive_late_max: float
    kib_per_idle: float
    growth_kib: float
    kib_after_closing: float
    second_wave_kib_per_idle: float | None
    worker_cpu: float
    worker_waited: float
    load_cpu: float
    readers_cpu: float
    us_per_event: float


def measure(crowd: Crowd) -> Figures:
    """Raises RuntimeError where the machine does not allow so many files, or a server does not start."""
    raise_file_limit(crowd.files)
    with ExitStack() as running:
        upstream = running.enter_context(processes.started(_upstream)) if crowd.relayed else None
        sluice = running.enter_context(
            servers.sluice(
                upstream.port if upstream else None,
                SLUICE_KEEPALIVE_SECONDS=str(crowd.keepalive_seconds),
                # The silent ones are to stay: by default a silent upstream is given up.
                SLUICE_IDLE_TIMEOUT_SECONDS="3600",
                SLUICE_FIRST_EVENT_TIMEOUT_SECONDS="3600",
            )
        )
        plan = Plan(
            port=sluice.port,
            idle=crowd.idle,
            paced=crowd.paced,
            rate=crowd.rate,
            seconds=crowd.seconds,
            idle_opened_per_second=crowd.idle_opened_per_second,
            keepalive_seconds=crowd.keepalive_seconds,
            settle_seconds=crowd.settle_seconds,
            waves=crowd.waves,
            **crowd.bodies(),
        )
        # What the first streams make once is no stream's.
        _watch(
            Plan(**{**asdict(plan), "idle": 20, "paced": 5, "seconds": 1, "waves": 1}),
            sluice,
            upstream,
        )
        seen, samples = _watch(plan, sluice, upstream)
    return _figures(crowd, seen, samples)


def fitting(crowd: Crowd) -> Crowd:
    """With fewer silent streams if so many files may not be open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or crowd.files <= hard:
        return crowd
    too_many = -(-(crowd.files - hard) // crowd.files_per_stream)
    return replace(crowd, idle=crowd.idle - too_many)


def raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError(f"{wanted} open files are needed, and {hard} allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _body(fields: dict[str, object]) -> str:
    question = [{"role": "user", "content": _PROMPT}]
    return json.dumps({"model": "any", "stream": True, "messages": question, **fields})


def _upstream(port: int) -> Process:
    command = [sys.executable, "-m", "benchmarks.crowd_load", "upstream", str(port)]
    return Process(command, port, processes.LOAD_CORE)


def _watch(plan: Plan, sluice: Process, upstream: Process | None) -> tuple[Seen, list[Sample]]:
    worker = _worker_of(sluice)
    command = ["-m", "benchmarks.crowd_load", "readers", json.dumps(asdict(plan))]
    samples = []
    with tempfile.TemporaryFile() as output:
        readers = subprocess.Popen(
            [sys.executable, *command],
            cwd=processes.ROOT,
            stdout=output,
            preexec_fn=lambda: processes.prepare(processes.LOAD_CORE),
        )
        while readers.poll() is None:
            load_cpu = upstream.cpu_seconds() if upstream else 0.0
            samples.append(
                Sample(
                    time.monotonic(),
                    _resident_kib(worker),
                    sluice.cpu_seconds(),
                    _waited_seconds(worker),
                    load_cpu,
                )
            )
            time.sleep(_SAMPLE_SECONDS)
        if readers.returncode:
            raise RuntimeError("the readers failed")
        output.seek(0)
        seen = Seen(**json.load(output))
    seen.gaps, seen.keepalives_late = _counter(seen.gaps), _counter(seen.keepalives_late)
    return seen, samples


def _counter(counts: dict[str, int]) -> Counter[int]:
    """JSON has made text of its keys."""
    return Counter({int(key): count for key, count in counts.items()})


def _figures(crowd: Crowd, seen: Seen, samples: list[Sample]) -> Figures:
    marks = seen.marks

    def at(mark: str) -> Sample:
        return min(samples, key=lambda sample: abs(sample.at - marks[mark]))

    def cpu(begin: str, end: str) -> float:
        seconds = at(end).at - at(begin).at
        return (at(end).worker_cpu_seconds - at(begin).worker_cpu_seconds) / seconds

    def kib_per_idle(since: Sample, mark: str) -> float:
        return (at(mark).resident_kib - since.resident_kib) / crowd.idle

    first = sorted(seen.first_events)
    begin, end = at("all"), at("all end")
    seconds = end.at - begin.at
    load_cpu = (end.load_cpu_seconds - begin.load_cpu_seconds) / seconds
    readers_cpu = seen.own_cpu_seconds / (marks["all end"] - marks["all"])
    return Figures(
        seen=seen,
        first_event_p50=first[len(first) // 2],
        first_event_p99=first[int(len(first) * 0.99)],
        gap_p50=_quantile(seen.gaps, 0.5),
        gap_p99=_quantile(seen.gaps, 0.99),
        keepalive_late_max=max(seen.keepalives_late, default=0) / TICKS_PER_SECOND,
        kib_per_idle=kib_per_idle(samples[0], "idle 0"),
        growth_kib=(end.resident_kib - begin.resident_kib) / crowd.idle,
        kib_after_closing=kib_per_idle(samples[0], "opening 1" if crowd.waves > 1 else "end"),
        second_wave_kib_per_idle=kib_per_idle(samples[0], "idle 1") if crowd.waves > 1 else None,
        worker_cpu=cpu("all", "all end"),
        worker_waited=(end.worker_waited_seconds - begin.worker_waited_seconds) / seconds,
        load_cpu=load_cpu + readers_cpu,
        readers_cpu=readers_cpu,
        us_per_event=cpu("all", "all end") * (marks["all end"] - marks["all"]) / seen.events * 1e6,
    )


def _quantile(counts: Counter[int], part: float) -> float:
    left = part * counts.total()
    for ticks in sorted(counts):
        left -= counts[ticks]
        if left <= 0:
            return ticks / TICKS_PER_SECOND
    return 0.0


def _resident_kib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def _waited_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _worker_of(sluice: Process) -> int:
    # gunicorn listens before it has one.
    children = Path(f"/proc/{sluice.pid}/task/{sluice.pid}/children")
    while not (worker := children.read_text()):
        time.sleep(_SAMPLE_SECONDS)
    return int(worker)


def report(crowd: Crowd, figures: Figures) -> None:
    seen = figures.seen
    engine = "relayed" if crowd.relayed else "simulated"
    idle = "prefill" if crowd.prefill else "silent"
    print(
        f"{crowd.idle} {idle} + {crowd.paced} x {crowd.rate} events/s, all {engine}, "
        f"{crowd.seconds:g} s on one worker"
    )
    pace = 1 / crowd.rate
    rows = [
        ("errors", f"{seen.error_count}", "0", not seen.error_count),
        (
            "first event beside the crowd",
            f"p50 {figures.first_event_p50 * 1e3:.1f} ms, p99 {figures.first_event_p99 * 1e3:.1f} ms",
            f"p99 <= {FIRST_EVENT_TARGET_SECONDS * 1e3:g} ms",
            figures.first_event_p99 <= FIRST_EVENT_TARGET_SECONDS,
        ),
        (
            "gap between events",
            f"p50 {figures.gap_p50 * 1e3:.0f} ms, p99 {figures.gap_p99 * 1e3:.0f} ms",
            f"p99 <= {(pace + GAP_TARGET_SECONDS) * 1e3:g} ms",
            figures.gap_p99 <= pace + GAP_TARGET_SECONDS,
        ),
        (
            "keep-alives",
            f"{seen.keepalives}, latest {figures.keepalive_late_max * 1e3:.0f} ms after due, "
            f"{seen.keepalives_missing} missing",
            f"within {KEEPALIVE_TARGET_SECONDS} s",
            figures.keepalive_late_max <= KEEPALIVE_TARGET_SECONDS and not seen.keepalives_missing,
        ),
        (
            "memory per silent stream",
            f"{figures.kib_per_idle:.1f} KiB",
            f"<= {IDLE_TARGET_KIB} KiB",
            figures.kib_per_idle <= IDLE_TARGET_KIB,
        ),
        ("  growth meanwhile", f"{figures.growth_kib:.2f} KiB", "< 1 KiB", figures.growth_kib < 1),
    ]
    for name, value, target, holds in rows:
        print(f"  {name:30}{value:50}{target:18}{'holds' if holds else 'DOES NOT HOLD'}")
    second = figures.second_wave_kib_per_idle
    print(f"  {'  after all have left':30}{figures.kib_after_closing:.1f} KiB")
    if second is not None:
        print(f"  {'  in the second wave':30}{second:.1f} KiB")
    waited = f"and waited for it {figures.worker_waited:.0%} of the time"
    print(f"  {'worker, of its core':30}{figures.worker_cpu:.0%}, {waited}")
    print(f"  {'events':30}{seen.events}, {figures.us_per_event:.1f} us CPU each, all included")
    print(
        f"  {'readers and upstream':30}{figures.load_cpu:.0%} of theirs, the readers {figures.readers_cpu:.0%}"
    )
    for error in seen.errors:
        print(f"  error: {error!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["relay", "simulator"], default="relay")
    parser.add_argument("--idle", type=int, default=Crowd.idle)
    parser.add_argument("--paced", type=int, default=Crowd.paced)
    parser.add_argument("--seconds", type=float, default=Crowd.seconds)
    parser.add_argument("--prefill", action="store_true")
    asked = parser.parse_args()
    crowd = Crowd(
        relayed=asked.engine == "relay",
        prefill=asked.prefill,
        idle=asked.idle,
        paced=asked.paced,
        seconds=asked.seconds,
    )
    fits = fitting(crowd)
    if fits != crowd:
        print(
            f"the limit of open files (ulimit -Hn) allows {fits.idle} silent streams, not {crowd.idle}"
        )
    report(fits, measure(fits))


if __name__ == "__main__":
    main()
