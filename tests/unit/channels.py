"""Channels to test, and readers of them.

What all channels do is tested in the memory of this process, and over Redis in processes of their own, with threads and with greenlets;
see tests/system/test_channels_everywhere.py.
"""

import contextlib
import os
import random
import threading
import time

from flask_sluice.channels import Channels
from flask_sluice.sse import EventParser

REDIS_URL = os.environ.get("CHANNELS_TEST_REDIS_URL")


def make_channels(**options):
    return Channels(REDIS_URL, **options)


class Reader:
    """Reads channels as a response does: when it is woken, it takes what is there.

    last_event_id: None: it is new
    forwards: whether it is given single events without being woken
    """

    def __init__(self, channels, *names, last_event_id=None, forwards=False, **who):
        self._channels = channels
        self._forwards = forwards
        self.received = b""
        self.wake_count = 0
        self._follower = None
        with channels.turns:
            self._follower = channels.follow(names, last_event_id or "", self._take, **who)
            if new_id := self._follower.new_id:
                # As the response of an EventSource begins.
                self.received = b"id: %b\n\n" % new_id
            self._take()

    def _take(self):
        self.wake_count += 1
        follower = self._follower
        if follower is None:
            return
        while events := follower.take():
            self.received += events
        if self._forwards and not follower.is_finished:
            follower.forward = self._forward

    def _forward(self, event):
        self.received += event
        return True

    @property
    def follower(self):
        return self._follower

    @property
    def events(self):
        return EventParser().feed(self.received)

    @property
    def data(self):
        return [event.data for event in self.events]

    @property
    def ids(self):
        return [event.id for event in self.events]

    @property
    def last_event_id(self):
        """What an EventSource sends when it comes back."""
        parser = EventParser()
        parser.feed(self.received)
        return parser.last_event_id

    @property
    def is_finished(self):
        return self._follower.is_finished

    def leave(self):
        with self._channels.turns:
            self._follower.close()


class Returning:
    """A reader that leaves and comes back with the id of its last event."""

    def __init__(self, channels, *names, forwards=False):
        self._options = {"forwards": forwards}
        self._channels, self._names = channels, names
        self._reader = None
        self._before = b""
        self._last_event_id = None
        self.come()
        self.first_id = self._reader.last_event_id

    @property
    def names(self):
        return self._names

    @property
    def is_here(self):
        return self._reader is not None

    def come(self):
        self._reader = Reader(
            self._channels, *self._names, last_event_id=self._last_event_id, **self._options
        )

    def leave(self):
        self._reader.leave()
        self._before += self._reader.received
        self._last_event_id = self._reader.last_event_id or self._last_event_id
        self._reader = None

    @property
    def events(self):
        return EventParser().feed(self._before + (self._reader.received if self._reader else b""))


def position(event_id, channels_id):
    """Return the position in one channel that an id has; channels_id: an id of that channel"""
    tag = channels_id.partition(":")[0]
    (text,) = [part for part in event_id.split(",") if part.startswith(tag)]
    milliseconds, _, number = text.partition(":")[2].partition("-")
    return int(milliseconds), int(number)


@contextlib.contextmanager
def in_background(*functions):
    """Run functions in threads (greenlets in a patched process); an exception of one is raised at the end."""
    errors = []

    def run(function):
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join(60)
    if errors:
        raise errors[0]


class Shuffle:
    """Has readers leave and come back at random.

    come_at_least: until so many have come back, and ``is_enough()``; then all of them are there
    """

    def __init__(self, readers, come_at_least, is_enough):
        self._readers = readers
        self._come_at_least = come_at_least
        self._is_enough = is_enough
        self.is_over = False

    def run(self):
        count = 0
        try:
            while count < self._come_at_least or not self._is_enough():
                reader = random.choice(self._readers)
                if reader.is_here:
                    reader.leave()
                else:
                    reader.come()
                    count += 1
                # Nothing of this makes a greenlet wait where the channels are in memory.
                time.sleep(0)
            for reader in self._readers:
                if not reader.is_here:
                    reader.come()
        finally:
            self.is_over = True
