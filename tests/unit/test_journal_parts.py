"""The parts of the journals: no Redis, no clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.journal import About, JournalLostError, Limits
from flask_sluice.journal.budget import Budget
from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.redis.keys_and_commands import (
    LastEvent,
    about_key,
    inbox_key,
    producer_key,
    stream_key,
)
from flask_sluice.journal.redis.producing.history import History
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.reading import producers as producers_module
from flask_sluice.journal.redis.reading.follower import PatientReaders, RedisFollower
from flask_sluice.journal.redis.reading.producers import Producers
from flask_sluice.journal.redis.streams import FollowedStream, StoredStreams, WorkerStreams
from flask_sluice.journal.redis.times import LeaseTimes
from flask_sluice.journal.turns import GreenletTurns
from flask_sluice.journal.window import Window
from tests.unit.greenlets import run_all
from tests.unit.journals import DONE, LOST, event, ids, ignore

LARGEST_ID = b"9223372036854775807-0"


@given(st.lists(st.tuples(st.integers(1, 50), st.none() | st.integers(0, 500)), max_size=2000))
def test_a_window_has_the_last_events_that_its_bytes_allow(steps):
    """Compare with a plain list. A step is an event's size, and to how many bytes the window is trimmed after it."""
    window, kept, last_id = Window(), [], 0
    for size, max_bytes in steps:
        last_id += 1
        window.append(b"%d:" % last_id + b"x" * size)
        kept.append(b"%d:" % last_id + b"x" * size)
        if max_bytes is not None:
            window.trim(max_bytes)
            while len(kept) > 1 and sum(map(len, kept)) > max_bytes:
                del kept[0]
    assert (window.first_id, window.last_id) == (last_id - len(kept) + 1, last_id)
    assert window.byte_count == sum(map(len, kept))
    for index, number in enumerate(range(window.first_id, last_id + 1)):
        assert window.event(number) == kept[index]
        assert window.read(number, 10**9) == (b"".join(kept[index:]), len(kept) - index)


def test_a_long_window_that_is_trimmed_holds_no_more_than_it_must():
    window = Window()
    for _ in range(100_000):
        window.append(b"x" * 10)
        window.trim(1000)
    assert len(window.events) < 1000


def test_reading_a_window_ends_with_the_event_that_exceeds_the_bytes():
    window = Window()
    for _ in range(5):
        window.append(b"x" * 10)
    assert window.read(1, 20) == (b"x" * 20, 2)
    assert window.read(1, 21) == (b"x" * 30, 3)
    assert window.read(5, 1) == (b"x" * 10, 1)


