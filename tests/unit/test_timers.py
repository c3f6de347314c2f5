"""What is due in a stream and when. No clock is read: every time is given, in seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.stream.loop.ticker import TICK_SECONDS, Ticker
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.timers import Timers

START = 1000.0


def timers(*, commit_seconds=None, **options):
    return Timers(StreamOptions(**options), START, commit_seconds)


class TestKeepalive:
    def test_is_due_when_nothing_was_written_since_the_start(self):
        timers_ = timers(keepalive_seconds=15)
        assert not timers_.keepalive_is_due(START + 14.9)
        assert timers_.keepalive_is_due(START + 15)

    def test_is_put_off_by_a_write(self):
        timers_ = timers(keepalive_seconds=15)
        timers_.write_begins(START + 10)
        assert not timers_.keepalive_is_due(START + 24.9)
        assert timers_.keepalive_is_due(START + 25)

    def test_of_zero_seconds_is_never_due(self):
        timers_ = timers(keepalive_seconds=0)
        assert not timers_.keepalive_is_due(START)
        assert not timers_.keepalive_is_due(START + 1e9)


class TestCommit:
    def test_is_never_due_unless_it_is_asked_for(self):
        assert not timers().commit_is_due(START + 1e9)

    def test_is_due_so_long_after_the_start(self):
        timers_ = timers(commit_seconds=10)
        assert not timers_.commit_is_due(START + 9.9)
        assert timers_.commit_is_due(START + 10)


class TestDeadline:
    def test_is_never_over_if_there_is_none(self):
        assert not timers(deadline_seconds=None).deadline_is_over(START + 1e9)

    def test_of_zero_seconds_is_over_at_once(self):
        assert timers(deadline_seconds=0).deadline_is_over(START)

    def test_is_over_so_long_after_the_start_whatever_is_written(self):
        timers_ = timers(deadline_seconds=60)
        timers_.write_begins(START + 59)
        assert not timers_.deadline_is_over(START + 59.9)
        assert timers_.deadline_is_over(START + 60)


@pytest.mark.parametrize("timer", ["keepalive_seconds", "commit_seconds", "deadline_seconds"])
def test_anything_is_due_as_soon_as_one_timer_is(timer):
    timers_ = timers(**{"keepalive_seconds": 0, timer: 5})
    assert not timers_.anything_is_due(START + 4.9)
    assert timers_.anything_is_due(START + 5)


class TestHangingWrite:
    """A write hangs if the client's kernel has taken no byte for the write timeout."""

    @pytest.fixture
    def writing(self):
        """A write that began at the start, seen with 100 bytes that are not sent."""
        timers_ = timers(write_timeout_seconds=30)
        timers_.write_begins(START)
        assert not timers_.check_write(START, unsent_bytes=100)
        return timers_

    def test_is_one_without_progress_for_so_long(self, writing):
        assert not writing.check_write(START + 29.9, unsent_bytes=100)
        assert writing.check_write(START + 30, unsent_bytes=100)

    def test_is_none_whose_bytes_get_fewer_however_slowly(self, writing):
        for look in range(1, 100):
            assert not writing.check_write(START + 20 * look, unsent_bytes=100 - look)

    def test_counts_from_the_last_progress(self, writing):
        assert not writing.check_write(START + 20, unsent_bytes=99)
        assert not writing.check_write(START + 49.9, unsent_bytes=99)
        assert writing.check_write(START + 50, unsent_bytes=99)

    def test_is_none_that_has_just_begun_behind_one_as_large(self, writing):
        writing.write_begins(START + 29)
        assert not writing.check_write(START + 30, unsent_bytes=100)
        assert not writing.check_write(START + 59.9, unsent_bytes=100)
        assert writing.check_write(START + 60, unsent_bytes=100)

    def test_is_one_whose_client_takes_next_to_nothing(self, writing):
        looks = [
            writing.check_write(START + 10 * look, unsent_bytes=9000 - look, taken_bytes=look)
            for look in range(6)
        ]
        assert looks == [False, False, False, True, True, True]

    def test_is_one_whose_client_takes_much_and_then_next_to_nothing(self, writing):
        def check(seconds, taken_bytes):
            unsent_bytes = 10**7 - taken_bytes
            return writing.check_write(START + seconds, unsent_bytes, taken_bytes)

        assert not check(0, 0)
        assert not check(30, 10**6)
        assert not check(50, 10**6 + 1)
        assert check(60, 10**6 + 2)

    def test_is_none_whose_client_takes_at_the_pace_of_a_speaker(self, writing):
        for look in range(20):
            taken = 2000 * look
            assert not writing.check_write(START + 10 * look, 10**6 - taken, taken)

    def test_is_none_if_nothing_is_being_written(self, writing):
        writing.is_writing = False
        assert not writing.check_write(START + 1000, unsent_bytes=100)


