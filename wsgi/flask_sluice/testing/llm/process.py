"""Starts and stops ``sluice simulate``."""

import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHILD = Path(__file__).with_name("child.py")
_NEEDED = ("gevent", "gunicorn", "prometheus_client", "itsdangerous")
_START_SECONDS = 30
_ATTEMPTS = 5
_STOP_SECONDS = 10
_LOG_CHARACTERS = 2000


class LLMStartError(RuntimeError):
    """The simulator could not be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the simulator is, and the key of those who have started it."""

    host: str
    port: int
    token: str


@contextmanager
def running_simulator() -> Iterator[Address]:
    """Start a simulator on a free port of 127.0.0.1; the block's end stops it, and so does the end of this process.

    Raises LLMStartError.
    """
    if sys.platform == "win32":
        raise LLMStartError(
            "the simulator runs on gunicorn, which does not run on Windows; use WSL"
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LLMStartError(
            f"the simulator needs {', '.join(missing)}: pip install 'flask-sluice[gateway]'"
        )
    with tempfile.TemporaryFile("w+") as log:
        process, address = _started(log)
        try:
            yield address
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(
    log: IO[str],
) -> tuple["subprocess.Popen[bytes]", Address]:
    for _ in range(_ATTEMPTS):
        address = Address("127.0.0.1", _free_port(), secrets.token_urlsafe(24))
        process = _start(address, log)
        if _is_ready(process, address):
            return process, address
        # Another program may have taken the port in the meantime.
        log.seek(0)
        text = log.read()
        if "is taken" not in text:
            break
        log.truncate(0)
    raise LLMStartError(f"the simulator did not start: {text[-_LOG_CHARACTERS:].strip()}")


def _start(address: Address, log: IO[str]) -> "subprocess.Popen[bytes]":
    # The settings of a gateway that the same machine runs are not the simulator's.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")
    }
    environment.pop("GUNICORN_CMD_ARGS", None)
    environment.update(SLUICE_SIMULATOR_TOKEN=address.token, SLUICE_DRAIN_SECONDS="0.1")
    # The package may be importable for this process alone.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    bind = f"{address.host}:{address.port}"
    simulator = [sys.executable, "-m", "flask_sluice", "simulate", "--bind", bind]
    return subprocess.Popen(  # noqa: S603 - starts our own interpreter
        [sys.executable, str(_CHILD), *simulator],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


def _is_ready(process: "subprocess.Popen[bytes]", address: Address) -> bool:
    """Wait until the server answers. Returns False if it has ended, or takes too long and is ended."""
    ends_at = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < ends_at:
        try:
            with socket.create_connection((address.host, address.port), 1) as sock:
                sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                if sock.recv(12).endswith(b" 200"):
                    return True
        except OSError:
            pass  # It does not listen yet.
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
        process.wait()
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
