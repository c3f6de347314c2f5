"""A server of Redis's that a test starts, disturbs and ends: redis-server, one of Valkey's, or a sentinel."""

import contextlib
import signal
import subprocess
import tempfile
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.ports import free_port
from tests.support.server import wait_until

REDIS = "redis-server"
"""The program that the system has."""

_TIMEOUT_SECONDS = 30
_BUS_OFFSET = 10_000
_FIRST_PORT_OF_OTHERS = 20_000


class RedisProcess:
    """Has a folder of its own, which stays across ``kill`` and ``start``.

    A subclass sets ``url``, ``client`` and ``_arguments`` in its constructor, for which ``folder`` is there already.
    """

    url: str
    client: redis.Redis
    """For the tests themselves."""
    _arguments: tuple[str, ...]

    def __init__(self, program: str) -> None:
        self.program = program
        # The path must be short: a socket's has at most 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self.folder = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self):
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
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Start it without waiting, so that several start at the same time."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for the tests, which end it.
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        wait_until(self._answers, _TIMEOUT_SECONDS, lambda: self.log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed. A suspended one is running."""
        return self._process is not None

    def kill(self) -> None:
        """End it by SIGKILL, so that it writes nothing more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_TIMEOUT_SECONDS)
            self._process = None

    def terminate(self) -> None:
        """End it by SIGTERM, as an operator does, and wait until it has ended."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_TIMEOUT_SECONDS)
            self._process = None

    def suspend(self) -> None:
        """Let it accept connections and never answer, until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.program} ended:\n{self.log}"
        # Not yet; or it is still reading its data, or waits for its primary.
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            return bool(self.client.ping())
        return False


def new_client(url: str) -> redis.Redis:
    """Return a client that connects once more where its connection was closed: sentinels do that to a new primary."""
    return redis.Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[redis.ConnectionError],
        socket_timeout=_TIMEOUT_SECONDS,
    )


def free_cluster_port() -> int:
    """Return a free port whose cluster bus port, 10000 more, is free too; Redis 6.2 cannot be given another."""
    while True:
        # Two processes never get the same one, so they do not get the same one less 10000 either.
        port = free_port() - _BUS_OFFSET
        if port < _FIRST_PORT_OF_OTHERS:
            return port
