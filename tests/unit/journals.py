"""A journal to test, and readers for it.

What every journal does is tested over memory in this process, and over Redis in a process that gevent has patched; see
tests/system/test_journal_workers.py.
"""

import os
import random

import gevent
from gevent.event import Event as Flag

from flask_sluice.journal import Limits, MemoryJournal
from flask_sluice.journal.redis.journal import RedisJournal
from flask_sluice.sse import EventParser

REDIS_URL = os.environ.get("JOURNAL_TEST_REDIS_URL")
DONE = b"event: done\ndata: the end\n\n"
_MEAN_SECONDS_TO_A_BREAK = 0.05
LOST = b"event: error\ndata: producer_lost\n\n"


def make_journal(lease_seconds=3, **limits):
    if REDIS_URL is None:
        return MemoryJournal(Limits(**limits))
    return RedisJournal(REDIS_URL, Limits(**limits), lost_event=LOST, lease_seconds=lease_seconds)


def event(text="x"):
    return b"data: %b\n\n" % text.encode()


def ignore(*_):
    """Do nothing, for callbacks that a test does not need."""


def ids(received):
    """Return the ids of the events in these bytes, and for an event without an id its type."""
    last_id, found = "", []
    for event_ in EventParser().feed(received):
        found.append(event_.event if event_.id == last_id else int(event_.id))
        last_id = event_.id
    return found


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Reader:
    """Reads a stream as a request does: when its greenlet is woken, it takes the events that are there."""

    def __init__(self, journal, stream_id, after=0):
        self._woken = Flag()
        self.takes = []
        self.follower = journal.follow(stream_id, after, self._woken.set)
        self._greenlet = gevent.spawn(self._read)

    def _read(self):
        while not self.follower.is_finished:
            self._woken.clear()
            if events := self.follower.take():
                self.takes.append(events)
            else:
                self._woken.wait()
        self.follower.close()

    @property
    def is_done(self):
        return self._greenlet.dead

    @property
    def received(self):
        return b"".join(self.takes)

    @property
    def ids(self):
        return ids(self.received)

    def leave(self):
        self.follower.close()
        self._greenlet.kill()


def read_with_breaks(journal, stream_id, readers, seconds):
    """Have readers read a stream, each of which leaves at random and continues after its last event, again and again.

    A reader that got nothing stays for twice as long the next time, so that all come to the end on a busy machine, too.

    readers: how many; they come within so many seconds
    Returns, when all are done, how often readers came, and what each of them read that did not get all events from the
    first to the last in order: an empty list if all is well.
    """
    joins, results = [], []

    def read():
        gevent.sleep(random.uniform(0, seconds))
        received, last_id, mean_seconds = b"", 0, _MEAN_SECONDS_TO_A_BREAK
        while True:
            woken = Flag()
            follower = journal.follow(stream_id, last_id, woken.set)
            joins.append(last_id)
            with gevent.Timeout(random.expovariate(1 / mean_seconds), False):
                while not follower.is_finished:
                    woken.clear()
                    received += follower.take() or (woken.wait() and b"")
            got_any = follower.event_count > 0
            mean_seconds = _MEAN_SECONDS_TO_A_BREAK if got_any else 2 * mean_seconds
            last_id += follower.event_count
            is_finished = follower.is_finished
            follower.close()
            if is_finished:
                results.append(ids(received))
                return

    gevent.joinall([gevent.spawn(read) for _ in range(readers)], timeout=60, raise_error=True)
    assert len(results) == readers
    last_id = max(result[-1] for result in results)
    return len(joins), [result for result in results if result != list(range(1, last_id + 1))]
