"""A program of the system's that serves on a port while a test needs it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.server import clean_environment, wait_until, without_proxies

_TIMEOUT_SECONDS = 30


def program_path(name: str) -> str:
    """Where the program is. Without it the test is skipped, except in CI. name: Debian's package's, too"""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up(f"{name} is not installed; tests/install-system-packages installs it")
    return path


@contextlib.contextmanager
def running_program(
    command: Sequence[str | Path],
    *,
    port: int,
    output: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program, and wait until it accepts connections on the port; end it with all that it has started.

    output: the file that gets what it prints
    environment: variables besides those of the tests
    folder: where it runs
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            env={**without_proxies(clean_environment()), **(environment or {})},
            start_new_session=True,
        )

    def accepts() -> bool:
        assert process.poll() is None, f"{command[0]} ended:\n{output.read_text()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(accepts, _TIMEOUT_SECONDS, output.read_text)
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
