"""Streams that survive their readers, as a program without a web server has them.

Here are streams to test, and readers for them, which run in threads; in a process that gevent has patched these are greenlets.

tests/system/test_kept_streams.py runs the same tests over Redis, and in a patched process.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_sluice import Streams
from flask_sluice.sse import EventParser
from tests.support.server import wait_until
from tests.unit.journals import REDIS_URL, ids

DONE = ("done", "{}")
TIMEOUT_SECONDS = 20
_MEAN_SECONDS_TO_A_BREAK = 0.05


def make_streams(**limits):
    return Streams(REDIS_URL, **limits)


class Reader:
    """Reads a stream as a request does: waits to be woken, and takes the events that are there."""

    def __init__(self, streams, stream_id, after=0, owner=None):
        self._turns = streams.journal.turns
        self._woken = threading.Event()
        self.received = b""
        with self._turns:
            self.follower = streams.follow(stream_id, after, self._woken.set, owner=owner)

    def read_for(self, seconds):
        """Read until the stream's end, or for so long. Returns whether the end has come."""
        ends_at = time.monotonic() + seconds
        while not self.follower.is_finished:
            left = ends_at - time.monotonic()
            if left <= 0:
                return False
            self._woken.clear()
            with self._turns:
                events = self.follower.take()
            self.received += events
            if not events:
                self._woken.wait(left)
        return True

    def close(self):
        with self._turns:
            self.follower.close()


def read(streams, stream_id, after=0, owner=None):
    """Read a stream to its end. Returns its bytes."""
    reader = Reader(streams, stream_id, after, owner)
    try:
        assert reader.read_for(TIMEOUT_SECONDS), f"no end after {reader.received!r}"
    finally:
        reader.close()
    return reader.received


def events(streams, stream_id):
    """Read a stream to its end. Returns the type and the data of each event."""
    return [(event.event, event.data) for event in EventParser().feed(read(streams, stream_id))]


def read_with_breaks(streams, stream_id, readers, seconds):
    """Have readers read a stream, each of which leaves at random and continues after its last event, again and again.

    A reader that got nothing stays for twice as long the next time, so that all come to the end on a busy machine, too.

    readers: how many; they come within so many seconds
    Returns, when all are done, how often readers came, and what each of them read that did not get all events from the
    first to the last in order: an empty list if all is well.
    """
    joins = []

    def read_all(_number):
        time.sleep(random.uniform(0, seconds))
        received, last_id, is_finished = b"", 0, False
        mean_seconds = _MEAN_SECONDS_TO_A_BREAK
        while not is_finished:
            reader = Reader(streams, stream_id, last_id)
            joins.append(last_id)
            is_finished = reader.read_for(random.expovariate(1 / mean_seconds))
            mean_seconds = _MEAN_SECONDS_TO_A_BREAK if reader.received else 2 * mean_seconds
            received += reader.received
            last_id += reader.follower.event_count
            reader.close()
        return ids(received)

    with ThreadPoolExecutor(readers) as pool:
        results = list(pool.map(read_all, range(readers), timeout=60))
    last_id = max(result[-1] for result in results)
    return len(joins), [result for result in results if result != list(range(1, last_id + 1))]


def publish_one(streams, item, **options):
    """Publish one item. Returns the events of the stream."""
    with streams.create(**options) as stream:
        stream.publish(item)
    return events(streams, stream.id)


def fail(streams, error, item="data: a\n\n", **options):
    """Have a stream fail. Returns its id."""

    def produce():
        with stream:
            stream.publish(item)
            raise error

    stream = streams.create(**options)
    with pytest.raises(type(error)):
        produce()
    return stream.id


def until_ended(streams, stream_id):
    """Wait for the end of a stream. Returns its status."""

    def status():
        found = streams.status(stream_id)
        return found if found.state != "running" else None

    return wait_until(status)


def error_of(status):
    return status.error and status.error["code"]
