"""A real Celery worker with the tasks of examples/celery, in an environment without Flask's and gevent's servers."""

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.examples.installed import python_with
from tests.support.server import ROOT, clean_environment, wait_until, without_proxies

FOLDER = ROOT / "examples/celery"
START_SECONDS = 60


def celery_python() -> str:
    """A Python with Celery, RQ, Flask and gunicorn, and without gevent."""
    return python_with(
        "celery[redis]~=5.7", "rq~=3.0", "Flask~=3.1", "gunicorn~=27.0", "msgspec~=0.22"
    )


def environment_of(redis_url: str) -> dict[str, str]:
    """What the example's processes are told. redis_url: of a unix socket"""
    return {
        **without_proxies(clean_environment()),
        "PYTHONPATH": f"{ROOT}/wsgi",
        "REDIS_URL": redis_url,
        "BROKER_URL": redis_url.replace("unix://", "redis+socket://"),
        "SECONDS_BETWEEN_WORDS": "0.05",
    }


class CeleryWorker:
    """pool: of Celery: "prefork" or "threads" """

    def __init__(self, redis_url: str, pool: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the worker
        arguments = ("--pool", pool, "--concurrency", "2", "--loglevel", "INFO")
        self._process = subprocess.Popen(
            [celery_python(), "-m", "celery", "-A", "tasks", "worker", *arguments],
            cwd=FOLDER,
            env=environment_of(redis_url),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> "CeleryWorker":
        try:
            wait_until(self._is_ready, START_SECONDS, lambda: self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()

    @property
    def log(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log
        return " ready." in self.log

    def pool_processes(self) -> list[int]:
        """The processes in which tasks run, of a pool of processes."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def terminate(self) -> None:
        """Ask it to end as systemd does: its tasks may complete."""
        self._process.terminate()

    def wait(self) -> int:
        return self._process.wait(START_SECONDS)

    def kill(self) -> None:
        """SIGKILL, for all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(START_SECONDS)
