"""What may happen to a stream while the writer, the keeper of leases or a request waits for Redis."""

import math

import gevent
import pytest

from flask_sluice.journal import About, JournalUnavailableError, Limits
from flask_sluice.journal.budget import Budget
from flask_sluice.journal.redis.keys_and_commands import inbox_key
from flask_sluice.journal.redis.leases import Lease, LeaseKeeper
from flask_sluice.journal.redis.producing.abandonment import Abandonment
from flask_sluice.journal.redis.producing.feed import EventFeed
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.producing.writer import EventWriter
from flask_sluice.journal.redis.reading.catch_up import CatchUp
from flask_sluice.journal.redis.reading.inbox import Inbox
from flask_sluice.journal.redis.reading.producers import Producers
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.redis.store import RedisStore
from flask_sluice.journal.redis.streams import FollowedStream, WorkerStreams
from flask_sluice.journal.redis.times import LeaseTimes
from flask_sluice.journal.turns import GreenletTurns
from flask_sluice.journal.window import Window
from flask_sluice.observe.redis_outages import RedisOutage
from tests.unit.journals import DONE, LOST, event, ignore

ENDED_BY_OTHERS = [[b"9223372036854775807-0", [b"e", LOST]]]


class Redis:
    """Stands in for a client and its connection.

    during: called with the commands while their caller waits
    replies: the reply to each kind of command
    """

    def __init__(self):
        self.turns = GreenletTurns()
        self.during = ignore
        self.replies = {"PEXPIRE": 1}
        self.link = self
        self.written = []
        self.health = RedisHealth(self.turns, RedisOutage(lambda _: None))
        # For so long that this worker knows who is dead.
        self.health.reached_since = -math.inf

    def keep_connection(self, **_):
        return self

    def execute(self, *commands):
        self.during(*commands)
        return [self.replies.get(command[0]) for command in commands]

    def transaction(self, *commands):
        self.during(*commands)
        self.written.append(commands)
        return [b"1-0" for _ in commands]

    def link_of(self, key):
        return self.link

    def transactions(self, groups):
        for group in groups:
            self.during(*group)
        return [[self.replies.get(command[0], b"1-0") for command in group] for group in groups]


@pytest.fixture
def redis():
    return Redis()


class Worker:
    """The parts of a store, on a Redis that the test speaks for."""

    def __init__(self, redis):
        self.streams = WorkerStreams()
        self.recreated = []
        feed = EventFeed(self.streams.own, ignore)
        self.writer = EventWriter(
            redis, feed, lambda recorder: self.recreated.append(recorder) or [], list
        )
        catch_up = CatchUp(redis, self.streams)
        times = LeaseTimes(Limits(abandon_seconds=1e-9), lease_seconds=3)
        self.lease = Lease(redis, times)
        self.abandonment = Abandonment(redis, self.streams.own, feed, times)
        self.keeper = LeaseKeeper(
            *(redis, self.streams, times, self.lease),
            inbox=Inbox(redis, self.streams, catch_up, on_stop=ignore, on_following=ignore),
            writer=self.writer,
            producers=Producers(
                *(redis, self.streams, catch_up, times),
                lost_event=LOST,
                would_know=self.lease.would_know,
            ),
            abandonment=self.abandonment,
        )

    def create(self, stream_id, on_stop=ignore):
        budget = Budget(Limits())
        recorder = RedisRecorder(
            stream_id,
            on_stop,
            About(),
            budget=budget,
            share=budget.add_stream(),
            max_queue_bytes=1000,
            history_ms=1000,
            is_out=lambda: False,
            has_events=self.writer.has_events,
            has_ended=lambda recorder: self.streams.own.pop(recorder.stream_id),
        )
        self.streams.own[stream_id] = recorder
        return recorder

    def follow(self, stream_id, **fields):
        stream = FollowedStream(stream_id, "owner", Window(), **fields)
        self.streams.followed[stream_id] = stream
        return stream.window


@pytest.fixture
def worker(redis):
    return Worker(redis)


def overflow(recorder):
    """Loses the stream, as an append does for which there is no room."""
    recorder.append(event("x" * 2000))
    with pytest.raises(Exception, match="Redis has taken no events"):
        recorder.append(event("x" * 2000))


