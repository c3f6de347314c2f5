"""gunicorn's master, with which a worker that has served its ``max_requests`` goes when its successor is there."""

import signal
from enum import IntEnum
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGQUIT)


class Stage(IntEnum):
    """Where a worker is in its life. Master and worker both read and write it."""

    BOOTING = 0
    SERVING = 1
    RETIRING = 2
    """It has served its number, and goes on until it is told to end."""
    DRAINING = 3
    """It accepts no more."""


class Master(Arbiter):  # type: ignore[misc]
    """Brings on a successor for each worker that retires, and ends it when all have booted.

    gunicorn's own starts the next worker when one has ended. One that drains accepts nothing long before: with no
    other worker, who connects meanwhile would wait for the last of its streams.
    """

    def manage_workers(self) -> None:
        """gunicorn calls it every second, or sooner. Those that leave do not count for it."""
        leaving = self._leaving()
        for worker in leaving:
            del self.WORKERS[worker.pid]
        try:
            super().manage_workers()
        finally:
            self.WORKERS.update({worker.pid: worker for worker in leaving})
        self._end_retiring()

    def spawn_worker(self) -> Any:
        # The worker inherits the master's handlers, which would take a signal and do nothing: until it has its own (8 ms)
        # it gets none. One that did not hear that it is to end would be killed in the end, with its streams.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)

    def reap_workers(self) -> None:
        """A worker that fails to boot ends the server, unless it was to succeed one that can go on."""
        booting = self._at(Stage.BOOTING)
        retiring = self._at(Stage.RETIRING)
        try:
            super().reap_workers()
        except HaltServer:
            if not retiring:
                raise
            for worker in self._gone(booting):
                self.cfg.child_exit(self, worker)
            self.reap_workers()  # It was not the last, perhaps.
        if any(worker.stage == Stage.BOOTING for worker in self._gone(booting)):
            for worker in self._at(Stage.RETIRING):
                self.log.error("Its successor has not booted: worker goes on (pid: %s)", worker.pid)
                worker.stage = Stage.SERVING
        # gunicorn does not turn its loop while it reloads: it waits for the old workers, and reaps.
        self._end_retiring()

    def _end_retiring(self) -> None:
        leaving = self._leaving()
        others = [worker for worker in self.WORKERS.values() if worker not in leaving]
        if len(others) >= self.num_workers and not self._at(Stage.BOOTING):
            for worker in leaving:
                if worker.stage == Stage.RETIRING:
                    self.kill_worker(worker.pid, signal.SIGTERM)

    def _leaving(self) -> list[Any]:
        """At most as many at a time as there are to be workers: the others retire later.

        Else each generation would be there for as long as its streams drain, however many there are by then.
        """
        draining = self._at(Stage.DRAINING)
        free = max(0, self.num_workers - len(draining))
        return draining + self._at(Stage.RETIRING)[:free]

    def _gone(self, workers: list[Any]) -> list[Any]:
        return [worker for worker in workers if worker.pid not in self.WORKERS]

    def _at(self, stage: Stage) -> list[Any]:
        """The oldest first."""
        workers = sorted(self.WORKERS.values(), key=lambda worker: worker.age)
        return [worker for worker in workers if worker.stage == stage]
