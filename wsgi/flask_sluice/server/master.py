"""gunicorn's master, which starts a successor before a worker ends that has served its ``max_requests``."""

import os
import signal
import sys
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from flask_sluice.observe.shared_numbers import shared_numbers
from flask_sluice.server.log_lines import LogOutput
from flask_sluice.server.worker_board import Row, Stage, board

BLOCKED_SIGNALS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)
"""The signals that a new worker does not get before it has its own handlers; see ``Master``."""

_SHARED_MEMORY = ("flask_sluice.server.worker_board", "flask_sluice.observe.shared_numbers")
"""Modules that a reload leaves: old and new workers share their memory, and so its form."""


class Master(Arbiter):  # type: ignore[misc]
    """Starts a successor for each worker that retires, and ends the worker when all successors have booted.

    gunicorn's own arbiter starts the next worker when one has ended. A worker that drains stops accepting long before: with
    no other worker, clients that connect meanwhile would wait for the last of its streams.

    gunicorn has no setting for the class of its arbiter: ``gunicorn.app.base`` names it. ``configure`` has a hook replace the
    class of the running arbiter, which is safe because this class sets no attribute in ``__init__``: ``take_over`` does.

    rereads_package: whether a reload imports this package anew, in the master too. Only for a server that imports it in no
        other module that stays: an app would go on with the old modules, and the worker with the new ones
    """

    rereads_package = False
    log_output: LogOutput

    @classmethod
    def take_over(cls, server: Any) -> None:
        """Make a running arbiter one of this class."""
        server.__class__ = cls
        if hasattr(server, "log_output"):
            server.log_output.unblock(server.log)  # A reload may have made other handlers.
        else:
            server.log_output = LogOutput(server.log, board().count_dropped_log_lines)

    def reload(self) -> None:
        # With preload_app the master keeps the app, and with it the modules that the app uses.
        if self.rereads_package and not self.cfg.preload_app:
            for name in [name for name in sys.modules if name.partition(".")[0] == "flask_sluice"]:
                if name not in _SHARED_MEMORY:
                    del sys.modules[name]
        super().reload()

    def manage_workers(self) -> None:
        """Start and end workers, without counting those that leave. gunicorn calls it every second or sooner."""
        self.log_output.write_waiting()
        leaving = self._leaving()
        # Up to gunicorn 24 the signal's handler itself reaps: it must not find the workers while they are not in WORKERS.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        for worker in leaving:
            del self.WORKERS[worker.pid]
        try:
            super().manage_workers()
        finally:
            self.WORKERS.update({worker.pid: worker for worker in leaving})
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        self._end_retiring()

    def spawn_worker(self) -> Any:
        # The worker inherits the master's handlers, which would take a signal and do nothing. Until it has its own, after
        # some 8 ms, it gets none. Otherwise one that missed its SIGTERM would be killed later, with its streams.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
        try:
            pid = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if (row := _row_of(self.WORKERS[pid])) is not None:
            row.has_successor = True
        return pid

    def reap_workers(self) -> None:
        """Note which workers have ended. One that fails to boot ends the server, unless it was to succeed one that can go on."""
        before = dict(self.WORKERS)
        try:
            self._reap_workers()
        finally:
            for pid in before.keys() - self.WORKERS.keys():
                if (row := _row_of(before[pid])) is not None:
                    shared_numbers().retire(row.number)
                    board().remove_worker(row)

    def _reap_workers(self) -> None:
        booting = self._at(Stage.BOOTING)
        retiring = self._at(Stage.RETIRING)
        try:
            super().reap_workers()
        except HaltServer:
            if not retiring:
                raise
            for worker in booting:
                if _is_reaped(worker):
                    # gunicorn has not come to that.
                    self.WORKERS.pop(worker.pid, None)
                    worker.tmp.close()
                    self.cfg.child_exit(self, worker)
            self._reap_workers()  # There may be others.
        if any(worker.row.stage == Stage.BOOTING and _is_reaped(worker) for worker in booting):
            for worker in self._at(Stage.RETIRING):
                self.log.error("Its successor has not booted: worker goes on (pid: %s)", worker.pid)
                worker.row.stage = Stage.SERVING
        # gunicorn does not turn its loop while it reloads: it waits for the old workers, and reaps.
        self._end_retiring()

    def _end_retiring(self) -> None:
        leaving = self._leaving()
        others = [worker for worker in self.WORKERS.values() if worker not in leaving]
        if len(others) >= self.num_workers and not self._at(Stage.BOOTING):
            for worker in leaving:
                if worker.row.stage == Stage.RETIRING:
                    self.kill_worker(worker.pid, signal.SIGTERM)

    def _leaving(self) -> list[Any]:
        """Return the workers that drain or retire, at most as many as there are to be workers; the others retire later.

        Otherwise each generation would be there for as long as its streams drain, however many generations that makes.
        """
        draining = self._at(Stage.DRAINING)
        free = max(0, self.num_workers - len(draining))
        return draining + self._at(Stage.RETIRING)[:free]

    def _at(self, stage: Stage) -> list[Any]:
        """Return the workers at a stage, the oldest first."""
        workers = sorted(self.WORKERS.values(), key=lambda worker: worker.age)
        rows = [(worker, _row_of(worker)) for worker in workers]
        return [worker for worker, row in rows if row is not None and row.stage == stage]


def _row_of(worker: Any) -> Row | None:
    """Return a worker's row; None for one of another class, which may be there for a while after a reload."""
    return getattr(worker, "row", None)


def _is_reaped(worker: Any) -> bool:
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    return False