class TestWriter:
    def test_does_not_lose_a_stream_twice_that_is_lost_while_it_asks(self, redis, worker):
        lost, other = worker.create("a"), worker.create("b")
        worker.writer.look_up(lost)
        worker.writer.look_up(other)
        redis.during = lambda *_: lost.is_lost or overflow(lost)
        redis.replies["XREVRANGE"] = ENDED_BY_OTHERS
        worker.writer.step()
        assert lost.is_lost
        assert other.is_lost
        assert worker.streams.own == {}

    def test_does_not_create_again_a_stream_that_is_lost_while_it_asks(self, redis, worker):
        lost, other = worker.create("a"), worker.create("b")
        worker.writer.look_up(lost)
        worker.writer.look_up(other)
        redis.during = lambda *_: lost.is_lost or overflow(lost)
        redis.replies["XREVRANGE"] = []
        worker.writer.step()
        assert worker.recreated == [other]

    def test_writes_nothing_over_a_connection_that_was_made_while_it_asked_about_another_stream(
        self, redis, worker
    ):
        """The connection leads to another server, perhaps, which lacks the last events of all streams."""
        lost, other = worker.create("a"), worker.create("b")
        other.append(event())
        worker.writer.step()
        worker.writer.look_up(lost)
        other.append(event())
        redis.replies["XREVRANGE"] = []
        sent = []

        def transactions(groups):
            sent.append([group[0][0] for group in groups if group])
            redis.link = len(sent)
            refused = JournalUnavailableError("READONLY")
            return [[[]] if group and group[0][0] == "XREVRANGE" else refused for group in groups]

        redis.transactions = transactions
        worker.writer.step()
        worker.writer.step()
        assert [names for names in sent if names] == [["XREVRANGE"], ["XREVRANGE"]]

    def test_looks_a_stream_up_that_it_is_asked_for_while_it_writes(self, redis, worker):
        recorder = worker.create("a")
        recorder.append(event())
        redis.during = lambda *commands: (
            commands[0][0] == "XADD" and worker.writer.look_up(recorder)
        )
        redis.replies["XREVRANGE"] = ENDED_BY_OTHERS
        worker.writer.step()
        with gevent.Timeout(1):
            worker.writer.step()
        assert recorder.is_lost


def ended(redis):
    """Return the transactions that end a stream."""
    return [commands for commands in redis.written if LOST in commands[0]]


class TestKeeper:
    def test_does_not_take_its_first_lease_for_one_that_redis_has_lost(self, redis, worker):
        """A reader's id that no stream has given out is refused at once, and not awaited."""
        redis.replies["PEXPIRE"] = 0
        seen = []
        redis.during = lambda *commands: seen.append(
            (commands[0][0], worker.lease.may_return(is_stored=False))
        )
        worker.keeper.step()
        assert seen[:2] == [("PEXPIRE", False), ("XADD", False)]

    def test_adds_no_second_terminal_event_to_a_stream_that_ends_while_it_asks(self, redis, worker):
        window = worker.follow("a", missing_since=0.0)
        redis.replies["EXISTS"] = 0
        redis.during = lambda *commands: commands[0][1] == "sluice:{a}" and window.finish(DONE)
        worker.keeper.step()
        assert window.last_id == 1

    def test_gives_up_a_stream_that_is_still_missing(self, redis, worker):
        window = worker.follow("a", missing_since=0.0)
        redis.replies["EXISTS"] = 0
        worker.keeper.step()
        assert window.event(1) == b"id: 1\n" + LOST

    def test_does_not_end_a_stream_whose_producer_is_back_by_the_time_that_redis_takes_it(
        self, redis, worker
    ):
        worker.follow("a", silent_since=-math.inf)
        there = {"sluice:{a}", inbox_key(worker.streams.worker_id)}
        redis.execute = lambda *commands: [
            None if name == "GET" else int(key in there) for name, key, *_ in commands
        ]

        def refuse(*commands):
            if LOST in commands[0]:
                raise JournalUnavailableError("Redis is full")

        redis.during = refuse
        with pytest.raises(JournalUnavailableError):
            worker.keeper.step()
        there.add(inbox_key("owner"))
        redis.during = ignore
        worker.keeper.step()
        assert ended(redis) == []

    def test_does_not_abandon_a_stream_whose_reader_came_and_left_while_it_asked(
        self, redis, worker
    ):
        reasons = []
        worker.create("a", reasons.append)
        worker.abandonment.has_no_reader("a")
        redis.during = lambda *commands: (
            commands[0][0] == "PTTL" and worker.abandonment.has_no_reader("a")
        )
        for _ in range(2):
            worker.keeper.step()
        assert reasons == []

    def test_abandons_a_stream_that_twice_had_no_reader_elsewhere(self, redis, worker):
        """Once may be a key that was evicted, which the worker with the reader writes again."""
        reasons = []
        worker.abandonment._times = LeaseTimes(Limits(), lease_seconds=0)
        worker.create("a", reasons.append)
        worker.abandonment.has_no_reader("a")
        worker.keeper.step()
        assert reasons == []
        worker.keeper.step()
        assert reasons == ["abandoned"]


def test_a_reader_that_is_interrupted_while_it_is_announced_leaves_nothing_behind(monkeypatch):
    def answer(*commands):
        if commands[0][0] == "XADD":
            raise gevent.Timeout
        return [[], 1, b"owner", 1]

    store = RedisStore(
        "redis://127.0.0.1:1", Limits(), GreenletTurns(), lost_event=LOST, lease_seconds=3
    )
    monkeypatch.setattr(store, "_start", ignore)
    monkeypatch.setattr(store._client, "execute", answer)
    with pytest.raises(gevent.Timeout):
        store.follow("a", 0, ignore)
    assert store._streams.followed == {}
