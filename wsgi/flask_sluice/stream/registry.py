"""The objects that all streams of a worker process share: one each, made when the first stream needs it.

Those that need gevent import it then: a process that streams with threads may have none.
"""

from functools import cache
from typing import TYPE_CHECKING

from flask_sluice.observe.redis_outages import RedisOutages
from flask_sluice.observe.stream_stats import StreamStats
from flask_sluice.stream.admission import Admission

if TYPE_CHECKING:
    from flask_sluice.stream.loop.greenlet_pool import GreenletPool
    from flask_sluice.stream.loop.ticker import Ticker
    from flask_sluice.stream.transport.disconnect_watcher import DisconnectWatcher


@cache
def ticker() -> "Ticker":
    from flask_sluice.stream.loop.ticker import Ticker  # noqa: PLC0415

    return Ticker(stats().loop_lags.add)


@cache
def disconnect_watcher() -> "DisconnectWatcher":
    from flask_sluice.stream.transport.disconnect_watcher import DisconnectWatcher  # noqa: PLC0415

    return DisconnectWatcher()


@cache
def greenlet_pool() -> "GreenletPool":
    from flask_sluice.stream.loop.greenlet_pool import GreenletPool  # noqa: PLC0415

    return GreenletPool()


@cache
def admission() -> Admission:
    return Admission()


@cache
def stats() -> StreamStats:
    return StreamStats()


@cache
def redis_outages() -> RedisOutages:
    return RedisOutages(stats())


def reset() -> None:
    """Forget all of them, so that a test begins with its own; streams that still run keep the old ones."""
    for make in (ticker, disconnect_watcher, greenlet_pool, admission, stats, redis_outages):
        make.cache_clear()
