"""A server that runs for a test, and what its app notes."""

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port
from tests.servers.answer import Answer
from tests.servers.environments import Environments
from tests.servers.wsgi_servers import Start, WsgiServer
from tests.support.server import ROOT, clean_environment, wait_until, without_proxies

START_TIMEOUT_SECONDS = 40
STOP_TIMEOUT_SECONDS = 5


class RunningServer:
    """One of the servers with the app, in a process group of its own.

    server: which; environments: where the servers are
    """

    def __init__(self, server: WsgiServer, environments: Environments) -> None:
        self.server = server
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="server-")
        folder = Path(self._folder.name)
        self._notes = folder / "notes"
        self._notes.mkdir()
        # mod_wsgi's processes run as another user.
        for path in (folder, self._notes):
            path.chmod(0o777)
        command = server.command(Start(environments, self.port, folder))
        self._log = os.memfd_create("server-log")
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)
        self._process = subprocess.Popen(
            command,
            # Not the checkout, whose gunicorn.conf.py and .flaskenv are not for these.
            cwd=folder,
            env={
                **without_proxies(clean_environment()),
                "PATH": f"{environments.programs}:{os.environ['PATH']}",
                "PYTHONPATH": f"{ROOT / 'wsgi'}:{ROOT}",
                "SERVERS_NOTES": str(self._notes),
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> "RunningServer":
        try:
            wait_until(self._answers, START_TIMEOUT_SECONDS, lambda: f"no answer:\n{self.log}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"the server ended:\n{self.log}"
        try:
            return bool(self.inspect())
        except OSError:
            return False

    def stop(self) -> None:
        try:
            self._signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_SECONDS)
            # Processes that the first one has left, and one that waits for its streams.
            self._signal(signal.SIGKILL)
            self._process.wait()
        finally:
            os.close(self._log)
            self._folder.cleanup()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def terminate(self) -> None:
        """Send SIGTERM to the first process, as systemd and Kubernetes do to the process that they have started."""
        self._process.terminate()

    @property
    def log(self) -> str:
        """All that the server has printed so far."""
        return os.pread(self._log, os.fstat(self._log).st_size, 0).decode(errors="replace")

    def new_key(self) -> str:
        """A name for one stream."""
        return uuid.uuid4().hex

    def ask(self, path: str, **options: Any) -> Answer:
        return Answer(self.port, path, **options)

    def stream(self, kind: str, key: str, *, method: str = "GET", **options: Any) -> Answer:
        """Ask for a stream of this kind. options: the view's"""
        fields = "".join(f"&{name}={value}" for name, value in options.items())
        return self.ask(f"/stream/{kind}?key={key}{fields}", method=method)

    def inspect(self) -> dict[str, int]:
        """What is open in the server's process."""
        with self.ask("/inspect") as answer:
            return answer.json()

    def open_gate(self, key: str, name: str) -> None:
        (self._notes / f"{key}.{name}").touch()

    def notes(self, key: str) -> list[tuple[float, str]]:
        """What the stream's view has noted: when (CLOCK_MONOTONIC), and what."""
        path = self._notes / key
        if not path.exists():
            return []
        # A line that is being written may be half there.
        whole = path.read_text().rpartition("\n")[0]
        lines = [line.partition(" ") for line in whole.splitlines()]
        return [(float(at), text) for at, _, text in lines]

    def noted(self, key: str, text: str, timeout_seconds: float = 20) -> float:
        """Wait until this has been noted. Returns when it was."""

        def found() -> float | None:
            return next((at for at, what in self.notes(key) if what == text), None)

        return wait_until(
            found, timeout_seconds, lambda: f"noted: {self.notes(key)[-9:]}\n{self.log[-3000:]}"
        )

    def until_runs(self, key: str) -> None:
        """Wait until the stream's generator has noted something. One whose client leaves before it begins never does."""
        self.until(lambda: self.notes(key))

    def process_of(self, key: str) -> int:
        """Which process runs the stream, for those that note it."""
        (process,) = (what for _, what in self.notes(key) if what.startswith("process "))
        return int(process.split()[1])

    def has_noted(self, key: str, text: str) -> bool:
        return any(what == text for _, what in self.notes(key))

    def until(self, condition: Callable[[], Any]) -> Any:
        return wait_until(condition, 20, lambda: self.log[-3000:])
