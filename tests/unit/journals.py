"""A journal to test, and readers for it.

What every journal does is tested in this process over memory, and over Redis in a process that gevent has
patched; see tests/system/test_journal_redis.py.
"""

import os
import random

import gevent
from gevent.event import Event as Flag

from wsgi.journal import Limits, MemoryJournal
from wsgi.journal.redis_journal import RedisJournal
from wsgi.sse import EventParser

REDIS_URL = os.environ.get("JOURNAL_TEST_REDIS_URL")
DONE = b"event: done\ndata: the end\n\n"
LOST = b"event: error\ndata: producer_lost\n\n"


def make_journal(lease_seconds=0.5, **limits):
    if REDIS_URL is None:
        return MemoryJournal(Limits(**limits))
    return RedisJournal(REDIS_URL, Limits(**limits), lost_event=LOST, lease_seconds=lease_seconds)


def event(text="x"):
    return b"data: %b\n\n" % text.encode()


def ignore(*_):
    """For callbacks that a test has no use for."""


def ids(received):
    """The ids of the events in these bytes; for one without an id, its type."""
    last_id, found = "", []
    for event_ in EventParser().feed(received):
        found.append(event_.event if event_.id == last_id else int(event_.id))
        last_id = event_.id
    return found


class Reader:
    """Reads a stream as a request does: a greenlet of its own takes what there is when it is woken."""

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


def join_at_random(journal, stream_id, joins, seconds):
    """So many readers come within these seconds, each after some event that is there by then. When all are done, returns
    what those have read that did not get exactly the events behind theirs: nothing, if all is well."""
    guide = Reader(journal, stream_id)
    readers = []

    def join():
        gevent.sleep(random.uniform(0, seconds))
        # It counts those that it has taken, so the stream has at least as many.
        after = random.randint(0, guide.follower.event_count)
        readers.append((after, Reader(journal, stream_id, after)))

    gevent.joinall([gevent.spawn(join) for _ in range(joins)], raise_error=True)
    gevent.joinall([reader._greenlet for _, reader in [(0, guide), *readers]], timeout=30)
    last = guide.follower.event_count
    return [
        (after, reader.ids)
        for after, reader in [(0, guide), *readers]
        if reader.ids != list(range(after + 1, last + 1)) or not reader.is_done
    ]
