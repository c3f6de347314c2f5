"""How a reader that waits gets the events of a journal: from the hub, or by being woken."""

import time
from functools import partial

import gevent
import pytest

from flask_sluice.journal import About, JournalUnavailableError, Limits, MemoryJournal
from flask_sluice.journal.memory import MemoryStore
from flask_sluice.journal.reading.feed import JournalFeed
from flask_sluice.journal.redis.reading.follower import RedisFollower
from flask_sluice.journal.turns import GreenletTurns
from flask_sluice.journal.window import Window
from flask_sluice.stream.context import StreamContext
from tests.unit.greenlets import TIMEOUT_SECONDS, run_all
from tests.unit.journals import DONE, Clock, event, ids, ignore


@pytest.fixture
def journal():
    journal = MemoryJournal(Limits())
    yield journal
    journal.close()


@pytest.fixture
def recorder(journal):
    recorder = journal.create("a", ignore, About())
    recorder.append(event("1"))
    return recorder


class Reader:
    """Waits on a feed as a request does. What comes meanwhile is forwarded.

    takes: what ``forward`` returns of each event, or raises; True of all that are not named
    """

    def __init__(self, journal, takes=()):
        self._takes = list(takes)
        self.forwarded = []
        self.feed = JournalFeed(
            partial(journal.follow, "a", 0), retry_ms=2000, context=StreamContext()
        )
        self.first = self.feed.take()
        self._greenlet = gevent.spawn(self.feed.wait, self._forward)
        run_all()

    def _forward(self, events):
        taken = self._takes.pop(0) if self._takes else True
        if isinstance(taken, Exception):
            raise taken
        self.forwarded.append(events)
        return taken

    @property
    def is_waiting(self):
        run_all()
        return not self._greenlet.dead

    def rest(self):
        """What it takes when it has been woken."""
        with gevent.Timeout(TIMEOUT_SECONDS):
            self._greenlet.join()
        return self.feed.take()

    def leave(self):
        self.feed.wake()
        self._greenlet.join()
        self.feed.stop()


def test_the_first_event_comes_with_the_time_to_wait_before_a_reconnection(journal, recorder):
    reader = Reader(journal)
    assert reader.first == b"retry: 2000\nid: 1\ndata: 1\n\n"
    reader.leave()


def test_an_end_that_comes_first_does_not_ask_the_reader_to_come_back(journal, recorder):
    recorder.finish(b"event: error\ndata: {}\n\n")
    feed = JournalFeed(partial(journal.follow, "a", 1), retry_ms=2000, context=StreamContext())
    assert feed.take() == b"id: 2\nevent: error\ndata: {}\n\n"
    feed.stop()


def test_events_that_come_while_it_waits_are_forwarded(journal, recorder):
    reader = Reader(journal)
    for number in range(2, 5):
        recorder.append(event())
        assert ids(reader.forwarded[-1]) == [number]
    assert reader.is_waiting
    reader.leave()


def test_the_terminal_event_is_left_for_the_woken_reader(journal, recorder):
    reader = Reader(journal)
    recorder.append(event())
    recorder.finish(DONE)
    assert ids(b"".join(reader.forwarded)) == [2]
    assert ids(reader.rest()) == [3]
    assert reader.feed.is_finished


def test_nothing_overtakes_an_event_that_is_half_written(journal, recorder):
    reader = Reader(journal, takes=[True, False])
    for _ in range(3):
        recorder.append(event())
    assert ids(b"".join(reader.forwarded)) == [2, 3]
    assert ids(reader.rest()) == [4]
    reader.leave()


def test_an_event_whose_forwarding_failed_is_not_lost(journal, recorder, caplog):
    reader = Reader(journal, takes=[RuntimeError("a defect")])
    recorder.append(event())
    assert "RuntimeError: a defect" in caplog.text
    recorder.append(event())
    assert ids(reader.rest()) == [2, 3]
    reader.leave()


def test_a_reader_that_is_behind_takes_what_it_has_missed_before_it_gets_more(journal, recorder):
    reader = Reader(journal)
    reader.feed.wake()
    recorder.append(event())
    assert ids(b"".join(reader.forwarded)) == [2]
    reader.rest()
    recorder.append(event())
    recorder.append(event())
    assert ids(b"".join(reader.forwarded)) == [2]
    assert ids(reader.feed.take()) == [3, 4]
    reader.leave()


def test_a_reader_of_a_long_history_gives_way_between_two_parts_of_it(journal, recorder):
    for _ in range(40):
        recorder.append(b"data: " + b"x" * 65536 + b"\n\n")
    feed, turns = (
        JournalFeed(partial(journal.follow, "a", 0), retry_ms=2000, context=StreamContext()),
        [],
    )
    while events := feed.take():
        turns.append((gevent.get_hub().loop.iteration, len(events)))
        time.sleep(0.01)  # Writing takes its time, and never waits.
    feed.stop()
    iterations = [turn for turn, _ in turns]
    assert len(iterations) > 5
    assert iterations == sorted(set(iterations))


def test_a_feed_that_was_never_started_leaves_nothing_behind():
    clock = Clock()
    journal, reasons = MemoryStore(Limits(abandon_seconds=60), GreenletTurns(), clock), []
    journal.create("a", reasons.append, About())
    feed = JournalFeed(partial(journal.follow, "a", 0), retry_ms=2000, context=StreamContext())
    clock.now += 100
    journal.tick()
    assert reasons == []
    feed.stop()
    clock.now += 59
    feed.stop()
    clock.now += 1
    journal.tick()
    assert reasons == ["abandoned"]
    journal.close()


def test_a_reader_that_is_let_go_gets_its_events_and_then_the_reason_and_not_the_end():
    window = Window()
    follower = RedisFollower(window, 0, ignore, ignore, fetch_history=ignore, turns=GreenletTurns())

    feed = JournalFeed(lambda _: follower, retry_ms=2000, context=StreamContext())
    window.append(b"id: 1\ndata: 1\n\n")
    follower.fail(JournalUnavailableError("no room"))
    assert feed.has_events
    assert feed.take() == b"retry: 2000\nid: 1\ndata: 1\n\n"
    assert feed.take() == b""
    assert feed.is_finished
    assert not feed.has_terminal_event
    assert feed.error.code == "redis_unreachable"
    feed.stop()
    assert not window.is_followed
