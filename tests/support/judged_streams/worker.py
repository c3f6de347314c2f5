"""A worker process whose streams and readers tell afterwards what each reader received; see ``Scenario``.

The text of each event begins with its number, so that an event that was written twice under two ids is seen.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import json
import logging
import os
import random
import sys
import time
from datetime import datetime
from typing import Any

import gevent
from gevent.event import Event as Flag

from flask_sluice.journal import (
    About,
    InvalidEventIdError,
    JournalLostError,
    JournalUnavailableError,
    Limits,
    UnknownStreamError,
)
from flask_sluice.journal.redis.journal import RedisJournal
from flask_sluice.sse import Event, EventParser
from tests.support.judged_streams.judgement import Reading
from tests.system import journal_worker
from tests.system.journal_worker import JournalWorker, execute
from tests.unit.journals import DONE, LOST, event

_MEAN_VISIT_SECONDS = (0.3, 1.0, 4.0)
"""Some readers leave all the time, some are there when a fault comes and when it goes."""
_MEAN_AWAY_SECONDS = 0.1
_REFUSED_SECONDS = 0.2
"""How long a reader that was told to come again stays away."""


class Production:
    """Appends events until it is told to end."""

    def __init__(self, recorder: Any, per_second: float, event_bytes: int) -> None:
        self._recorder = recorder
        self._pause_seconds = 1 / per_second
        self._event_bytes = event_bytes
        self._is_to_end = False
        self.is_lost = False
        self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            while not self._is_to_end:
                number = self._recorder.last_id + 1
                self._recorder.append(event(f"{number} ".ljust(self._event_bytes, "x")))
                gevent.sleep(self._pause_seconds)
        except JournalLostError:
            self.is_lost = True

    @property
    def last_id(self) -> int:
        return self._recorder.last_id

    def end(self) -> None:
        self._is_to_end = True
        self._greenlet.join()
        self._recorder.finish(DONE)


class JudgedReader:
    """Reads a stream as a client of server-sent events does: leaves at random, and comes again with its last id.

    It comes to any of the journals, as a client comes to any worker behind a proxy.

    It is done when it has a terminal event, or an answer for which a client does not come again.
    """

    def __init__(self, journals: list[Any], stream_id: str, mean_visit_seconds: float) -> None:
        self._journals = journals
        self._mean_visit_seconds = mean_visit_seconds
        self._last_id = 0
        self._received_at = self._told_at = time.monotonic()
        self.reading = Reading(stream_id)
        gevent.spawn(self._run)

    def _run(self) -> None:
        reading = self.reading
        while not reading.is_done:
            try:
                self._visit()
            except JournalUnavailableError:
                self._is_told()
                reading.refused += 1
                gevent.sleep(_REFUSED_SECONDS)
            except (UnknownStreamError, InvalidEventIdError) as error:
                logging.getLogger("sluice.tests").info("%s for %s", error.code, reading)
                reading.add(error.code)
                reading.is_done = True
            except Exception as error:  # noqa: BLE001 - the judgement shows it
                reading.add(f"raised {type(error).__name__}: {error}")
                reading.is_done = True
            else:
                gevent.sleep(random.expovariate(1 / _MEAN_AWAY_SECONDS))

    def _visit(self) -> None:
        woken, parser = Flag(), EventParser()
        journal = random.choice(self._journals)
        follower = journal.follow(self.reading.stream_id, self._last_id, woken.set)
        self.reading.visits += 1
        try:
            with gevent.Timeout(random.expovariate(1 / self._mean_visit_seconds), False):
                while not follower.is_finished:
                    woken.clear()
                    if events := follower.take():
                        self._receive(parser.feed(events))
                    else:
                        woken.wait()
            if follower.error is not None:
                raise follower.error
            # A reader that has taken the end before it left has not seen that it was the end.
            if follower.is_finished and not self.reading.is_done:
                self.reading.add("ended without a terminal event")
                self.reading.is_done = True
        finally:
            follower.close()

    def _is_told(self) -> None:
        now = time.monotonic()
        untold, self._told_at = now - self._told_at, now
        self.reading.longest_untold_seconds = max(self.reading.longest_untold_seconds, untold)

    def _receive(self, events: list[Event]) -> None:
        self._is_told()
        now = time.monotonic()
        silence, self._received_at = now - self._received_at, now
        self.reading.longest_silence_seconds = max(self.reading.longest_silence_seconds, silence)
        for each in events:
            if each.event == "reset":
                self.reading.add_reset(json.loads(each.data)["oldest"])
                continue
            number = int(each.id)
            self._last_id = number
            if each.event == "message":
                written = int(each.data.partition(" ")[0])
                self.reading.add_number(number if number == written else -number)
            else:
                self.reading.add_end(each.event, number)


class Acts(journal_worker.Acts):
    """What the process can do, beside what every worker of the tests can.

    options: also "journals", how many the process has. They know each other through Redis only, as workers do
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        more = options.pop("journals") - 1
        lease_seconds = options["lease_seconds"]
        super().__init__(url, options)
        self._journals = [
            self._journal,
            *(
                RedisJournal(url, Limits(**options), lost_event=LOST, lease_seconds=lease_seconds)
                for _ in range(more)
            ),
        ]
        self._productions: dict[str, Production] = {}
        self._judged: list[JudgedReader] = []
        self._timeline: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self._timeline.append(
            f"{datetime.now():%H:%M:%S.%f} {os.getpid()} {record.getMessage()}"
        )
        logging.getLogger("sluice").addHandler(handler)

    def timeline(self):
        """Return all that was logged, with its time."""
        return self._timeline

    def begin_streams(self, stream_ids, per_second, event_bytes):
        for stream_id in stream_ids:
            recorder = self._journal.create(stream_id, lambda _: None, About())
            self._productions[stream_id] = Production(recorder, per_second, event_bytes)

    def end_streams(self):
        """Return the number of each stream's last event; None for one that its producer could not go on with."""
        for production in self._productions.values():
            production.end()
        return {
            stream_id: None if production.is_lost else production.last_id
            for stream_id, production in self._productions.items()
        }

    def produced(self):
        """Return how many events each stream has so far."""
        return {stream_id: each.last_id for stream_id, each in self._productions.items()}

    def read_judged(self, stream_ids, readers):
        """Begin to read, with the same number of readers for each stream."""
        for number in range(readers):
            self._judged.append(
                JudgedReader(
                    self._journals,
                    stream_ids[number % len(stream_ids)],
                    _MEAN_VISIT_SECONDS[number // len(stream_ids) % len(_MEAN_VISIT_SECONDS)],
                )
            )

    def reached(self):
        """Return the last number that each reader has received that is not done, with the id of its stream."""
        return [
            [each.reading.stream_id, each.reading.last_number]
            for each in self._judged
            if not each.reading.is_done
        ]

    def visits(self):
        """Return how often all readers together have come."""
        return sum(each.reading.visits for each in self._judged)

    def are_done(self):
        return all(each.reading.is_done for each in self._judged)

    def readings(self):
        return [each.reading.as_json() for each in self._judged]

    def problem(self):
        """Return a problem of one of the journals, None if none of them has any."""
        return next(filter(None, self.problems()), None)

    def problems(self):
        return [journal.problem() for journal in self._journals]

    def close(self):
        for journal in self._journals:
            journal.close()


class JudgedWorker(JournalWorker):
    """See ``Acts``."""

    module = "tests.support.judged_streams.worker"


if __name__ == "__main__":
    execute(Acts(sys.argv[1], json.loads(sys.argv[2])))
