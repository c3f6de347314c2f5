"""Rate limits: how many answers one client may start in a given time."""

import math
import time
from dataclasses import dataclass, field

from flask import Flask, request
from limits import RateLimitItem, parse_many

from flask_sluice.gateway.request.access.auth import needs_key
from flask_sluice.gateway.request.client_identity import client_name
from flask_sluice.gateway.request.shared_counts import Limit, SharedCounts
from flask_sluice.gateway.settings import Settings
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.per_process import PerProcess
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.stream.errors import ApiError


def register(app: Flask, settings: Settings) -> None:
    """Count requests that start an answer, and refuse those over the limit with 429.

    All POSTs to an API (see ``needs_key``) count, also those that fail, and ``/stream_chat``. Reading a stream again does not count.
    """
    limits = RateLimits(settings.rate_limit, settings.redis_url, settings.redis_credentials)

    @app.before_request
    def count() -> None:
        path = request.path
        if (request.method == "POST" and needs_key(path)) or path == "/stream_chat":
            limits.count(client_name(settings))


class RateLimits:
    """Counts in Redis, for all workers and hosts, or in this worker's memory without Redis or while it is unreachable.

    It is a sliding window counter: the previous window counts by the share of it that a window ending now would still
    cover. A fixed window would let twice the limit through around its end; a moving window would store each request.

    limits: such as "5/second;1000/day"
    redis_url, credentials: see ``RedisClient``; "" without Redis
    """

    def __init__(
        self, limits: str, redis_url: str, credentials: RedisCredentials | None = None
    ) -> None:
        # The shortest limit comes first because it is reached most often.
        items = sorted(parse_many(limits))
        # By amount and seconds, which are the name of a count: "60/minute" and "60 per 1 minute" are one limit.
        self._items = {Limit(item.amount, item.get_expiry()): item for item in items}
        self._windows = {limit: MemoryWindow(limit.amount, limit.seconds) for limit in self._items}
        self._shared: PerProcess[SharedCounts] | None = None
        if redis_url:
            self._shared = PerProcess(
                lambda: SharedCounts(redis_url, list(self._items), credentials)
            )

    def count(self, client: str) -> None:
        """Count one request. Raises ApiError 429 over a limit, with the time to wait."""
        reached = self._count(client)
        if reached is not None:
            limit, wait_seconds = reached
            raise _refusal(self._items[limit], wait_seconds)

    def close(self) -> None:
        """Close the connection to Redis. It is not used afterwards."""
        if self._shared is not None and (shared := self._shared.made_here) is not None:
            shared.close()

    def _count(self, client: str) -> tuple[Limit, float] | None:
        """Return the limit that is reached, and how long to wait."""
        if self._shared is not None:
            try:
                return self._shared.here.count(client)
            except JournalUnavailableError:
                pass  # It has been logged.
        now = time.time()
        for limit, window in self._windows.items():
            wait_seconds = window.count(client, now)
            if wait_seconds:
                return limit, wait_seconds
        return None


@dataclass(slots=True)
class MemoryWindow:
    """The counts of one limit in this window and in the previous one, two numbers for each client.

    The memory storage of ``limits`` looks through all clients every 10 ms, which at 50,000 clients adds 450 us to each
    request.
    """

    amount: int
    seconds: int
    _number: int = 0
    _counts: dict[str, int] = field(default_factory=dict)
    _counts_before: dict[str, int] = field(default_factory=dict)

    def count(self, client: str, now: float) -> float:
        """Count one request. Return 0.0 if it is within the limit, else the seconds until the next one is.

        now: in seconds since 1970, so that all workers have the same windows
        """
        number, elapsed = divmod(now, self.seconds)
        if number != self._number:
            follows = number == self._number + 1
            self._counts_before = self._counts if follows else {}
            self._counts = {}
            self._number = int(number)
        count = self._counts.get(client, 0)
        before = self._counts_before.get(client, 0)
        if count + int(before * (1 - elapsed / self.seconds)) < self.amount:
            self._counts[client] = count + 1
            return 0.0
        if count < self.amount:
            # The previous window then counts for so little that there is room for one request.
            return self.seconds * (1 - (self.amount - count) / before) - elapsed or 0.001
        return self.seconds - elapsed


def _refusal(item: RateLimitItem, wait_seconds: float) -> ApiError:
    seconds = math.ceil(wait_seconds)
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"the limit is {item}; the next is taken in {seconds} s",
        headers={
            "Retry-After": str(seconds),
            "X-RateLimit-Limit": str(item.amount),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(math.ceil(time.time() + wait_seconds)),
        },
    )
