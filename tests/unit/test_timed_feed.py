"""The feed whose generator is run by a timer: it needs no greenlet, and other streams have their turn."""

import logging
import time
from itertools import accumulate, pairwise

import gevent
import pytest

from flask_sluice.gateway.simulator import timed_feed
from flask_sluice.gateway.simulator.timed_feed import Pause, TimedFeed
from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, PlainAnswer
from tests.unit.greenlets import TIMEOUT_SECONDS, run_all, wait_until

SIZE = 4
A = b"data: a\n\n"
DONE = b"data: [DONE]\n\n"
SHORT_SECONDS = 0.01
NEVER = Pause(None)


@pytest.fixture(autouse=True)
def no_test_hangs():
    with gevent.Timeout(TIMEOUT_SECONDS, AssertionError("the feed hangs")):
        yield


@pytest.fixture(autouse=True)
def no_turn_is_too_long(monkeypatch):
    """A machine that stands still for five milliseconds would end a turn before it has all its events."""
    monkeypatch.setattr(timed_feed, "LONGEST_TURN_SECONDS", TIMEOUT_SECONDS)


@pytest.fixture
def turns_may_be_too_long(no_turn_is_too_long, monkeypatch):
    monkeypatch.setattr(timed_feed, "LONGEST_TURN_SECONDS", SHORT_SECONDS / 2)


def feed_of(items, size=SIZE):
    return TimedFeed(iter(items), StreamContext("request-7"), size)


def started(items, size=SIZE):
    feed = feed_of(items, size)
    feed.start()
    return feed


class Endless:
    """A generator of events that counts for how many it was asked. pause: before each but the first"""

    def __init__(self, pause=None):
        self.asked_for = 0
        self.is_closed = False
        self._pause = pause

    def items(self):
        try:
            while True:
                self.asked_for += 1
                yield A
                if self._pause is not None:
                    yield self._pause
        finally:
            self.is_closed = True


def read_all(feed):
    """All that the feed gives, as an EventStream takes it."""
    taken = []
    while True:
        events = feed.take()
        taken.append(events)
        if not events:
            if feed.is_finished:
                return b"".join(taken)
            feed.wait()


def waiting_with(feed, forward):
    """A greenlet that waits once, as the request greenlet does: when there is nothing more to take."""
    while feed.take():
        pass
    waiting = gevent.spawn(feed.wait, forward)
    run_all()
    return waiting


class TestEvents:
    def test_come_in_order_across_pauses(self):
        items = [Event(data="a"), Pause(0), Event.json({"b": 1}), Pause(SHORT_SECONDS), DONE]
        assert read_all(started(items)) == b'data: a\n\ndata: {"b":1}\n\n' + DONE

    def test_before_the_first_pause_are_there_at_once(self):
        feed = started([A, A, NEVER])
        assert feed.has_begun
        assert feed.take() == A + A
        assert not feed.is_finished

    def test_do_not_come_before_the_pause_is_over_though_the_loop_was_blocked_before_it(self):
        gevent.sleep(0.001)
        time.sleep(0.1)  # The loop's own clock stands still from the last turn's begin on.
        started_at = time.monotonic()
        feed = started([A, Pause(0.05), DONE])
        feed.take()
        feed.wait()
        assert time.monotonic() - started_at > 0.04
        assert feed.take() == DONE

    def test_never_come_after_a_pause_without_an_end(self):
        feed = started([NEVER, A])
        run_all()
        assert not feed.has_begun

    def test_are_counted(self):
        feed = started([A, b"", Pause(0), A])
        read_all(feed)
        assert feed.event_count == 2

    def test_that_are_not_events_are_refused(self, caplog):
        feed = started([5])
        assert feed.error.code == "internal_error"
        assert "yields Event, or text or bytes that are framed events, not int" in caplog.text


def test_the_generator_runs_in_start_up_to_its_first_pause_and_in_the_hub_from_then_on():
    ran_in = []

    def generate():
        ran_in.append(gevent.getcurrent())
        yield Pause(0)
        ran_in.append(gevent.getcurrent())

    read_all(started(generate()))
    assert ran_in == [gevent.getcurrent(), gevent.get_hub()]


class TestForwarding:
    def test_takes_what_comes_during_a_wait_and_the_wait_goes_on(self):
        feed, forwarded = started(Endless(Pause(SHORT_SECONDS)).items()), []
        waiting = waiting_with(feed, lambda events: forwarded.append(events) or True)
        wait_until(lambda: len(forwarded) >= 3)
        assert set(forwarded) == {A}
        assert not waiting.dead
        waiting.kill()
        feed.stop()

    def test_ends_with_the_answer(self):
        feed, forwarded = started([A, Pause(0), DONE]), []
        waiting = waiting_with(feed, lambda events: forwarded.append(events) or True)
        wait_until(lambda: waiting.dead)
        assert forwarded == [DONE]
        assert feed.is_finished

    def test_that_cannot_be_done_ends_the_wait_and_counts_as_being_written(self):
        source = Endless(Pause(0))
        feed = started(source.items())
        waiting = waiting_with(feed, lambda events: False)
        wait_until(lambda: waiting.dead)
        wait_until(lambda: source.asked_for == 1 + SIZE)
        run_all()
        assert source.asked_for == 1 + SIZE
        assert feed.take() == A * (SIZE - 1)
        feed.stop()

    def test_asks_for_nothing_while_there_are_only_pauses(self):
        pauses = [Pause(0)] * 3
        feed, forwarded = started([*pauses, DONE]), []
        feed.wait()  # This would end with each pause if a pause were an event.
        assert feed.take() == DONE
        assert forwarded == []


