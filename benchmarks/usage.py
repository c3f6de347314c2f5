"""What processes use, as the kernel tells it."""

import contextlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its children, all threads."""
    # Of each thread: the process's own schedstat is that of its first thread.
    nanoseconds = 0
    for each in family(pid):
        for thread in Path(f"/proc/{each}/task").iterdir():
            # One may end meanwhile: those that look up names, of gevent's pool, do, and have done little.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


@dataclass(frozen=True)
class Memory:
    """Of a process and its children, in KiB.

    rss: all pages, those that processes share counted in each
    pss: the same, shared pages divided by the number of those who share them
    uss: only what nobody else has
    """

    rss: int
    pss: int
    uss: int


def memory_of(pid: int) -> Memory:
    """Kernel memory, such as sockets' buffers, is not in it."""
    fields = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for each in family(pid):
        text = Path(f"/proc/{each}/smaps_rollup").read_text()
        for name in fields:
            found = re.search(rf"^{name}: +([0-9]+) kB", text, re.MULTILINE)
            fields[name] += int(found[1]) if found else 0
    uss = fields["Private_Clean"] + fields["Private_Dirty"]
    return Memory(fields["Rss"], fields["Pss"], uss)


@dataclass(frozen=True)
class Usage:
    """Since some time in the past, in seconds.

    load: of the processes that make the load: this one and the upstream
    machine: of all cores, whoever used them
    others: of more processes, each by itself
    """

    wall: float
    server: float
    load: float
    machine: float
    others: tuple[float, ...] = ()

    @classmethod
    def now(
        cls, server_pid: int, upstream_pid: int | None, other_pids: Sequence[int] = ()
    ) -> "Usage":
        upstream = 0.0 if upstream_pid is None else cpu_seconds(upstream_pid)
        load = time.process_time() + upstream
        others = tuple(map(cpu_seconds, other_pids))
        return cls(time.monotonic(), cpu_seconds(server_pid), load, _machine_busy_seconds(), others)

    def since(self, earlier: "Usage") -> "Usage":
        return Usage(
            self.wall - earlier.wall,
            self.server - earlier.server,
            self.load - earlier.load,
            self.machine - earlier.machine,
            tuple(now - then for now, then in zip(self.others, earlier.others, strict=True)),
        )


def _machine_busy_seconds() -> float:
    with open("/proc/stat") as stat:
        user, nice, system, _, _, *interrupts_and_stolen = map(int, stat.readline().split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / _TICKS_PER_SECOND
