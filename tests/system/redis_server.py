"""A real Redis for a test, on a unix socket of its own."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.server import wait_until

_TIMEOUT_SECONDS = 30


class RedisServer:
    """Keeps its data across ``kill`` and ``start``: it logs every change before it answers.

    arguments: for redis-server, after ours
    """

    def __init__(self, *arguments: str, password: str = "") -> None:
        # The path must be short: a socket's has at most 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self.folder = Path(self._folder.name)
        self.socket = Path(self._folder.name, "redis.sock")
        self._log_folder = Path(self._folder.name, "appendonlydir")
        self._copy = Path(self._folder.name, "copy")
        self._arguments = (*arguments, "--requirepass", password)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = (
            f"unix://:{quote(password, '')}@{self.socket}" if password else f"unix://{self.socket}"
        )
        self.client = redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))
        """For the tests themselves."""

    def __enter__(self) -> "RedisServer":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.client.close()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it, and return when it answers."""
        folder = self._folder.name
        with open(f"{folder}/log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *("redis-server", "--port", "0", "--unixsocket", str(self.socket)),
                    *("--dir", folder, "--save", "", "--appendonly", "yes"),
                    *("--appendfsync", "everysec", *self._arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, _TIMEOUT_SECONDS, lambda: self.log)

    @property
    def log(self) -> str:
        return Path(self._folder.name, "log").read_text()

    def kill(self) -> None:
        """End it by SIGKILL, so that it writes nothing more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_TIMEOUT_SECONDS)
            self._process = None

    def suspend(self) -> None:
        """Let it accept connections and never answer, until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remember(self) -> None:
        """Copy the data that it has stored so far, for ``go_back``."""
        shutil.copytree(self._log_folder, self._copy, dirs_exist_ok=True)

    def go_back(self) -> None:
        """Make it forget what came after ``remember``, or everything if that was not called, when it starts again."""
        shutil.rmtree(self._log_folder)
        if self._copy.exists():
            shutil.move(self._copy, self._log_folder)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"redis-server ended:\n{self.log}"
        with contextlib.suppress(redis.ConnectionError):  # Not yet; or it is still reading its log.
            return bool(self.client.ping())
        return False
