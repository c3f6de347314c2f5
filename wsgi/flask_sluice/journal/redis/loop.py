"""A greenlet that does one thing again and again."""

import logging
import time
from collections.abc import Callable

import gevent
from gevent.event import Event as Flag

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.client import RETRY_SECONDS

logger = logging.getLogger("sluice.journal")


class Loop:
    """Survives what fails in a step, and tries it again a little later.

    step: may block
    pause_seconds: from the start of one step to the start of the next, at least
    """

    def __init__(self, step: Callable[[], None], pause_seconds: float) -> None:
        self._step = step
        self._pause_seconds = pause_seconds
        self._closed = Flag()
        gevent.spawn(self._run)

    def close(self) -> None:
        """After the current step, there is no other."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            ends_at = time.monotonic() + self._pause_seconds
            try:
                self._step()
            except JournalUnavailableError:
                ends_at = time.monotonic() + RETRY_SECONDS
            except Exception:
                if self._closed.is_set():
                    return  # Its connection was closed while it waited there.
                # All streams of the worker depend on it.
                logger.exception("%s failed; it goes on", self._step.__qualname__)
                ends_at = time.monotonic() + RETRY_SECONDS
            self._closed.wait(max(0.0, ends_at - time.monotonic()))
