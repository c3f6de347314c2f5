"""Starts a real gunicorn for a test, and ends it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_SECONDS = 40
STOP_TIMEOUT_SECONDS = 30


class Server:
    """gunicorn with the project's own configuration, on a port of its own.

    app: what gunicorn loads; configuration, arguments: gunicorn's; folder: where all that is; host: where it listens; environment: further
    variables; output: what it prints to, in place of ``log``; python: the program that runs it; settings: SLUICE_ variables, without the prefix
    """

    def __init__(
        self,
        app: str = "app:app",
        *,
        configuration: str = "gunicorn.conf.py",
        arguments: tuple[str, ...] = (),
        folder: Path = ROOT,
        host: str = "127.0.0.1",
        unix_socket: Path | None = None,
        environment: Mapping[str, str] | None = None,
        output: int | None = None,
        python: str = sys.executable,
        **settings: object,
    ) -> None:
        self.port = free_port()
        self.unix_socket = unix_socket
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = os.memfd_create("server-log")
        # Without it two processes that write at the same time write to the same place: Linux locks no position of a memfd.
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)
        self._is_gthread = "gthread" in arguments
        bind = f"unix:{unix_socket}" if unix_socket else f"{host}:{self.port}"
        variables = {f"SLUICE_{name.upper()}": str(value) for name, value in settings.items()}
        self._process = subprocess.Popen(
            [python, "-m", "gunicorn", "-c", configuration, "-b", bind, *arguments, app],
            cwd=folder,
            env={**without_proxies(clean_environment()), **(environment or {}), **variables},
            stdin=subprocess.DEVNULL,
            stdout=self._log if output is None else output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> "Server":
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """All that the server has printed so far."""
        return os.pread(self._log, os.fstat(self._log).st_size, 0).decode()

    def logged(self, message: str, **fields: object) -> list[dict[str, object]]:
        """Sluice's own lines in the log that have this message and these fields."""
        wanted = {"message": message, **fields}
        return [line for line in self.logged_lines() if wanted.items() <= line.items()]

    def logged_lines(self) -> list[dict[str, object]]:
        """All of Sluice's own lines in the log."""
        # A line that is being written may be half there.
        whole = self.log.rpartition("\n")[0].split("\n")
        return [json.loads(line) for line in whole if line.startswith("{")]

    def connect(self, receive_buffer_bytes: int | None = None) -> socket.socket:
        family = socket.AF_UNIX if self.unix_socket else socket.AF_INET
        sock = socket.socket(family)
        sock.settimeout(START_TIMEOUT_SECONDS)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            sock.connect(str(self.unix_socket) if self.unix_socket else ("127.0.0.1", self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def wait_until_ready(self) -> None:
        wait_until(self._answers, START_TIMEOUT_SECONDS, lambda: f"no answer:\n{self.log}")

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"the server ended:\n{self.log}"
        try:
            with self.connect() as sock:
                sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                return sock.recv(16).startswith(b"HTTP/1.")
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """The master's."""
        return self._process.pid

    def workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def wait_for_exit(self) -> int:
        return self._process.wait(START_TIMEOUT_SECONDS)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C: the whole process group gets SIGINT."""
        os.killpg(self._process.pid, signal.SIGINT)

    def stop(self) -> None:
        """Does not wait for the end: gunicorn looks whether its workers have gone ten times a second, half a second
        in all, in which the next test can begin."""
        if self._process.poll() is None:
            if self._is_gthread:
                self._wait_for_closed_connections()
            self._process.send_signal(signal.SIGINT)
            # Not a daemon: the tests' process stays until all that it has started is gone.
            threading.Thread(target=self._see_end).start()
        os.close(self._log)

    def _wait_for_closed_connections(self) -> None:
        """Wait until the server has taken up the connections that its clients have closed; for a while only.

        gunicorn takes up a kept-alive one with ThreadPoolExecutor.submit. If SIGQUIT comes in it, the handler calls shutdown,
        which waits for the lock that submit has in the same thread, until the master kills the worker after 30 s.
        """
        deadline = time.monotonic() + 1
        while self.port in ports_in_close_wait() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _see_end(self) -> None:
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise


def clean_environment() -> dict[str, str]:
    """The environment without settings that whoever runs the tests may have."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The tests' servers are here, whatever is on the way to others."""
    return {
        name: value for name, value in environment.items() if not name.lower().endswith("_proxy")
    }


def wait_until(condition, timeout_seconds=10.0, explain=lambda: ""):
    """Waits for ``condition()`` to be truthy and returns it; fails the test if it never is."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.005)
    raise AssertionError(f"not within {timeout_seconds} s: {condition}; {explain()}")


def ports_in_close_wait() -> set[int]:
    """The local ports of TCP connections that the other side alone has closed; see proc(5)."""
    _, *lines = Path("/proc/net/tcp").read_text().splitlines()
    addresses = (line.split()[1:4] for line in lines)
    return {int(local.rpartition(":")[2], 16) for local, _, state in addresses if state == "08"}


def answers_on(port: int) -> bool:
    """Whether Sluice serves there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b"200" in sock.recv(64)
    except OSError:
        return False