class TestNextLook:
    def test_is_when_the_first_timer_is_due(self):
        timers_ = timers(commit_seconds=2, keepalive_seconds=3, deadline_seconds=5)
        assert timers_.next_look(START) == START + 2
        assert timers_.next_look(START + 2) == START + 3

    def test_comes_often_enough_to_see_a_write_hang(self):
        timers_ = timers(keepalive_seconds=0, write_timeout_seconds=30)
        assert timers_.next_look(START) <= START + 30 / 2

    @given(
        keepalive_seconds=st.just(0) | st.floats(0.001, 100),
        deadline_seconds=st.none() | st.floats(0.001, 100),
        write_timeout_seconds=st.floats(0.001, 100),
        commit_seconds=st.none() | st.floats(0.001, 100),
        written_after=st.none() | st.floats(0, 100),
        passed=st.floats(0, 300),
    )
    def test_is_never_in_the_past_and_never_after_a_timer_that_is_to_come(
        self, written_after, passed, **options
    ):
        timers_ = timers(**options)
        if written_after is not None:
            timers_.write_begins(START + written_after)
        now = max(START + passed, timers_.written_at)
        look = timers_.next_look(now)
        assert look > now
        if not timers_.anything_is_due(now):
            # The moment before: nothing has become due and been overlooked.
            assert not timers_.anything_is_due(now + (look - now) * 0.999)


class Looked:
    """Notes when it was looked at; wants to be looked at again after so many seconds."""

    def __init__(self, again_after=1.0):
        self.looks = []
        self._again_after = again_after

    def on_tick(self, now):
        self.looks.append(now)
        return now + self._again_after


class TestTicker:
    @pytest.fixture
    def clock(self):
        return [START]

    @pytest.fixture
    def ticker(self, clock):
        return Ticker(on_lag=lambda seconds: None, now=lambda: clock[0])

    def run(self, ticker, clock, seconds):
        end = clock[0] + seconds
        while clock[0] < end:
            clock[0] += TICK_SECONDS
            ticker.tick()

    def test_looks_at_a_stream_when_it_is_due_and_at_most_two_ticks_later(self, ticker, clock):
        stream = Looked(again_after=100)
        ticker.add(stream, START + 1)
        self.run(ticker, clock, 2)
        ticker.remove(stream)
        (look,) = stream.looks
        assert START + 1 <= look <= START + 1 + 2 * TICK_SECONDS

    def test_looks_again_when_the_stream_wants_it(self, ticker, clock):
        stream = Looked(again_after=1)
        ticker.add(stream, START + 1)
        self.run(ticker, clock, 5.5)
        ticker.remove(stream)
        assert len(stream.looks) == 5

    def test_looks_at_every_stream_after_a_pause_over_many_ticks(self, ticker, clock):
        streams = [Looked() for _ in range(50)]
        for number, stream in enumerate(streams):
            ticker.add(stream, START + number * TICK_SECONDS)
        clock[0] += 100
        ticker.tick()
        for stream in streams:
            ticker.remove(stream)
        assert all(stream.looks == [clock[0]] for stream in streams)

    def test_looks_at_a_stream_that_was_due_when_it_came(self, ticker, clock):
        stream = Looked(again_after=100)
        ticker.add(stream, START - 5)
        self.run(ticker, clock, 1)
        ticker.remove(stream)
        assert len(stream.looks) == 1

    def test_never_looks_at_a_stream_that_is_removed(self, ticker, clock):
        stays, goes = Looked(), Looked()
        for stream in (stays, goes):
            ticker.add(stream, START + 1)
        ticker.remove(goes)
        self.run(ticker, clock, 2)
        ticker.remove(stays)
        assert stays.looks
        assert goes.looks == []

    def test_goes_on_when_a_stream_fails(self, ticker, clock, caplog):
        class Failing(Looked):
            def on_tick(self, now):
                super().on_tick(now)
                raise RuntimeError("a defect")

        failing, sound = Failing(), Looked()
        for stream in (failing, sound):
            ticker.add(stream, START + 1)
        self.run(ticker, clock, 3.5)
        for stream in (failing, sound):
            ticker.remove(stream)
        assert len(failing.looks) == 1
        assert len(sound.looks) == 3
        assert "RuntimeError: a defect" in caplog.text

    def test_forgets_a_stream_that_is_removed(self, ticker):
        stream = Looked()
        ticker.add(stream, START + 1)
        assert len(ticker) == 1
        ticker.remove(stream)
        ticker.remove(stream)
        assert len(ticker) == 0
