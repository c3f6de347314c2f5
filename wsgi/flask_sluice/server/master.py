"""gunicorn's master, which starts a successor before a worker ends that has served its ``max_requests``."""

import os
import queue
import signal
import sys
import time
from types import ModuleType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from flask_sluice.observe.shared_numbers import shared_numbers
from flask_sluice.server.drain_time import drain_delay_seconds
from flask_sluice.server.log_lines import LogOutput
from flask_sluice.server.worker_board import Row, Stage, board

BLOCKED_SIGNALS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)
"""The signals that a new worker does not get before it has its own handlers; see ``Master``."""

_SHARED_MEMORY = ("flask_sluice.server.worker_board", "flask_sluice.observe.shared_numbers")
"""Modules that a reload leaves: old and new workers share their memory, and so its form."""
_POLL_SECONDS = 0.1


class Master(Arbiter):  # type: ignore[misc]
    """Starts a successor for each worker that retires, and ends the worker when all successors have booted.

    gunicorn's own arbiter starts the next worker when one has ended. A worker that drains stops accepting long before: with
    no other worker, clients that connect meanwhile would wait for the last of its streams. On a reload it ends the old
    workers at once, and itself if the new ones do not boot; here they retire.

    gunicorn has no setting for the class of its arbiter: ``gunicorn.app.base`` names it. ``configure`` has a hook replace the
    class of the running arbiter, which is safe because this class sets no attribute in ``__init__``: ``take_over`` does.

    rereads_package: whether a reload imports this package anew, in the master too. Only for a server that imports it in no
        other module that stays: an app would go on with the old modules, and the worker with the new ones
    """

    rereads_package = False
    log_output: LogOutput
    _before_reload: "_MasterState | None" = None
    """What a failed reload goes back to, until its workers have booted."""
    _reload_is_done: Exception | None = None
    """What ``manage_workers`` raises in a reload, so that gunicorn does not go on with it. A reload changes this class."""
    _replaced_age = 0
    """The age of the youngest worker that the last reload replaces; ages are gunicorn's numbers of workers."""
    _given_up_age = 0
    """The age of the youngest worker that may fail to boot, since others go on in its place."""
    _abandoned_ages = range(0)
    """The ages of the workers of a reload that was given up."""

    @classmethod
    def take_over(cls, server: Any) -> None:
        """Make a running arbiter one of this class."""
        server.__class__ = cls
        if hasattr(server, "log_output"):
            server.log_output.unblock(server.log)  # A reload may have made other handlers.
        else:
            server.log_output = LogOutput(server.log, board().count_dropped_log_lines)

    def reload(self) -> None:
        """Start workers with the settings as they are now; if those are wrong, everything goes on as before."""
        before = _MasterState(self)
        # With preload_app the master keeps the app, and with it the modules that the app uses.
        if self.rereads_package and not self.cfg.preload_app:
            before.forget_modules()
        serving = self._at(Stage.SERVING)
        for worker in serving:
            worker.row.stage = Stage.RETIRING
        replaced_age, self._replaced_age = self._replaced_age, self.worker_age
        self._reload_is_done = _NewWorkersStarted()
        try:
            super().reload()
        except _NewWorkersStarted:
            self._before_reload = self._before_reload or before
        except SystemExit as error:
            if os.getpid() != self.pid:
                raise  # A new worker, at its end.
            before.restore(self)
            self._replaced_age = replaced_age
            for worker in serving:
                worker.row.stage = Stage.SERVING
            # gunicorn prints what is wrong by itself, and exits with a number.
            why = f": {error.code}" if isinstance(error.code, str) else ""
            self.log.error("Not reloaded, everything goes on as before%s", why)
        finally:
            self._reload_is_done = None

    def stop(self, graceful: bool = True) -> None:
        """End the server, after a while in which it serves on and ``/readyz`` says that it will end."""
        if graceful and self.reexec_pid:
            # The master that USR2 has started serves at the same sockets.
            for worker in self._at(Stage.SERVING):
                worker.row.stage = Stage.RETIRING
        elif graceful:
            graceful = self._serve_on(drain_delay_seconds())
        super().stop(graceful)

    def _serve_on(self, seconds: float) -> bool:
        """Have the workers leave. Returns whether that was not cut short, by a signal to end at once."""
        ends_at = time.monotonic() + seconds
        if seconds:
            self.kill_workers(signal.SIGTERM)
        while self.WORKERS and time.monotonic() < ends_at:
            if _next_signal(self) in (signal.SIGINT, signal.SIGQUIT):
                return False
            self.reap_workers()
            time.sleep(_POLL_SECONDS)
        return True

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
        if self._reload_is_done is not None:
            # gunicorn 24 and later would now wait for the end of the old workers. Until their last stream it would neither
            # end when it is told to, nor start a worker in place of one that has died.
            raise self._reload_is_done
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
            if retiring:
                self._given_up_age = self.worker_age
            elif not any(
                _is_reaped(worker) and worker.age <= self._given_up_age for worker in booting
            ):
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
            self._go_back()
        self._end_retiring()

    def _go_back(self) -> None:
        """Give a reload up whose workers do not boot."""
        before, self._before_reload = self._before_reload, None
        if before is None:
            return
        self.log.error("Not reloaded, everything goes on as before")
        before.restore(self)
        self._abandoned_ages = range(self._replaced_age + 1, self.worker_age + 1)
        for worker in self._abandoned():
            self.kill_worker(worker.pid, signal.SIGTERM)

    def _abandoned(self) -> list[Any]:
        return [worker for worker in self.WORKERS.values() if worker.age in self._abandoned_ages]

    def _end_retiring(self) -> None:
        leaving = self._leaving()
        others = [worker for worker in self.WORKERS.values() if worker not in leaving]
        if len(others) >= self.num_workers and not self._at(Stage.BOOTING):
            self._before_reload = None
            for worker in leaving:
                if worker.row.stage == Stage.RETIRING:
                    self.kill_worker(worker.pid, signal.SIGTERM)

    def _leaving(self) -> list[Any]:
        """Return the workers that drain or retire, at most as many as there are to be workers; the others retire later. And
        those of a reload that was given up.

        Otherwise each generation would be there for as long as its streams drain, however many generations that makes. A
        reload replaces all workers at once.
        """
        abandoned = self._abandoned()
        draining = [each for each in self._at(Stage.DRAINING) if each not in abandoned]
        retiring = self._at(Stage.RETIRING)
        replaced = [worker for worker in retiring if worker.age <= self._replaced_age]
        free = max(0, self.num_workers - len(draining) - len(replaced))
        later = [each for each in retiring if each not in replaced]
        return abandoned + draining + replaced + later[:free]

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


class _NewWorkersStarted(Exception):
    """gunicorn's reload has done what it is to do."""


class _MasterState:
    """What a reload changes in the master: its settings, its environment, and the package's modules."""

    def __init__(self, master: Master) -> None:
        self._cfg = master.cfg
        self._environment = dict(os.environ)
        self._modules = _modules()

    def forget_modules(self) -> None:
        for name in self._modules:
            del sys.modules[name]

    def restore(self, master: Master) -> None:
        for name in _modules():
            del sys.modules[name]
        sys.modules.update(self._modules)
        os.environ.clear()
        os.environ.update(self._environment)
        master.app.cfg = self._cfg
        if master.cfg is not self._cfg:
            master.setup(master.app)


def _modules() -> dict[str, ModuleType]:
    """Return the modules of this package that a reload imports anew."""
    return {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "flask_sluice" and name not in _SHARED_MEMORY
    }


def _next_signal(master: Master) -> int | None:
    """Return a signal that the master has got and not handled, None if there is none."""
    signals = master.SIG_QUEUE
    if isinstance(signals, list):  # Up to gunicorn 23.
        return signals.pop(0) if signals else None
    try:
        number: int = signals.get_nowait()
    except queue.Empty:
        return None
    return number
