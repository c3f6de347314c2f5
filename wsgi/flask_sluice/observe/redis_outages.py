"""What a worker tells of each Redis that fails: in its log, in ``/readyz`` and in its metrics."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Hashable

from flask_sluice.observe.stream_stats import StreamStats

logger = logging.getLogger("sluice.journal")

REFUSES = "Redis refuses commands: "
"""How a reason begins where Redis was reached."""

_QUIET_SECONDS = 3.0
"""The nodes of a cluster learn of a failover one after the other, so Redis seems to work again too early."""


class RedisOutage:
    """What is told of one Redis, however many clients the worker has there.

    An outage begins when the first client has a problem, and is over when no client has had one for three seconds. So a Redis that
    fails and works in turns is one outage.

    on_change: called with True when an outage begins, and with False when it is over
    """

    def __init__(self, on_change: Callable[[bool], object]) -> None:
        self._on_change = on_change
        # Clients of several threads share this. Nothing is logged under the lock: a handler may use Redis, too.
        self._lock = threading.Lock()
        # Each client that had a problem in this outage, and whether it still has.
        self._fails: dict[object, bool] = {}
        self._logged: set[str] = set()
        self._quiet_since = -math.inf
        self._master: tuple[str, int] | None = None
        self.reason: str | None = None
        """What failed last; None if there is no outage."""

    def failed(self, client: object, kind: str, reason: str) -> None:
        """Note a problem of a client. Each kind of failure is logged once in an outage."""
        with self._lock:
            is_first, is_new = self.reason is None, kind not in self._logged
            self._fails[client] = True
            self._logged.add(kind)
            self.reason = reason
            if is_first:
                self._on_change(True)
        if is_first:
            logger.warning("%s", reason)
        elif is_new:
            logger.warning("Redis still fails: %s", reason.partition(": ")[2])

    def works(self, client: object) -> None:
        """Note that a client can do everything. Until the outage is over, each that had a problem calls this again and again."""
        with self._lock:
            if self._fails.get(client):
                self._fails[client] = False
                self._quiet_since = time.monotonic()
            is_quiet = time.monotonic() - self._quiet_since >= _QUIET_SECONDS
            reason = self._end() if is_quiet and not any(self._fails.values()) else None
        _log_end(reason)

    def replaced(self, master: tuple[str, int]) -> None:
        """Note that the sentinels name another master. It is logged once, however many clients see it."""
        with self._lock:
            is_new, self._master = master != self._master, master
        if is_new:
            logger.info("the sentinels name another Redis: %s:%s", *master)

    def closed(self, client: object) -> None:
        """Forget a client. If it was the last, and its problem was not over, that is not told either."""
        with self._lock:
            was_failing = self._fails.pop(client, False)
            reason = None if self._fails else self._end()
        if not was_failing:
            _log_end(reason)

    def _end(self) -> str | None:
        """Return what the outage was about; None if there was none."""
        reason, self.reason = self.reason, None
        if reason is not None:
            self._fails.clear()
            self._logged.clear()
            self._on_change(False)
        return reason


class RedisOutages:
    """The outages of all Redises that a worker uses, which it counts in ``stats``."""

    def __init__(self, stats: StreamStats) -> None:
        self._stats = stats
        # By process, too: a worker does not inherit the outages of the process that was forked. A dictionary's steps are atomic.
        self._of: dict[tuple[int, Hashable], RedisOutage] = {}

    def of(self, address: Hashable) -> RedisOutage:
        """Return what all clients of this process with the same address share."""
        return self._of.setdefault((os.getpid(), address), RedisOutage(self._count))

    @property
    def reason(self) -> str | None:
        """What failed last in one of them; None if there is no outage."""
        return next((outage.reason for outage in self._here() if outage.reason is not None), None)

    def _here(self) -> list[RedisOutage]:
        pid = os.getpid()
        return [outage for (process, _), outage in list(self._of.items()) if process == pid]

    def _count(self, is_out: bool) -> None:
        self._stats.redis_out = sum(outage.reason is not None for outage in self._here())
        self._stats.redis_problems += is_out


def _log_end(reason: str | None) -> None:
    if reason is not None:
        was_reached = reason.startswith(REFUSES)
        logger.info("Redis takes commands again" if was_reached else "Redis is reached again")