class Counted:
    """A reader that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def on_events(self) -> None:
        pass


def test_readers_that_leave_a_window_are_not_looked_for_among_all_others():
    window, readers = Window(), [Counted() for _ in range(1000)]
    for reader in readers:
        window.join(reader)
    assert window.readers == tuple(readers)
    Counted.comparisons = 0
    for reader in reversed(readers):
        assert window.leave(reader)
        assert not window.leave(reader)
    assert Counted.comparisons < 10 * len(readers)
    assert not window.is_followed


class TestRedisFollower:
    def test_is_told_that_history_is_gone_before_it_gets_what_comes_next(self):
        window, forwarded = Window(5), []
        follower = RedisFollower(
            window, 0, ignore, ignore, fetch_history=lambda *_: [], turns=GreenletTurns()
        )
        follower.forward = forwarded.append
        run_all()
        window.append(b"id: 5\ndata: x\n\n")
        window.wake()
        assert forwarded == []
        assert follower.take() == b'event: reset\ndata: {"oldest": 5}\n\nid: 5\ndata: x\n\n'
        follower.forward = forwarded.append
        window.append(b"id: 6\ndata: x\n\n")
        window.wake()
        assert ids(b"".join(forwarded)) == [6]

    def test_leaves_once_however_often_it_is_closed(self):
        window, closed = Window(), []
        follower = RedisFollower(
            window,
            0,
            ignore,
            lambda: closed.append(True),
            fetch_history=ignore,
            turns=GreenletTurns(),
        )
        follower.close()
        follower.close()
        assert closed == [True]
        assert not window.is_followed

    def test_asks_no_more_for_history_when_it_is_closed(self):
        fetches, woken = [], []

        def fetch_history(*_):
            fetches.append(True)
            follower.close()
            return []

        follower = RedisFollower(
            Window(5),
            0,
            lambda: woken.append(True),
            ignore,
            fetch_history=fetch_history,
            turns=GreenletTurns(),
        )
        run_all()
        assert fetches == [True]
        assert woken == []
        closed = RedisFollower(
            Window(5), 0, ignore, ignore, fetch_history=fetch_history, turns=GreenletTurns()
        )
        closed.close()
        run_all()
        assert fetches == [True]


class TestPatientReaders:
    """Patience is ten seconds here."""

    @pytest.fixture
    def window(self):
        return Window()

    @pytest.fixture
    def readers(self):
        return PatientReaders(10)

    @pytest.fixture
    def follow(self, window, readers):
        def follow_(wake=ignore):
            follower = RedisFollower(
                window, 0, wake, ignore, fetch_history=ignore, turns=GreenletTurns()
            )
            readers.add(follower)
            return follower

        return follow_

    def test_are_let_go_when_they_have_waited_so_long_for_a_redis_that_does_not_work(
        self, readers, follow
    ):
        woken = []
        follower = follow(lambda: woken.append(True))
        readers.look(0, "no room", is_well=False)
        readers.look(9.9, "no room", is_well=False)
        assert (follower.error, woken) == (None, [])
        readers.look(10, "no room", is_well=False)
        assert follower.is_finished
        assert follower.error.code == "redis_unreachable"
        assert follower.error.reason == "no room"
        assert woken == [True]

    def test_wait_as_long_as_it_takes_where_redis_works(self, readers, follow):
        follower = follow()
        for now in range(0, 100, 5):
            readers.look(now, None, is_well=now % 10 == 0)
        assert follower.error is None

    def test_that_get_events_or_have_some_to_take_are_not_let_go(self, readers, follow, window):
        follower = follow()
        for now in range(0, 100, 5):
            readers.look(now, "slow", is_well=False)
            window.append(b"id: %d\n\n" % (window.last_id + 1))
            if now % 10:
                follower.take()
        assert follower.error is None

    def test_that_come_during_the_outage_have_their_own_time(self, readers, follow):
        follow()
        readers.look(0, "out", is_well=False)
        late = follow()
        readers.look(9, "out", is_well=False)
        readers.look(18, "out", is_well=False)
        assert late.error is None
        readers.look(19, "out", is_well=False)
        assert late.error is not None

    def test_that_have_left_are_forgotten(self, readers, follow):
        follower = follow()
        readers.look(0, "out", is_well=False)
        readers.discard(follower)
        readers.look(20, "out", is_well=False)
        assert follower.error is None


def test_a_reader_whose_history_cannot_be_understood_is_let_go(caplog):
    def fetch_history(*_):
        raise TypeError("no list")

    woken = []
    follower = RedisFollower(
        Window(5),
        0,
        lambda: woken.append(True),
        ignore,
        fetch_history=fetch_history,
        turns=GreenletTurns(),
    )
    run_all()
    assert follower.is_finished
    assert follower.error.status == 500
    assert woken == [True]
    assert "TypeError: no list" in caplog.text


class TestStreamDeadlines:
    def test_come_in_order_whenever_they_were_set(self):
        deadlines = StreamDeadlines()
        for key, due in (("b", 2), ("a", 1), ("c", 3)):
            deadlines.set(key, due)
        assert deadlines.next_due == 1
        assert deadlines.pop_due(2) == ["a", "b"]
        assert deadlines.pop_due(3) == ["c"]
        assert deadlines.next_due is None

    def test_are_replaced_by_later_and_by_earlier_ones(self):
        deadlines = StreamDeadlines()
        deadlines.set("later", 1)
        deadlines.set("later", 5)
        deadlines.set("earlier", 5)
        deadlines.set("earlier", 1)
        assert deadlines.pop_due(1) == ["earlier"]
        assert deadlines.pop_due(4) == []
        assert deadlines.pop_due(5) == ["later"]

    def test_that_are_cleared_never_come(self):
        deadlines = StreamDeadlines()
        deadlines.set("a", 1)
        deadlines.clear("a")
        deadlines.clear("b")
        assert deadlines.next_due is None
        assert deadlines.pop_due(1) == []


class TestHistory:
    @given(st.lists(st.integers(1, 300), max_size=500), st.integers(100, 2000))
    def test_stays_within_its_bytes_and_near_them(self, sizes, max_bytes):
        history = History()
        for number, size in enumerate(sizes, 1):
            history.add(number, size, max_bytes)
        kept = sizes[history.oldest - 1 :]
        assert history.byte_count == sum(kept)
        # One block is more than the limit if its last event makes it so.
        assert sum(kept) <= max(max_bytes, max_bytes // 64 + max(sizes, default=0))
        if history.oldest > 1:
            assert sum(kept) > max_bytes - max_bytes // 64 - 2 * max(sizes)

    def test_of_a_million_events_is_a_few_numbers(self):
        history = History()
        for number in range(1, 1_000_000, 10):
            history.add(number, 100, 1_000_000)
        assert len(history._blocks) <= 66


class Redis:
    """A recorder, and a Redis that takes all that it writes."""

    def __init__(self, max_queue_bytes=10**9, **limits):
        self.limits = Limits(**limits)
        self.ended = []
        budget = Budget(self.limits)
        self.recorder = RedisRecorder(
            "a",
            ignore,
            About(),
            budget=budget,
            share=budget.add_stream(),
            max_queue_bytes=max_queue_bytes,
            history_ms=1000,
            is_out=lambda: False,
            has_events=ignore,
            has_ended=self.ended.append,
        )

    def write(self):
        """Let the recorder write. Return the ids and events of the XADDs."""
        batch = self.recorder.next_batch()
        self.recorder.confirm(batch.last_id)
        return [command[-3::2] for command in batch.commands if command[0] == "XADD"]

    @property
    def at_hand(self):
        """The numbers of the events that readers of this worker get."""
        window = self.recorder.window
        return list(range(window.first_id, window.last_id + 1))


class TestRedisRecorder:
    def test_writes_in_order_and_gives_to_readers_what_is_written(self):
        redis = Redis()
        for _ in range(2):
            redis.recorder.append(event())
        assert redis.at_hand == []
        assert redis.write() == [
            ("1-0", b"id: 1\ndata: x\n\n"),
            ("2-0", b"id: 2\ndata: x\n\n"),
        ]
        assert redis.at_hand == [1, 2]
        redis.recorder.append(event())
        redis.recorder.finish(DONE)
        assert redis.write() == [
            ("3-0", b"id: 3\ndata: x\n\n"),
            (LARGEST_ID.decode(), DONE),
        ]
        assert redis.at_hand == [1, 2, 3, 4]
        assert redis.recorder.window.event(4) == b"id: 4\n" + DONE
        assert redis.ended == [redis.recorder]

    @pytest.mark.parametrize("size", [10, 100_000])
    def test_writes_a_bounded_number_of_events_and_of_bytes_at_once(self, size):
        redis = Redis()
        for _ in range(1000):
            redis.recorder.append(event("x" * size))
        redis.recorder.finish(DONE)
        batches = []
        while redis.recorder.has_unwritten:
            batches.append(redis.write())
        ids = [id_ for batch in batches for id_, _ in batch]
        assert ids == [*(f"{number}-0" for number in range(1, 1001)), LARGEST_ID.decode()]
        assert max(map(len, batches)) <= 101
        assert max(sum(len(event_) for _, event_ in batch) for batch in batches) < 400_000

    def test_goes_on_behind_what_was_written_without_being_confirmed(self):
        redis = Redis()
        for _ in range(3):
            redis.recorder.append(event())
        redis.recorder.next_batch()
        redis.recorder.reconcile(LastEvent(2, b"id: 2\ndata: x\n\n", is_terminal=False))
        assert redis.at_hand == [1, 2]
        assert [id_ for id_, _ in redis.write()] == ["3-0"]

    def test_knows_its_own_terminal_event(self):
        redis = Redis()
        redis.recorder.append(event())
        redis.recorder.finish(DONE)
        redis.recorder.next_batch()
        redis.recorder.reconcile(LastEvent(2, b"id: 2\n" + DONE, is_terminal=True))
        assert redis.at_hand == [1, 2]
        assert not redis.recorder.is_lost

    def test_has_lost_a_stream_that_somebody_else_has_ended(self):
        redis = Redis()
        for _ in range(2):
            redis.recorder.append(event())
        redis.recorder.reconcile(LastEvent(2, b"id: 2\n" + LOST, is_terminal=True))
        assert redis.ended == [redis.recorder]
        with pytest.raises(JournalLostError):
            redis.recorder.append(event())
        redis.recorder.finish(DONE)
        assert not redis.recorder.is_open

    def test_writes_again_what_redis_has_lost(self):
        redis = Redis()
        for _ in range(4):
            redis.recorder.append(event())
        redis.write()
        redis.recorder.append(event())
        redis.recorder.reconcile(LastEvent(2, b"", is_terminal=False))
        assert [id_ for id_, _ in redis.write()] == ["3-0", "4-0", "5-0"]
        assert redis.at_hand == [1, 2, 3, 4, 5]

    def test_has_no_more_waiting_than_its_limit(self):
        redis = Redis(max_queue_bytes=1000)
        redis.recorder.append(event("x" * 900))
        with pytest.raises(JournalLostError):
            redis.recorder.append(event("x" * 100))
        assert redis.ended == [redis.recorder]

    def test_has_redis_drop_what_is_too_much(self):
        redis = Redis(history_bytes=6400)
        for _ in range(100):
            redis.recorder.append(event("x" * 85))
            batch = redis.recorder.next_batch()
            redis.recorder.confirm(batch.last_id)
        trims = [command for command in batch.commands if "MINID" in command]
        assert trims == [
            (
                *(
                    "XADD",
                    "sluice:{a}",
                    "NOMKSTREAM",
                    "MINID",
                    "=",
                    f"{redis.recorder.history.oldest}-0",
                ),
                *("100-0", "e", b"id: 100\ndata: " + b"x" * 85 + b"\n\n"),
            )
        ]


def test_a_stream_that_was_left_and_followed_anew_is_not_taken_for_the_old_one():
    streams = WorkerStreams()
    old, new = (FollowedStream("a", "owner", Window()) for _ in range(2))
    streams.followed["a"] = new
    streams.unfollow(old)
    assert streams.followed == {"a": new}
    streams.unfollow(new)
    assert streams.followed == {}


class TestLast:
    def test_is_the_last_event_with_its_number(self):
        last = LastEvent.of([[b"7-0", [b"e", b"id: 7\n\n"]], [b"6-0", [b"e", b"id: 6\n\n"]]])
        assert last == LastEvent(7, b"id: 7\n\n", is_terminal=False)

    def test_is_numbered_by_the_one_before_it_if_it_is_terminal(self):
        last = LastEvent.of([[LARGEST_ID, [b"e", DONE]], [b"6-0", [b"e", b"id: 6\n\n"]]])
        assert last == LastEvent(7, b"id: 7\n" + DONE, is_terminal=True)

    def test_may_be_the_first_and_the_terminal_one(self):
        assert LastEvent.of([[LARGEST_ID, [b"e", DONE]]]) == LastEvent(
            1, b"id: 1\n" + DONE, is_terminal=True
        )

    def test_is_none_of_a_stream_without_events(self):
        assert LastEvent.of([]) == LastEvent(0, b"", is_terminal=False)


class RestoringRedis:
    """Has lost an event when it is read for the first time, and has it again when its last event is looked at."""

    def __init__(self):
        self.is_restored = False

    def execute(self, _command):
        return [[[b"1-0", [b"e", event("one")]]] if self.is_restored else []]

    def awaits(self, _stream_id, _number):
        self.is_restored = True
        return False


def test_events_that_are_stored_again_between_two_looks_are_read():
    redis = RestoringRedis()
    stored = StoredStreams.__new__(StoredStreams)
    stored._client, stored.awaits = redis, redis.awaits
    assert stored.read_history("x", 1, 1) == [(1, event("one"))]


class RedisWithKeys:
    """Has these keys; the value of each names the producer."""

    def __init__(self, *keys):
        self._keys = keys

    def execute(self, *commands):
        return [self._reply(name, key in self._keys) for name, key in commands]

    def _reply(self, name, is_there):
        if name == "HGETALL":
            return [b"producer", b"the-producer"] if is_there else []
        return is_there if name == "EXISTS" else (b"the-producer" if is_there else None)


@pytest.fixture
def producers(monkeypatch):
    """Look after one followed stream, at a time that stands still. A lease has 6 s, and so is renewed each second."""
    monkeypatch.setattr(producers_module, "time", clock := FixedTime())
    streams = WorkerStreams()
    streams.followed["x"] = FollowedStream("x", "the-producer", Window())
    producers = Producers(
        *(None, streams, None, LeaseTimes(Limits(), lease_seconds=6)),
        lost_event=LOST,
        would_know=lambda: True,
    )
    producers.clock, producers.streams = clock, streams
    return producers


class FixedTime:
    now = 100.0

    def monotonic(self):
        return self.now


class TestAProducerIsTakenForDead:
    def is_after(self, producers, seconds):
        followed = list(producers.streams.followed.values())
        producers.check_stored(followed)
        producers.orphaned()
        producers.clock.now += seconds
        producers.check_stored(followed)
        return producers.orphaned() == {"x"}

    def test_soon_after_its_lease_is_gone_and_its_key(self, producers):
        producers._client = RedisWithKeys(stream_key("x"))
        assert self.is_after(producers, 1.6)

    def test_not_before_its_key_is_gone_which_it_wrote_less_than_a_lease_ago(self, producers):
        producers._client = RedisWithKeys(stream_key("x"), producer_key("x"))
        assert not self.is_after(producers, 60)

    def test_a_lease_later_where_it_lives_and_does_not_claim_the_stream(self, producers):
        producers._client = RedisWithKeys(stream_key("x"), inbox_key("the-producer"))
        assert not self.is_after(producers, 5.9)
        assert self.is_after(producers, 0.2)

    def test_as_soon_where_what_is_known_of_the_stream_names_it(self, producers):
        self.forget_producer(producers)
        producers._client = RedisWithKeys(stream_key("x"), about_key("x"))
        assert self.is_after(producers, 1.6)

    def test_a_lease_later_where_what_is_known_of_the_stream_names_it_and_it_lives(self, producers):
        self.forget_producer(producers)
        keys = (stream_key("x"), about_key("x"), inbox_key("the-producer"))
        producers._client = RedisWithKeys(*keys)
        assert not self.is_after(producers, 5.9)

    def test_later_where_nothing_names_it(self, producers):
        """Its stream is of an earlier release, or has lost both keys."""
        self.forget_producer(producers)
        producers._client = RedisWithKeys(stream_key("x"))
        assert not self.is_after(producers, 1.6)
        assert self.is_after(producers, 1.5)

    def forget_producer(self, producers):
        producers.streams.followed["x"].producer = ""

    def test_only_after_a_last_look_at_its_key(self, producers):
        """It may have been busy, and have written the key again since the last round."""
        producers._client = RedisWithKeys(stream_key("x"), inbox_key("the-producer"))
        producers.check_stored(list(producers.streams.followed.values()))
        producers.orphaned()
        producers.clock.now += 6.1
        producers._client = RedisWithKeys(
            stream_key("x"), inbox_key("the-producer"), producer_key("x")
        )
        assert producers.orphaned() == set()

    def test_while_its_stream_is_missing_only_when_its_key_is_gone_too(self, producers):
        (stream,) = producers.streams.followed.values()
        producers._client = RedisWithKeys(inbox_key("the-producer"), producer_key("x"))
        self.is_after(producers, 3.1)
        assert not stream.window.is_finished
        producers._client = RedisWithKeys(inbox_key("the-producer"))
        self.is_after(producers, 0)
        assert stream.window.is_finished
