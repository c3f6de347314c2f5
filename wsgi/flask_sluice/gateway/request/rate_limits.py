"""Rate limits: how many answers one client may start in a given time."""

import logging
import math
import time
from dataclasses import dataclass, field

from flask import Flask, request
from limits import RateLimitItem, parse_many
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import BlockingConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from flask_sluice.gateway.request.access.auth import needs_key
from flask_sluice.gateway.request.client_identity import client_name
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.errors import ApiError

logger = logging.getLogger("sluice.api")

_REDIS_TIMEOUT_SECONDS = 0.5
"""Each answer waits this long at most for its count."""
_MAX_REDIS_CONNECTIONS = 6
"""A request uses one for a fraction of a millisecond."""
_REDIS_RETRY_SECONDS = 1.0


def register(app: Flask, settings: Settings) -> None:
    """Count requests that start an answer, and refuse those over the limit with 429.

    All POSTs below /v1 and /openai count, also those that fail, and ``/stream_chat``. Reading a stream again does not count.
    """
    limits = RateLimits(settings.rate_limit, settings.redis_url)

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
    """

    def __init__(self, limits: str, redis_url: str) -> None:
        # The shortest limit comes first because it is reached most often.
        self._limits = sorted(parse_many(limits))
        self._windows = [MemoryWindow(item.amount, item.get_expiry()) for item in self._limits]
        self._redis_url = redis_url
        self._redis = _connect(redis_url) if redis_url else None
        self._is_redis_down = False
        self._retry_redis_at = 0.0

    def count(self, client: str) -> None:
        """Count one request. Raises ApiError 429 over a limit, with the time to wait."""
        for item, window in zip(self._limits, self._windows, strict=True):
            wait_seconds = self._count_in_redis(item, client)
            if wait_seconds is None:
                wait_seconds = window.count(client, time.time())
            if wait_seconds:
                raise _refusal(item, wait_seconds)

    def _count_in_redis(self, item: RateLimitItem, client: str) -> float | None:
        """Return as ``MemoryWindow.count`` does, None while Redis is unreachable."""
        now = time.monotonic()
        if self._redis is None or now < self._retry_redis_at:
            return None
        if self._is_redis_down:
            # One request tries again; those that come meanwhile do not wait for it.
            self._retry_redis_at = now + _REDIS_RETRY_SECONDS
        try:
            wait_seconds = 0.0
            if not self._redis.hit(item, client):
                free_at = self._redis.get_window_stats(item, client).reset_time
                wait_seconds = max(free_at - time.time(), 0.001)
        except (
            RedisError,
            OSError,
            ValueError,
            TypeError,
        ) as error:  # The last two: its answers make no sense.
            self._retry_redis_at = time.monotonic() + _REDIS_RETRY_SECONDS
            # The connections may lead to a server that has been demoted, and that refuses to write from now on.
            self._redis = _connect(self._redis_url)
            if not self._is_redis_down:
                self._is_redis_down = True
                logger.warning("rate limits count in memory: Redis cannot be asked: %s", error)
            return None
        if self._is_redis_down:
            self._is_redis_down = False
            self._retry_redis_at = 0.0
            logger.info("rate limits count in Redis again")
        return wait_seconds


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


def _connect(redis_url: str) -> SlidingWindowCounterRateLimiter:
    # redis-py 4.5 takes no time limit for connecting to a unix socket, which is immediate.
    is_unix = redis_url.startswith("unix:")
    connecting = {} if is_unix else {"socket_connect_timeout": _REDIS_TIMEOUT_SECONDS}
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=_MAX_REDIS_CONNECTIONS,
        timeout=_REDIS_TIMEOUT_SECONDS,
        **connecting,
        socket_timeout=_REDIS_TIMEOUT_SECONDS,
        # redis-py's default would wait, and try three more times.
        retry=Retry(NoBackoff(), 0),
        client_name="sluice-limits",
    )
    storage = RedisStorage(redis_url, connection_pool=pool, key_prefix="sluice:limits")
    return SlidingWindowCounterRateLimiter(storage)


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
