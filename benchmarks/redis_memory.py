"""How much memory kept streams, channels and rate limits take in Redis, and what is left when they have expired.

    python -m benchmarks.redis_memory

Needs redis-server; takes some minutes. docs/redis.md has the figures.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import redis

from flask_sluice import Channels, Event, Streams
from flask_sluice.gateway.request.rate_limits import RateLimits

_STREAMS = 1000
_EVENTS = 100
_EVENT_BYTES = 170
_KEPT_SECONDS = 5.0
_CHANNELS = 100
_PATIENCE_SECONDS = 90.0


def main() -> None:
    with redis_server() as (url, client):
        print(f"Redis {client.info('server')['redis_version']}")
        measure_streams(url, client)
        measure_channels(url, client)
        measure_limits(url, client)


def measure_streams(url: str, client: "redis.Redis") -> None:
    with (
        closing(Streams(url, history_seconds=_KEPT_SECONDS, abandon_seconds=0)) as streams,
        ExitStack() as open_streams,
    ):
        # With its scripts, its clients and its buffers.
        with streams.create() as stream:
            stream.publish(event())
        wait_until(lambda: client.dbsize() == 1)  # The worker's inbox.
        before = used_bytes(client)
        kept = [
            open_streams.enter_context(streams.create(owner=f"user-{number}"))
            for number in range(_STREAMS)
        ]
        empty = used_bytes(client)
        for _ in range(_EVENTS):
            for stream in kept:
                stream.publish(event())
        # The end of a stream is written when its events are.
        open_streams.close()
        full = used_bytes(client)
        tell("a stream without events", (empty - before) / _STREAMS)
        tell(f"an event of {_EVENT_BYTES} bytes", (full - empty) / _STREAMS / _EVENTS)
        tell_what_is_left(client, before, keys=1)


def measure_channels(url: str, client: "redis.Redis") -> None:
    client.flushdb()
    names = [f"channel-{number}" for number in range(_CHANNELS)]
    with closing(Channels(url)) as channels:
        channels.publish("first", event())
        before = used_bytes(client)
        for name in names:
            channels.last_id(name)
        known = used_bytes(client)
        for name in names:
            for _ in range(_EVENTS):
                channels.publish(name, event())
        tell("what is known of a channel for a day", (known - before) / _CHANNELS)
        tell(
            f"an event of {_EVENT_BYTES} bytes", (used_bytes(client) - known) / _CHANNELS / _EVENTS
        )


def measure_limits(url: str, client: "redis.Redis") -> None:
    client.flushdb()
    with closing(RateLimits("1000/day", url)) as limits:
        limits.count("")
        before = used_bytes(client)
        for number in range(_STREAMS):
            limits.count(f"{number:032x}")
        tell("a client of a rate limit", (used_bytes(client) - before) / _STREAMS)


def event() -> Event:
    return Event("x" * (_EVENT_BYTES - len("id: 10\ndata: \n\n")))


def used_bytes(client: "redis.Redis") -> int:
    """The bytes of all keys and values, and of the table of the times at which they expire."""
    with client.pipeline(transaction=False) as pipeline:
        for key in client.scan_iter(count=10_000):
            pipeline.memory_usage(key, samples=0)
        sizes = pipeline.execute()
    tables = client.memory_stats().get("db.0", {})
    return sum(filter(None, sizes)) + int(tables.get("overhead.hashtable.expires", 0))


def tell(what: str, byte_count: float) -> None:
    print(f"{what}: {byte_count:,.0f} bytes")


def tell_what_is_left(client: "redis.Redis", before: int, keys: int) -> None:
    wait_until(lambda: client.dbsize() <= keys)
    print(f"left when all have expired: {client.dbsize() - keys} keys")
    tell("  and in memory", used_bytes(client) - before)


def wait_until(is_so: Callable[[], object]) -> None:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, "Redis still has what should have expired"
        time.sleep(0.1)


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[str, "redis.Redis"]]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is needed: apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path = Path(folder, "redis.sock")
        arguments = ("--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder)
        with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as server:
            try:
                wait_until(path.exists)
                url = f"unix://{path}"
                with redis.Redis.from_url(url) as client:
                    yield url, client
            finally:
                server.kill()


if __name__ == "__main__":
    main()
