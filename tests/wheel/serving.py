"""Programs of an environment that serve HTTP, and requests to them."""

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.ports import free_port
from tests.support.server import wait_until
from tests.wheel.environments import Environment, environment_variables

_START_TIMEOUT_SECONDS = 40
_STOP_TIMEOUT_SECONDS = 20


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str


class Serving:
    """A server program on a port of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = process
        self._port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def request(self, method: str, path: str, body: str | None = None) -> Answer:
        with self.open(method, path, body) as response:
            return Answer(response.status, dict(response.headers), response.read().decode())

    @contextlib.contextmanager
    def open(
        self, method: str, path: str, body: str | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the end of the block closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                yield response

    def is_ready(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            self.request("GET", "/")
        except OSError:
            return False
        return True


@contextlib.contextmanager
def serve(
    environment: Environment, folder: Path, *command: str, **variables: str
) -> Iterator[Serving]:
    """Run a server program of the environment in the folder.

    command: the first word is a command in ``bin``; PORT in the others becomes the port
    variables: for its environment
    """
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                environment.command(command[0]),
                *(word.replace("PORT", str(port)) for word in command[1:]),
            ],
            cwd=folder,
            env={**environment_variables(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        serving = Serving(process, port, log)
        wait_until(serving.is_ready, _START_TIMEOUT_SECONDS, lambda: serving.log)
        yield serving
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
