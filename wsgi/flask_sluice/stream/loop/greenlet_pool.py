"""Greenlets that do one short job after the other."""

import contextlib
from collections.abc import Callable

import gevent
from gevent import get_hub
from greenlet import greenlet

_MAX_IDLE = 64
"""A burst of a thousand jobs is not to leave a thousand greenlets."""


class GreenletPool:
    """Runs jobs, each in a greenlet of its own, which is used again afterwards.

    A new greenlet costs a mapping of 16 KiB for its frames, and the faults of its first pages: some 30 us, a
    twentieth of a short answer.
    """

    def __init__(self) -> None:
        self._idle: list[PooledGreenlet] = []

    def start(self, job: Callable[[], None]) -> "PooledGreenlet":
        """``job`` runs from the next turn of the loop on. It must not raise."""
        helper = self._idle.pop() if self._idle else PooledGreenlet(self._idle)
        helper.start(job)
        return helper


class PooledGreenlet:
    """One of the greenlets."""

    def __init__(self, idle: "list[PooledGreenlet]") -> None:
        self._idle = idle
        self._job: Callable[[], None] | None = None
        self._greenlet: greenlet | None = None

    def start(self, job: Callable[[], None]) -> None:
        self._job = job
        if self._greenlet is None:
            self._greenlet = gevent.spawn_raw(self._run)
        else:
            get_hub().loop.run_callback(self._greenlet.switch)

    def interrupt(self, job: Callable[[], None]) -> None:
        """Raises GeneratorExit where ``job`` waits; nothing if it is done. Does not block."""
        get_hub().loop.run_callback(self._interrupt, job)

    def _interrupt(self, job: Callable[[], None]) -> None:
        # Asked again here: by now it may be done, and the greenlet may do another job.
        if self._job == job and self._greenlet is not None:
            self._greenlet.throw(GeneratorExit)

    def _run(self) -> None:
        while True:
            assert self._job is not None
            with contextlib.suppress(GeneratorExit):  # Interrupted.
                self._job()
            self._job = None
            if len(self._idle) >= _MAX_IDLE:
                return
            self._idle.append(self)
            get_hub().switch()
