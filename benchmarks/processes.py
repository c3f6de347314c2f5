"""Starts what is measured, on one core, and what measures it, on another."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks import usage
from benchmarks.load import Load, Result
from benchmarks.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
CORES = len(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
_FILE_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
FILE_LIMIT = 100_000 if _FILE_LIMIT == resource.RLIM_INFINITY else min(_FILE_LIMIT, 100_000)
"""For each process here: a stream is a file, two in a relay, and the usual soft limit of 1024 is for ``select()``."""
_START_TIMEOUT_SECONDS = 15


class Process:
    """One that listens on a port."""

    def __init__(self, command: list[str], port: int, core: int, **environment: str) -> None:
        self.port = port
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: prepare(core),
        )

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"did not start: {self._process.args!r}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        return usage.cpu_seconds(self.pid)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in usage.family(self.pid):
                os.kill(pid, 9)
            self._process.wait()


@contextmanager
def started(make: Callable[[int], Process]) -> Iterator[Process]:
    process = make(free_port())
    try:
        process.wait_until_it_listens()
        yield process
    finally:
        process.stop()


def upstream(port: int) -> Process:
    return Process([sys.executable, "-m", "benchmarks.upstream", str(port)], port, LOAD_CORE)


@contextmanager
def redis(core: int = LOAD_CORE) -> Iterator[Process]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is needed: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:

        def start(port: int) -> Process:
            options = ["--port", str(port), "--dir", folder, "--appendonly", "yes", "--save", ""]
            return Process([program, *options], port, core)

        with started(start) as process:
            yield process


def run_load(load: Load) -> Result:
    """From another process, on the core of the load. See ``benchmarks.load``."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(load))],
        cwd=ROOT,
        check=False,
        capture_output=True,
        preexec_fn=lambda: prepare(LOAD_CORE),
    )
    if done.returncode:
        raise RuntimeError(f"the load failed: {done.stderr.decode()[-1000:]}")
    return Result.from_json(done.stdout)


def prepare(core: int) -> None:
    """Run this in a new process: it stays on the core, may open many files, and reacts to Ctrl-C.

    A job in the background of a script ignores SIGINT and SIGQUIT, which what it starts would inherit.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.sched_setaffinity(0, {core})
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILE_LIMIT, _FILE_LIMIT))
