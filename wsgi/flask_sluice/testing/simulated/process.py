"""The process of a simulator that is started for tests."""

import http.client
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_START_TIMEOUT_SECONDS = 60
_REQUEST_TIMEOUT_SECONDS = 30
_END_TIMEOUT_SECONDS = 2
_NEEDED = ("gevent", "gunicorn", "urllib3", "redis", "prometheus_client", "itsdangerous", "limits")
_SERVER_SETTINGS = "python:flask_sluice.gateway.gunicorn_settings"
_APP = "flask_sluice.gateway.app:create_app()"
_SUPERVISOR = "flask_sluice.testing.simulated.supervisor"
_NOT_PASSED_ON = ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "SCRIPT_NAME", "PROMETHEUS_MULTIPROC_DIR")
_LOG_TAIL_BYTES = 4000


class LlmStartError(RuntimeError):
    """The simulator cannot be started here; the message says why, and what to do."""


class SimulatorProcess:
    """A simulator on a free port of 127.0.0.1, which ends with this process at the latest.

    settings: those of the gateway, without the prefix ``SLUICE_`` and in lower case

    Raises LlmStartError if it cannot be started here.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        _check_can_start()
        self._owner = os.getpid()
        self._token = secrets.token_urlsafe(24)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the process
        # The socket listens before the process runs, so the port cannot be taken by another, and early requests wait.
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            self.port: int = listener.getsockname()[1]
            self._process = self._start(listener.fileno(), settings)
        try:
            self._wait_until_ready()
        except RuntimeError as error:
            self.stop()
            raise LlmStartError(str(error)) from None
        except BaseException:
            self.stop()
            raise

    def _start(self, listener: int, settings: dict[str, str]) -> "subprocess.Popen[bytes]":
        variables = {f"SLUICE_{name.upper()}": value for name, value in settings.items()}
        variables["SLUICE_SIMULATOR_TOKEN"] = self._token
        variables["SLUICE_BIND"] = f"127.0.0.1:{self.port}"
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", _SUPERVISOR, str(listener), "-c", _SERVER_SETTINGS, _APP],
            # In the tests' own folder a file such as limits.py would be taken for the module.
            cwd="/",
            env={**_environment(), **variables},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener,),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """The end of what it has printed."""
        size = os.fstat(self._log.fileno()).st_size
        data = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES))
        return data.decode("utf-8", "replace")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to the simulator's own routes, and return the JSON of the answer.

        Raises ValueError with its words if it refuses, and RuntimeError if it has ended.
        """
        status, data = self._send(method, path, body)
        if status >= 400:
            raise ValueError(json.loads(data)["error"]["message"])
        return json.loads(data) if data else None

    def stop(self) -> None:
        """End it at once. It may be called again."""
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        stdin.close()
        if os.getpid() != self._owner:
            return  # A fork of the process that has started it.
        if self._process.poll() is None:
            # A fork may hold the pipe open.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _send(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=_REQUEST_TIMEOUT_SECONDS
        )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeError(self._why_no_answer(error)) from error
        finally:
            connection.close()

    def _why_no_answer(self, error: Exception) -> str:
        try:
            # The connections of a server that ends break off a moment before its process is gone.
            self._process.wait(_END_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the simulator does not answer: {error}"
        return f"the simulator has ended; it printed:\n{self.log}"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while True:
            # The request waits for the worker, which takes up what waits at the socket when it has loaded the app.
            status, _ = self._send("GET", "/simulator/requests")
            if status == 200:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the simulator is not ready; it printed:\n{self.log}")
            time.sleep(0.01)


def _check_can_start() -> None:
    if sys.platform == "win32":
        raise LlmStartError(
            "the simulator runs on gunicorn, which does not run on Windows; use WSL or a container"
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LlmStartError(
            f"the simulator needs {', '.join(missing)}: pip install 'flask-sluice[gateway]'"
        )


def _environment() -> dict[str, str]:
    """Return the environment without the settings of another server, with the place where this package is."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SLUICE_") and name not in _NOT_PASSED_ON
    }
    folder = Path(__file__).resolve().parents[3]
    if folder.name not in ("site-packages", "dist-packages"):
        paths = [environment.get("PYTHONPATH", ""), str(folder)]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
