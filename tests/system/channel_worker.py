"""A worker process with channels in Redis, which a test tells what to do; see ``journal_worker``."""

import sys

if __name__ == "__main__" and '"threads": true' not in sys.argv[2]:
    from gevent import monkey

    monkey.patch_all()

import json
import os
import signal
import threading
from typing import Any

from flask_sluice.channels import Channels
from tests.system.journal_worker import JournalWorker, execute
from tests.unit.channels import Reader, in_background


class Acts:
    """What the process can do. Arguments and results are values that JSON has."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        options.pop("threads", None)
        self._channels = Channels(url, **options)
        self._readers: list[Reader] = []
        self._told: list[Any] = []
        self._channels.on_join(lambda *about: self._told.append(["join", *about]))
        self._channels.on_leave(lambda *about: self._told.append(["leave", *about]))

    def publish(self, name, *data):
        return [self._channels.publish(name, each) for each in data]

    def publish_numbers(self, name, count):
        for number in range(count):
            self._channels.publish(name, number)

    def last_id(self, *names):
        return self._channels.last_id(*names)

    def kick(self, name, where=None):
        self._channels.kick(name, where)

    def follow(self, names, last_event_id=None, **who):
        """Begin to read channels. Return the reader's number."""
        self._readers.append(
            Reader(self._channels, *names, last_event_id=last_event_id, forwards=True, **who)
        )
        return len(self._readers) - 1

    def follow_as(self, name, owner):
        return self.follow([name], owner=owner)

    def follow_many(self, names):
        """Have so many readers come at once, each to one channel."""
        in_one_each = [lambda name=name: self.follow([name]) for name in names]
        with in_background(*in_one_each):
            pass

    def data(self, reader):
        return self._readers[reader].data

    def all_data(self):
        return [reader.data for reader in self._readers]

    def types(self, reader):
        return [event.event for event in self._readers[reader].events]

    def reader_id(self, reader):
        """Return what the reader's client sends as Last-Event-ID."""
        return self._readers[reader].last_event_id

    def is_finished(self, reader):
        return self._readers[reader].is_finished

    def leave(self, reader):
        self._readers[reader].leave()

    def present(self, name):
        return sorted(presence.owner for presence in self._channels.present(name))

    def told(self):
        """Return what on_join and on_leave have said."""
        return self._told

    def fork(self):
        """Fork; from now on the child executes the commands. The parent lives as long as its child. Returns the child's id."""
        if child := os.fork():
            os.waitpid(child, 0)
            os._exit(0)
        return os.getpid()

    def threads(self):
        return threading.active_count()

    def stop_self(self):
        os.kill(os.getpid(), signal.SIGSTOP)


class ChannelWorker(JournalWorker):
    """A worker process. Its methods are those of Acts; an exception there is a WorkerError here.

    options: the arguments of Channels, and ``threads`` for one that gevent has not patched
    """

    module = "tests.system.channel_worker"


if __name__ == "__main__":
    execute(Acts(sys.argv[1], json.loads(sys.argv[2])))
