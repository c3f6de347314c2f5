"""Greenlets that are used again, for short jobs that may block."""

import contextlib
from collections.abc import Callable

import gevent
from gevent import get_hub
from greenlet import greenlet

_MAX_IDLE = 64
"""How many stay after a burst of jobs."""


class GreenletPool:
    """Runs each job in a greenlet of its own, and keeps the greenlet for the next job.

    A new greenlet costs some 30 us, a twentieth of a short answer: 16 KiB are mapped for its frames, and its first
    pages fault.
    """

    def __init__(self) -> None:
        self._idle: list[PooledGreenlet] = []

    def start(self, job: Callable[[], None]) -> "PooledGreenlet":
        """Run ``job``, which must not raise, from the next turn of the loop on. Returns its greenlet."""
        worker = self._idle.pop() if self._idle else PooledGreenlet(self._idle)
        worker.start(job)
        return worker


class PooledGreenlet:
    """One greenlet of the pool, and the job that it does."""

    def __init__(self, idle: "list[PooledGreenlet]") -> None:
        self._idle = idle
        self._job: Callable[[], None] | None = None
        self._greenlet: greenlet | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Run ``job`` from the next turn of the loop on."""
        self._job = job
        if self._greenlet is None:
            self._greenlet = gevent.spawn_raw(self._run)
        else:
            get_hub().loop.run_callback(self._greenlet.switch)

    def interrupt(self, job: Callable[[], None]) -> None:
        """Raise GeneratorExit where ``job`` waits; do nothing if it is done. Does not block."""
        get_hub().loop.run_callback(self._interrupt, job)

    def _interrupt(self, job: Callable[[], None]) -> None:
        # Checked here, in the loop: by now the job may be done, and the greenlet may do another one.
        if self._job == job and self._greenlet is not None:
            self._greenlet.throw(GeneratorExit)

    def _run(self) -> None:
        while True:
            assert self._job is not None
            with contextlib.suppress(GeneratorExit):  # ``interrupt`` raised it.
                self._job()
            self._job = None
            if len(self._idle) >= _MAX_IDLE:
                return
            self._idle.append(self)
            get_hub().switch()
