"""What is compared: Sluice, and the smallest sensible relay made with each of its peers (benchmarks/peers/)."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from string import Template

from benchmarks.processes import FILE_LIMIT, SERVER_CORE, Process, started

_PEERS = Path(__file__).parent / "peers"

Start = Callable[[int], AbstractContextManager[Process]]
"""Takes the upstream's port; gives a server that answers on its own."""


def sluice(upstream_port: int | None, **more_settings: str) -> AbstractContextManager[Process]:
    """With all that it does for a stream. upstream_port: None for the simulator. more_settings: with the prefix."""

    def start(port: int) -> Process:
        settings = {
            "SLUICE_BIND": f"127.0.0.1:{port}",
            "SLUICE_MAX_STREAMS": str(min(FILE_LIMIT - 1000, 20_000)),
            "SLUICE_STREAMS_PER_CLIENT": "1000",
            **more_settings,
        }
        if upstream_port is not None:
            settings["SLUICE_UPSTREAM"] = f"http://127.0.0.1:{upstream_port}/v1"
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"]
        return Process(command, port, SERVER_CORE, **settings)

    return started(start)


def kept_generators(redis_url: str, core: int, workers: int = 1) -> AbstractContextManager[Process]:
    """``benchmarks.peers.kept_generators``, an app that streams what its own generators make."""

    def start(port: int) -> Process:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:flask_sluice.server.settings"]
        command += ["--workers", str(workers), "--worker-connections", "10000"]
        command += ["--bind", f"127.0.0.1:{port}", "benchmarks.peers.kept_generators:app"]
        environment = {"KEPT_REDIS_URL": redis_url, "SLUICE_DRAIN_SECONDS": "0.5"}
        return Process(command, port, core, **environment)

    return started(start)


@contextmanager
def nginx(upstream_port: int) -> Iterator[Process]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        sys.exit("nginx is what is compared with: apt-get install nginx")
    configuration = Template((_PEERS / "nginx.conf").read_text())
    with tempfile.TemporaryDirectory() as folder:

        def start(port: int) -> Process:
            path = Path(folder) / "nginx.conf"
            path.write_text(
                configuration.substitute(folder=folder, port=port, upstream=upstream_port)
            )
            return Process([program, "-c", str(path)], port, SERVER_CORE)

        with started(start) as process:
            yield process


@contextmanager
def go_reverse_proxy(upstream_port: int) -> Iterator[Process]:
    go = shutil.which("go")
    if go is None:
        sys.exit("go is needed for its reverse proxy: apt-get install golang-go")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/reverse_proxy"
        source = str(_PEERS / "reverse_proxy.go")
        environment = {**os.environ, "GOCACHE": folder}
        subprocess.run([go, "build", "-o", program, source], check=True, env=environment)

        def start(port: int) -> Process:
            # On one core more threads would only take it from each other.
            environment = {"PORT": str(port), "GOMAXPROCS": "1"}
            return Process([program], port, SERVER_CORE, **environment, **_upstream(upstream_port))

        with started(start) as process:
            yield process


def gevent_generator(upstream_port: int) -> AbstractContextManager[Process]:
    def start(port: int) -> Process:
        command = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent"]
        command += ["--worker-connections", "20000", "--keep-alive", "75", "--no-control-socket"]
        command += ["--bind", f"127.0.0.1:{port}", "benchmarks.peers.gevent_generator:app"]
        return Process(command, port, SERVER_CORE, **_upstream(upstream_port))

    return started(start)


def starlette_httpx(upstream_port: int) -> AbstractContextManager[Process]:
    return _uvicorn("benchmarks.peers.starlette_httpx:app", upstream_port)


def sse_starlette_httpx(upstream_port: int) -> AbstractContextManager[Process]:
    return _uvicorn("benchmarks.peers.sse_starlette_httpx:app", upstream_port)


def _uvicorn(app: str, upstream_port: int) -> AbstractContextManager[Process]:
    def start(port: int) -> Process:
        command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--loop", "uvloop"]
        command += ["--http", "httptools", "--no-access-log", "--log-level", "warning", app]
        return Process(command, port, SERVER_CORE, **_upstream(upstream_port))

    return started(start)


def _upstream(port: int) -> dict[str, str]:
    return {"UPSTREAM": f"http://127.0.0.1:{port}"}
