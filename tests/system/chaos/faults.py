"""What happens to a site during a chaos run: one fault every few seconds, most of them undone some seconds later."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gevent
from gevent.lock import RLock

from tests.support.server import ROOT, Server
from tests.system.chaos.readers import Reader
from tests.system.nginx_server import Nginx
from tests.system.redis_server import RedisServer

KINDS = [
    *("kill_worker", "stop_worker", "end_worker", "reload_gateway", "storm"),
    *("stop_redis", "kill_redis", "fill_redis", "make_redis_read_only", "cut_redis"),
    *("kill_upstream", "stop_upstream", "reload_nginx", "kill_nginx_worker"),
    "fill_temporary_folder",
]
_PAUSE_SECONDS = (1.5, 5.0)
_LONGEST_SECONDS = 4.0


class Upstream:
    """The scripted upstream, in a process of its own on a port that it keeps."""

    def __init__(self, port: int, book: Path) -> None:
        self.port = port
        self._book = book
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Upstream":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        module = "tests.system.chaos.upstream"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self.port), str(self._book)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Let it accept connections and never answer, until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def requests(self) -> list[str]:
        """Return the ids of all requests that have come to it."""
        return self._book.read_text().split() if self._book.exists() else []


@contextlib.contextmanager
def small_folder(size_bytes: int) -> Iterator[Path]:
    """A folder with room for so much, where this user may mount one; otherwise a folder like any other."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", folder]
        is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            yield Path(folder)
        finally:
            if is_mounted:
                subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass
class Chaos:
    """Does one fault after the other.

    temporary_folder: the gateway's
    worker_kills, nginx_kills: when that was done
    """

    gateway: Server
    nginx: Nginx
    redis: RedisServer
    upstream: Upstream
    temporary_folder: Path
    readers: list[Reader]
    random: random.Random
    worker_kills: list[float] = field(default_factory=list)
    nginx_kills: list[float] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    _leaving: set[int] = field(default_factory=set)
    _locks: dict[str, RLock] = field(default_factory=lambda: defaultdict(RLock))

    def run(self, seconds: float, kinds: list[str]) -> None:
        """Do faults of these kinds, each as often as the others. Return when everything is as it was."""
        faults = [getattr(self, kind) for kind in kinds]
        started_at = time.monotonic()
        under_way: list[gevent.Greenlet[[], None]] = []
        while (at := time.monotonic() - started_at) < seconds:
            # Each kind once, in an order of its own each time.
            if len(self.done) % len(faults) == 0:
                self.random.shuffle(faults)
            fault = faults[len(self.done) % len(faults)]
            self.done.append(fault.__name__)
            print(f"{at:6.1f} s  {fault.__name__.replace('_', ' ')}", flush=True)
            under_way.append(gevent.spawn(fault))
            gevent.sleep(self.random.uniform(*_PAUSE_SECONDS))
        gevent.joinall(under_way, raise_error=True)

    def _wait(self) -> None:
        gevent.sleep(self.random.uniform(1.0, _LONGEST_SECONDS))

    # The gateway.

    def _workers(self) -> list[int]:
        """Return the workers that are to stay: of one that ends by itself it cannot be known which came first."""
        workers = self.gateway.workers()
        self._leaving.intersection_update(workers)
        return [pid for pid in workers if pid not in self._leaving]

    def kill_worker(self) -> None:
        pid = self.random.choice(self._workers())
        os.kill(pid, signal.SIGKILL)
        self.worker_kills.append(time.monotonic())

    def stop_worker(self) -> None:
        pid = self.random.choice(self._workers())
        os.kill(pid, signal.SIGSTOP)
        self._wait()
        with contextlib.suppress(ProcessLookupError):  # It was killed meanwhile.
            os.kill(pid, signal.SIGCONT)

    def end_worker(self) -> None:
        """gunicorn starts another in its place."""
        pid = self.random.choice(self._workers())
        self._leaving.add(pid)
        os.kill(pid, signal.SIGTERM)

    def reload_gateway(self) -> None:
        self._leaving.update(self.gateway.workers())
        self.gateway.signal(signal.SIGHUP)

    def fill_temporary_folder(self) -> None:
        filler = self.temporary_folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1):
                with contextlib.suppress(OSError):
                    while file.tell() < 64 << 20:
                        file.write(b"x" * size)
        self._wait()
        filler.unlink()

    # Its readers.

    def storm(self) -> None:
        """Half of the readers leave at the same moment, and come back."""
        for reader in self.random.sample(self.readers, len(self.readers) // 2):
            if reader.exchange is not None:
                reader.exchange.leave()

    # What is around it. Of each of these there is one fault at a time.

    def stop_redis(self) -> None:
        self._stop(self.redis)

    def kill_redis(self) -> None:
        with self._locks["redis"]:
            self.redis.kill()
            self._wait()
            self.redis.start()

    def fill_redis(self) -> None:
        self._tell_redis("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")

    def make_redis_read_only(self) -> None:
        """As after a failover in which the connections stay."""
        self._tell_redis("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")

    def cut_redis(self) -> None:
        self._tell_redis("CLIENT KILL TYPE normal SKIPME yes", "PING")

    def kill_upstream(self) -> None:
        with self._locks["upstream"]:
            self.upstream.kill()
            self._wait()
            self.upstream.start()

    def stop_upstream(self) -> None:
        self._stop(self.upstream)

    def reload_nginx(self) -> None:
        self.nginx.signal(signal.SIGHUP)

    def kill_nginx_worker(self) -> None:
        pid = self.random.choice(self.nginx.workers())
        os.kill(pid, signal.SIGKILL)
        self.nginx_kills.append(time.monotonic())

    def _stop(self, thing: RedisServer | Upstream) -> None:
        with self._locks["redis" if thing is self.redis else "upstream"]:
            thing.suspend()
            self._wait()
            thing.resume()

    def _tell_redis(self, begin: str, end: str) -> None:
        with self._locks["redis"]:
            self.redis.client.execute_command(*begin.split())
            self._wait()
            self.redis.client.execute_command(*end.split())
