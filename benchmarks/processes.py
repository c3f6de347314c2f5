"""Starts what is measured, on one core, and what measures it, on another; tells the CPU time of the former."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Result

ROOT = Path(__file__).resolve().parents[1]
SERVER_CORE, LOAD_CORE = sorted(os.sched_getaffinity(0))[:2]
_START_TIMEOUT_SECONDS = 15

_NGINX = """
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 60000; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 30000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream upstream_server {{ server 127.0.0.1:{upstream}; keepalive 1000; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location / {{
            proxy_pass http://upstream_server; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off; proxy_read_timeout 600;
        }}
    }}
}}
"""


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
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
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
        """User and system time of the process and its children, all threads."""
        return sum(_cpu_nanoseconds(pid) for pid in _family(self._process.pid)) / 1e9

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in _family(self._process.pid):
                os.kill(pid, 9)
            self._process.wait()


@contextmanager
def started(make: Callable[[int], Process]) -> Iterator[Process]:
    process = make(random.randint(20000, 31999))
    try:
        process.wait_until_it_listens()
        yield process
    finally:
        process.stop()


def upstream(port: int) -> Process:
    return Process([sys.executable, "-m", "benchmarks.upstream", str(port)], port, LOAD_CORE)


def sluice(upstream_port: int | None, **more_settings: str) -> Callable[[int], Process]:
    """The simulator without an upstream. more_settings: with the prefix."""

    def start(port: int) -> Process:
        settings = {
            "SLUICE_BIND": f"127.0.0.1:{port}",
            "SLUICE_MAX_STREAMS": "20000",
            **more_settings,
        }
        if upstream_port is not None:
            settings["SLUICE_UPSTREAM"] = f"http://127.0.0.1:{upstream_port}/v1"
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"]
        return Process(command, port, SERVER_CORE, **settings)

    return start


@contextmanager
def nginx(upstream_port: int) -> Iterator[Process]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        sys.exit("nginx is what is compared with: apt-get install nginx")
    with tempfile.TemporaryDirectory() as folder:

        def start(port: int) -> Process:
            configuration = Path(folder) / "nginx.conf"
            configuration.write_text(
                _NGINX.format(folder=folder, port=port, upstream=upstream_port)
            )
            return Process([program, "-c", str(configuration)], port, SERVER_CORE)

        with started(start) as process:
            yield process


@contextmanager
def redis() -> Iterator[Process]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is needed: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:

        def start(port: int) -> Process:
            options = ["--port", str(port), "--dir", folder, "--appendonly", "yes", "--save", ""]
            return Process([program, *options], port, LOAD_CORE)

        with started(start) as process:
            yield process


def load(
    server: Process, model: str, concurrent: int, answers: int, path: str = "/v1/chat/completions"
) -> Result:
    """Asks ``server`` from another process. See ``benchmarks.load``."""
    url = f"http://127.0.0.1:{server.port}{path}"
    command = ["-m", "benchmarks.load", url, model, str(concurrent), str(answers)]
    output = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        check=True,
        capture_output=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    ).stdout
    return Result(**json.loads(output))


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _cpu_nanoseconds(pid: int) -> int:
    # Of each thread: the process's own schedstat is that of its first thread.
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