class TestRoom:
    @pytest.mark.parametrize("size", [1, 2, 8])
    @pytest.mark.parametrize("pause", [None, Pause(0)])
    def test_is_for_so_many_events(self, size, pause):
        source = Endless(pause)
        feed = started(source.items(), size)
        wait_until(lambda: source.asked_for == size)
        run_all()
        assert source.asked_for == size
        feed.stop()

    def test_is_taken_by_events_until_they_are_written(self):
        source = Endless(Pause(0))
        feed = started(source.items())
        wait_until(lambda: source.asked_for == SIZE)
        assert feed.take() == A * SIZE
        run_all()
        assert source.asked_for == SIZE
        # The next take tells the feed that the events of the last one are written.
        feed.take()
        wait_until(lambda: source.asked_for == 2 * SIZE)
        feed.stop()

    def test_that_is_missing_starts_no_pause(self):
        source = Endless(Pause(3600))
        feed = started(source.items(), size=1)
        assert feed.take() == A
        assert feed.take() == b""  # The event is written: from here on the pause counts.
        gevent.sleep(SHORT_SECONDS)
        assert source.asked_for == 1
        feed.stop()


class TestTurns:
    """An answer without pauses: it must not keep the others waiting."""

    def test_take_gives_way_after_a_bounded_number_of_events(self):
        feed = started(Endless().items())
        assert [len(feed.take()) // len(A) for _ in range(5)] == [SIZE, SIZE, 0, 0, 0]
        feed.stop()

    def test_each_turn_of_the_loop_has_a_bounded_number_of_events(self):
        source, seen = Endless(), []
        feed = started(source.items())
        each_turn = gevent.get_hub().loop.prepare()
        each_turn.start(lambda: seen.append(source.asked_for))

        def forward(_events):
            return len(seen) < 20

        while feed.take():
            pass
        feed.wait(forward)
        each_turn.stop()
        feed.stop()
        assert {after - before for before, after in pairwise(seen)} == {SIZE}

    @pytest.mark.usefixtures("turns_may_be_too_long")
    @pytest.mark.parametrize("forwards", [True, False])
    def test_an_event_that_took_long_to_make_goes_out_before_the_next_is_made(self, forwards):
        out, late = [], []

        def generate():
            for number in range(4):
                time.sleep(SHORT_SECONDS)  # It holds the loop, as computing would.
                yield A
                if len(out) <= number:
                    late.append(number)

        def forward(events):
            out.append(events)
            return True

        feed = started(generate())
        while not feed.is_finished or feed.has_events:
            if events := feed.take():
                out.append(events)
            else:
                feed.wait(forward if forwards else None)
        assert out == [A] * 4
        assert late == []

    @pytest.mark.usefixtures("turns_may_be_too_long")
    def test_the_loop_turns_between_two_events_that_took_long_to_make(self):
        loop = gevent.get_hub().loop
        turns = []

        def generate():
            for _ in range(4):
                time.sleep(SHORT_SECONDS)
                turns.append(loop.iteration)
                yield A

        read_all(started(generate()))
        assert turns == sorted(set(turns))

    def test_all_events_come_however_they_are_taken(self):
        assert read_all(started([A] * 100)) == A * 100

    def test_all_events_come_where_some_cannot_be_forwarded(self):
        feed, forwarded = started([A] * 100), []

        def forward(events):
            forwarded.append(events)
            return len(forwarded) % 3 > 0

        while not feed.is_finished or feed.has_events:
            events = feed.take()
            forwarded.append(events)
            if not events and not feed.is_finished:
                feed.wait(forward)
        assert b"".join(forwarded) == A * 100


class TestPace:
    """Of pauses; those of one length are a timer that repeats."""

    PAUSE_SECONDS = 0.02

    def paced(self, pauses):
        """A feed whose events come after pauses of these lengths, and when they came."""
        times = []

        def generate():
            for seconds in pauses:
                yield Pause(seconds)
                times.append(time.monotonic())
                yield A

        return started(generate()), times

    @pytest.mark.measures
    @pytest.mark.parametrize("unevenness", [0, 0.001], ids=["even", "uneven"])
    def test_does_not_add_delays_up(self, unevenness):
        pauses = [self.PAUSE_SECONDS + unevenness * (number % 2) for number in range(20)]

        def seconds_taken():
            started_at = time.monotonic()
            feed, times = self.paced(pauses)
            while not feed.is_finished:
                if feed.take():
                    time.sleep(self.PAUSE_SECONDS / 2)  # Blocks the loop.
                else:
                    feed.wait()
            return times[-1] - started_at

        # The calmest of three, as the machine may stand still. Added up it would be half as long again.
        assert sum(pauses) - 0.002 < min(seconds_taken() for _ in range(3)) < 1.25 * sum(pauses)

    @pytest.mark.parametrize("unevenness", [0, 0.001], ids=["even", "uneven"])
    def test_sends_no_burst_after_a_reader_was_slow(self, unevenness):
        pauses = [self.PAUSE_SECONDS + unevenness * (number % 2) for number in range(100)]
        feed, times = self.paced(pauses)
        wait_until(lambda: len(times) == SIZE)
        gevent.sleep(5 * self.PAUSE_SECONDS)
        reads_again_at = time.monotonic()
        while feed.take():
            pass
        while len(times) <= SIZE + 4:
            feed.wait()
            feed.take()
        feed.stop()
        # The one that was due comes at once; from then on the pauses are what they were.
        assert times[SIZE + 4] - reads_again_at > 3.9 * self.PAUSE_SECONDS

    def test_is_kept_after_a_long_time_without_pauses(self):
        times = []

        def generate():
            yield from [A] * (100 * SIZE)
            times.append(time.monotonic())
            yield Pause(0.05)
            times.append(time.monotonic())

        feed = started(generate())
        gevent.sleep(0.1)
        read_all(feed)
        assert times[1] - times[0] > 0.04

    def test_may_change_from_pause_to_pause(self):
        pauses = [0.01, 0.01, 0, 0, 0.05, 0.01]
        started_at = time.monotonic()
        feed, times = self.paced(pauses)
        assert read_all(feed) == A * 6
        for at, seconds in zip(times, accumulate(pauses), strict=True):
            assert at - started_at > seconds - 0.005


class TestFailure:
    REFUSED = ApiError(429, "rate_limit_exceeded", "too many")
    PLAIN = PlainAnswer(200, {}, b"")

    @pytest.mark.parametrize("before", [[], [A, Pause(0)]], ids=["at-once", "in-the-hub"])
    @pytest.mark.parametrize("error", [REFUSED, PLAIN], ids=["refused", "plain"])
    def test_that_the_generator_means_is_the_feeds_error(self, before, error, caplog):
        feed = self.feed_that_fails(before, error)
        assert feed.error is error
        assert caplog.text == ""

    @pytest.mark.parametrize("before", [[], [A, Pause(0)]], ids=["at-once", "in-the-hub"])
    @pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
    def test_of_any_other_kind_is_logged_and_not_shown(self, before, error, caplog):
        feed = self.feed_that_fails(before, error("a secret"))
        assert feed.error.code == "internal_error"
        assert "a secret" not in str(feed.error)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage() == "the generator failed request_id=request-7"
        assert error in (record.exc_info[0], type(record.exc_info[1].__cause__))

    def test_leaves_the_events_before_it(self):
        assert read_all(self.feed_that_fails([A, Pause(0), A], RuntimeError())) == A

    @staticmethod
    def feed_that_fails(before, error):
        def generate():
            yield from before
            raise error

        feed = started(generate())
        if before:
            feed.take()
        while not feed.is_finished:
            feed.wait()
        return feed


@pytest.mark.parametrize("last", [DONE, Event(event="done")])
def test_the_terminal_event_is_known_before_the_end(last):
    feed = started([A, A, A, last, A])
    assert feed.has_terminal_event
    assert not feed.is_finished


def test_an_event_like_any_other_is_not_the_terminal_event():
    assert not started([A, NEVER]).has_terminal_event


class TestStop:
    @pytest.mark.parametrize("pause", [None, Pause(SHORT_SECONDS), Pause(3600), NEVER])
    def test_closes_the_generator_wherever_it_is(self, pause):
        source = Endless(pause)
        feed = started(source.items())
        feed.stop()
        assert source.is_closed

    def test_ends_the_pause(self):
        source = Endless(Pause(SHORT_SECONDS))
        feed = started(source.items())
        feed.stop()
        gevent.sleep(2 * SHORT_SECONDS)
        assert source.asked_for == 1
        assert not feed.is_finished

    def test_runs_nothing_of_a_generator_that_never_started(self):
        source = Endless()
        feed_of(source.items()).stop()
        assert source.asked_for == 0

    def test_may_be_called_again_and_after_the_end(self):
        feed = started([A])
        feed.stop()
        feed.stop()

    def test_logs_what_the_generator_raises_then(self, caplog):
        def generate():
            try:
                yield NEVER
            finally:
                raise ValueError("in finally")

        started(generate()).stop()
        assert "closing the generator failed request_id=request-7" in caplog.text


class TestWake:
    def test_ends_a_wait(self):
        feed = started([NEVER])
        waiting = waiting_with(feed, None)
        assert not waiting.dead
        feed.wake()
        wait_until(lambda: waiting.dead)

    def test_is_not_lost_before_a_wait(self):
        feed = started([NEVER])
        feed.wake()
        feed.wait()
