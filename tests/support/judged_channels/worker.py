"""A worker process whose readers tell afterwards what was wrong with what they received; see ``ChannelScenario``.

The events of a channel are the numbers 1, 2, 3 and so on.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import json
import logging
import random
import re
import sys
import time

import gevent
from gevent.event import Event as Flag

from flask_sluice.channels import Channels
from flask_sluice.journal import JournalUnavailableError
from flask_sluice.sse import EventParser
from tests.system.journal_worker import JournalWorker, execute
from tests.unit.channels import Reader

_MEAN_VISIT_SECONDS = (0.1, 0.5, 3.0)
"""Some readers leave all the time, some are there when a fault comes and when it goes."""
_MEAN_AWAY_SECONDS = 0.05
_REFUSED_SECONDS = 0.2


class Publisher:
    """Publishes the next number, again and again.

    uncertain: the numbers of which Redis has not said that it has them
    """

    def __init__(self, channels, name, per_second):
        self._channels, self._name, self._per_second = channels, name, per_second
        self._is_to_end = False
        self.last = 0
        self.uncertain = set()
        self._greenlet = gevent.spawn(self._run)

    def _run(self):
        while not self._is_to_end:
            self.publish()
            gevent.sleep(random.expovariate(self._per_second))

    def publish(self):
        """Return whether Redis says that it has the event."""
        self.last += 1
        try:
            self._channels.publish(self._name, self.last)
        except JournalUnavailableError:
            self.uncertain.add(self.last)
            return False
        return True

    def end(self):
        """Return the number of the last event, which Redis has."""
        self._is_to_end = True
        self._greenlet.join()
        while not self.publish():
            gevent.sleep(_REFUSED_SECONDS)
        return self.last


class JudgedReader:
    """Reads a channel as a browser does: leaves at random, and comes again to any worker with the id of its last event."""

    def __init__(self, workers, name, mean_visit_seconds):
        self._workers, self._name = workers, name
        self._mean_visit_seconds = mean_visit_seconds
        self._last_event_id = ""
        self.marks = []
        self.has_begun = False
        self.end_number = None
        self._greenlet = gevent.spawn(self._run)

    @property
    def last(self):
        return next((mark for mark in reversed(self.marks) if mark != "reset"), 0)

    @property
    def is_done(self):
        return self.end_number is not None and self.last >= self.end_number

    def _run(self):
        while not self.is_done:
            try:
                self._visit()
            except JournalUnavailableError:
                gevent.sleep(_REFUSED_SECONDS)
            except Exception as error:  # noqa: BLE001 - the judgement shows it
                self.marks.append(f"raised {type(error).__name__}: {error}")
                return
            else:
                gevent.sleep(random.expovariate(1 / _MEAN_AWAY_SECONDS))

    def _visit(self):
        woken = Flag()
        channels = random.choice(self._workers)
        follower = channels.follow([self._name], self._last_event_id, woken.set)
        parser = EventParser()
        if follower.new_id:
            self._last_event_id = follower.new_id.decode()
        self.has_begun = True
        try:
            with gevent.Timeout(random.expovariate(1 / self._mean_visit_seconds), False):
                while not (self.is_done or follower.is_finished):
                    woken.clear()
                    if received := follower.take():
                        self._receive(parser.feed(received))
                    else:
                        woken.wait()
            if follower.is_finished:
                self.marks.append(f"was ended: {follower.error}")
        finally:
            follower.close()

    def _receive(self, events):
        for event in events:
            self._last_event_id = event.id
            self.marks.append("reset" if event.event == "reset" else int(event.data))

    def faults(self, uncertain):
        """Return what was wrong. uncertain: numbers that may be missing"""
        found = [] if self.is_done else [f"has not got {self.end_number}"]
        # It began where it came, which may be anywhere.
        position, may_jump = 0, True
        for mark in self.marks:
            if isinstance(mark, str):
                may_jump = mark == "reset"
                found += [] if may_jump else [mark]
                continue
            missing = set(range(position + 1, mark)) - uncertain
            if not may_jump and mark <= position:
                found.append(f"{mark} came after {position}")
            elif not may_jump and missing:
                found.append(f"{sorted(missing)} are missing")
            position, may_jump = mark, False
        return found


class Acts:
    """What the process can do. Arguments and results are values that JSON has."""

    def __init__(self, url, options):
        count = options.pop("workers")
        self._workers = [Channels(url) for _ in range(count)]
        self._told = []
        self._log = []
        self._record_log()
        for channels in self._workers:
            channels.on_leave(lambda name, owner, _: self._told.append([name, owner]))
        self._publishers = {}
        self._readers = []
        self._steady = []

    def _record_log(self):
        handler = logging.Handler()
        handler.emit = lambda record: self._log.append(record.getMessage())
        logging.getLogger("sluice").addHandler(handler)
        logging.getLogger("sluice").setLevel("INFO")

    def publish(self, names, per_second):
        """Begin to publish in channels, from this process's first worker."""
        for name in names:
            self._publishers[name] = Publisher(self._workers[0], name, per_second)

    def read(self, names, count):
        """Begin to read, so many readers in each channel."""
        for number in range(count):
            seconds = _MEAN_VISIT_SECONDS[number % len(_MEAN_VISIT_SECONDS)]
            self._readers += [JudgedReader(self._workers, name, seconds) for name in names]
        while not all(reader.has_begun for reader in self._readers):
            gevent.sleep(0.01)

    def stay(self, names, owner):
        """Have an owner be in the channels, with a reader on each worker of this process."""
        for place, channels in enumerate(self._workers):
            self._steady += [Reader(channels, name, owner=f"{owner}-{place}") for name in names]

    def published(self):
        return {name: publisher.last for name, publisher in self._publishers.items()}

    def heard(self):
        """Return, by channel, the last number of the steady reader that has heard least."""
        heard = {}
        for reader in self._steady:
            name = reader.follower.channel.name
            # Not all of its events: the process would have no time for anything else.
            tail = reader.received[-1000:].decode(errors="replace")
            numbers = [
                int(number) for number in re.findall(r"^data: (\d+)\n\n", tail, re.MULTILINE)
            ]
            last = max(numbers, default=0)
            heard[name] = min(last, heard.get(name, last))
        return heard

    def end(self, seconds):
        """End publishing, and return what was wrong with the readers when they have had so long to get the rest."""
        ends = {name: publisher.end() for name, publisher in self._publishers.items()}
        for reader in self._readers:
            reader.end_number = ends[reader._name]
        ends_at = time.monotonic() + seconds
        while not all(reader.is_done for reader in self._readers) and time.monotonic() < ends_at:
            gevent.sleep(0.02)
        return [
            f"{fault}: {reader.marks}"
            for reader in self._readers
            for fault in reader.faults(self._publishers[reader._name].uncertain)
        ]

    def resets(self):
        return sum(reader.marks.count("reset") for reader in self._readers)

    def present(self, name):
        """Return the owners that each worker sees, or that it cannot say."""
        try:
            return [
                sorted(presence.owner for presence in channels.present(name))
                for channels in self._workers
            ]
        except JournalUnavailableError as error:
            return str(error)

    @property
    def _stores(self):
        return [channels._process.here.store for channels in self._workers]

    def leases(self):
        """Return the keys of the workers' leases."""
        return [store._listener._lease_key for store in self._stores]

    def problems(self):
        """Return what is wrong with Redis for some of the workers."""
        return [
            store._client.health.problem for store in self._stores if store._client.health.problem
        ]

    def log(self):
        """Return the lines that were logged."""
        return self._log

    def told(self):
        """Return what on_leave has said, as [channel, owner]."""
        return self._told


class JudgedChannelWorker(JournalWorker):
    """A process with several workers of channels. Its methods are those of Acts."""

    module = "tests.support.judged_channels.worker"


if __name__ == "__main__":
    execute(Acts(sys.argv[1], json.loads(sys.argv[2])))
