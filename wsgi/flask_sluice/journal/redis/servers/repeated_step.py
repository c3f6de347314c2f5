"""A job in the background that does one thing again and again."""

import logging
import os
import time
from collections.abc import Callable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RETRY_SECONDS
from flask_sluice.journal.turns import Turns

logger = logging.getLogger("sluice.journal")

_SHORT_SECONDS = 0.01


class RepeatedStep:
    """Calls a function in the background, over and over; when it fails, calls it again a little later.

    step: may block
    pause_seconds: from the start of one call to the start of the next, at least
    """

    def __init__(self, turns: Turns, step: Callable[[], None], pause_seconds: float) -> None:
        self._turns = turns
        self._step = step
        self._pause_seconds = pause_seconds
        self._pid = os.getpid()
        self._logged: set[str] = set()
        self._closed = turns.new_flag()
        turns.start(self._run)

    def close(self) -> None:
        """Let the current call be the last."""
        self._closed.set()

    @property
    def _is_over(self) -> bool:
        # A fork copies the greenlets, too, and those of the parent would go on in the child.
        return self._closed.is_set() or os.getpid() != self._pid

    def _run(self) -> None:
        while not self._is_over:
            ends_at = time.monotonic() + self._pause_seconds
            try:
                with self._turns:
                    self._step()
                self._logged.clear()
            except JournalUnavailableError:
                ends_at = time.monotonic() + RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - it is logged
                if self._is_over:
                    return  # Its connection was closed while it waited for a reply.
                # All streams of the worker depend on this.
                self._log(error)
                ends_at = time.monotonic() + RETRY_SECONDS
            self._pause(ends_at - time.monotonic())

    def _pause(self, seconds: float) -> None:
        if seconds > _SHORT_SECONDS:
            self._closed.wait(seconds)
        elif seconds > 0:
            # On gevent, waiting with a limit takes twice as long: 60 µs, as much as a few events.
            self._turns.sleep(seconds)

    def _log(self, error: Exception) -> None:
        """Log an error that is no outage: a defect, or replies that make no sense. Each kind once, until it works."""
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            logger.error("%s failed; it goes on", self._step.__qualname__, exc_info=error)
