"""A real Redis for a test, on a unix socket of its own."""

import shutil
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.redis_servers.process import REDIS, RedisProcess


class RedisServer(RedisProcess):
    """Keeps its data across ``kill`` and ``start``: it logs every change before it answers.

    arguments: for redis-server, after ours
    program: the one of another version
    """

    def __init__(self, *arguments: str, password: str = "", program: str = REDIS) -> None:
        super().__init__(program)
        self.socket = self.folder / "redis.sock"
        self._log_folder = self.folder / "appendonlydir"
        self._copy = self.folder / "copy"
        self._arguments = (
            *("--port", "0", "--unixsocket", str(self.socket)),
            *("--dir", str(self.folder), "--save", "", "--appendonly", "yes"),
            # With "everysec" it answers before it logs while it waits for the disk, for up to two seconds.
            *("--appendfsync", "no", *arguments, "--requirepass", password),
        )
        self.url = (
            f"unix://:{quote(password, '')}@{self.socket}" if password else f"unix://{self.socket}"
        )
        # It tries everything once.
        self.client = redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))

    def remember(self) -> None:
        """Copy the data that it has stored so far, for ``go_back``."""
        shutil.copytree(self._log_folder, self._copy, dirs_exist_ok=True)

    def go_back(self) -> None:
        """Make it forget what came after ``remember``, or everything if that was not called, when it starts again."""
        shutil.rmtree(self._log_folder)
        if self._copy.exists():
            shutil.move(self._copy, self._log_folder)
