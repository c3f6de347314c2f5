"""What a producer tells the workers that follow its streams, and what they do where it does not."""

import time
from collections.abc import Iterator

import pytest

from flask_sluice.journal.redis import keys_and_commands
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, new_stream_id
from tests.system.redis_server import RedisServer
from tests.unit.journals import DONE, event

LEASE_SECONDS = 1.2
ABANDON_SECONDS = 1
"""A reader comes within it, on a busy machine, too."""


class Rig:
    """A worker that produces a stream, and another one that has a reader of it."""

    def __init__(self, redis: RedisServer, producer: JournalWorker, follower: JournalWorker):
        self.redis, self.producer, self.follower = redis, producer, follower
        self.stream_id = new_stream_id()
        producer.create(self.stream_id)
        # At once: without a reader it would be abandoned.
        self.reader = follower.follow(self.stream_id)
        self.inbox = inbox_of(redis, follower)
        producer.append(self.stream_id)
        follower.until_has(self.reader, 1)

    def lose_messages(self, append):
        """Have the producer append while the follower is suspended, and remove what it was told."""
        self.follower.suspend()
        try:
            before = last_message(self.redis, self.inbox)
            append()
            wait_until(lambda: last_message(self.redis, self.inbox) != before)
            self.redis.client.xtrim(self.inbox, maxlen=0)
        finally:
            self.follower.resume()


def inbox_of(redis: RedisServer, worker: JournalWorker) -> str:
    stream_id = new_stream_id()
    worker.create(stream_id)
    worker_id = redis.client.get(f"sluice:{{{stream_id}}}:owner")
    worker.finish(stream_id)
    return f"sluice:inbox:{worker_id.decode()}"


def last_message(redis: RedisServer, inbox: str) -> bytes:
    return redis.client.xinfo_stream(inbox)["last-generated-id"]


@pytest.fixture(scope="module")
def pair(redis: RedisServer) -> Iterator[tuple[JournalWorker, JournalWorker]]:
    times = {"lease_seconds": LEASE_SECONDS, "abandon_seconds": ABANDON_SECONDS}
    with JournalWorker(redis.url, **times) as one, JournalWorker(redis.url, **times) as other:
        yield one, other


@pytest.fixture
def rig(redis: RedisServer, pair: tuple[JournalWorker, JournalWorker]) -> Rig:
    return Rig(redis, *pair)


def up_to(last: int) -> list[int]:
    return list(range(1, last + 1))


@pytest.mark.slow
class TestAMessageThatIsLost:
    def test_is_noticed_by_the_next_event(self, rig: Rig):
        rig.lose_messages(lambda: rig.producer.append(rig.stream_id, 5))
        rig.producer.append(rig.stream_id)
        rig.follower.until_has(rig.reader, 7)
        rig.producer.finish(rig.stream_id)
        assert rig.follower.all_ids(rig.reader) == up_to(8)

    def test_is_noticed_though_no_event_follows(self, rig: Rig):
        rig.lose_messages(lambda: rig.producer.append(rig.stream_id, 5))
        rig.follower.until_has(rig.reader, 6)
        rig.producer.finish(rig.stream_id)
        assert rig.follower.all_ids(rig.reader) == up_to(7)

    def test_may_have_been_the_one_with_the_end(self, rig: Rig):
        rig.lose_messages(lambda: rig.producer.finish(rig.stream_id))
        assert rig.follower.all_ids(rig.reader) == up_to(2)

    def test_may_have_been_the_one_that_says_who_follows(self, rig: Rig):
        rig.producer.suspend()
        try:
            producer = rig.redis.client.get(f"sluice:{{{rig.stream_id}}}:owner").decode()
            rig.follower.leave(rig.reader)
            reader = rig.follower.follow(rig.stream_id)
            rig.redis.client.xtrim(f"sluice:inbox:{producer}", maxlen=0)
        finally:
            rig.producer.resume()
        rig.producer.append(rig.stream_id)
        rig.follower.until_has(reader, 2)
        rig.producer.finish(rig.stream_id)
        assert rig.follower.all_ids(reader) == up_to(3)


@pytest.mark.slow
class TestAFollower:
    def test_that_reads_nothing_any_more_is_told_nothing_any_more(self, rig: Rig):
        rig.follower.leave(rig.reader)
        wait_until(lambda: rig.producer.stops(rig.stream_id) == ["abandoned"])
        before = last_message(rig.redis, rig.inbox)
        rig.producer.append(rig.stream_id, 5)
        wait_until(lambda: rig.redis.client.xlen(f"sluice:{{{rig.stream_id}}}") == 6)
        # This worker is told after it is stored, so by the next one that would have been.
        rig.producer.finish(rig.stream_id)
        wait_until(lambda: rig.redis.client.xlen(f"sluice:{{{rig.stream_id}}}") == 7)
        assert last_message(rig.redis, rig.inbox) == before

    def test_keeps_a_stream_from_being_abandoned(self, rig: Rig):
        until = time.monotonic() + 3 * LEASE_SECONDS
        wait_until(lambda: time.monotonic() > until)
        assert rig.producer.stops(rig.stream_id) == []
        rig.follower.leave(rig.reader)
        wait_until(lambda: rig.producer.stops(rig.stream_id) == ["abandoned"])

    def test_that_is_killed_leaves_no_inbox(self, redis: RedisServer, pair):
        with JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as follower:
            rig = Rig(redis, pair[0], follower)
        redis.client.delete(rig.inbox)
        rig.producer.append(rig.stream_id, 5)
        rig.producer.finish(rig.stream_id)
        # An event of another stream is told after those.
        Rig(redis, *pair)
        assert not redis.client.exists(rig.inbox)


class OldProducer:
    """Stores the events of a stream as an earlier release did, which tells no worker of them."""

    def __init__(self, redis: RedisServer, stream_id: str) -> None:
        self._redis, self._stream_id = redis, stream_id
        self.execute(("XADD", "sluice:inbox:old", "*", "nudge", ""))
        self.execute(("SET", f"sluice:{{{stream_id}}}:owner", "old"))

    def append(self, number: int) -> None:
        text = event("x").replace(b"data", b"id: %d\ndata" % number, 1)
        self.execute(("XADD", f"sluice:{{{self._stream_id}}}", f"{number}-0", "e", text))

    def finish(self) -> None:
        self.execute(*keys_and_commands.finish_stream(self._stream_id, DONE, 60_000))

    def execute(self, *commands: tuple[object, ...]) -> None:
        for command in commands:
            self._redis.client.execute_command(*command)


@pytest.mark.slow
class TestAWorkerOfAnEarlierRelease:
    def test_may_produce_what_is_followed(self, redis: RedisServer, pair):
        follower = pair[1]
        stream_id = new_stream_id()
        producer = OldProducer(redis, stream_id)
        producer.append(1)
        reader = follower.follow(stream_id)
        follower.until_has(reader, 1)
        for number in range(2, 6):
            producer.append(number)
        follower.until_has(reader, 5)
        # By this it knows that the stream has readers.
        wait_until(lambda: redis.client.pttl(f"sluice:{{{stream_id}}}:readers") > 0)
        producer.finish()
        assert follower.all_ids(reader) == up_to(6)

    def test_may_follow(self, redis: RedisServer, pair):
        producer, stream_id = pair[0], new_stream_id()
        producer.create(stream_id)
        producer.append(stream_id)
        redis.client.set(f"sluice:{{{stream_id}}}:readers", "", px=60_000)
        until = time.monotonic() + 2 * LEASE_SECONDS
        wait_until(lambda: time.monotonic() > until)
        assert producer.stops(stream_id) == []
        producer.finish(stream_id)
        stream_key = f"sluice:{{{stream_id}}}"
        wait_until(lambda: redis.client.xlen(stream_key) == 2)
        ids = [id_ for id_, _ in redis.client.xread({stream_key: "0"})[0][1]]
        assert ids == [b"1-0", b"9223372036854775807-0"]


@pytest.mark.slow
def test_messages_whose_ids_go_back_after_a_failover_are_read(redis: RedisServer, pair):
    """A replica that was promoted may lack the last messages, and its clock may be behind that of its primary."""
    one, other = pair
    stream_id = new_stream_id()
    inbox = inbox_of(redis, one)
    one.create(stream_id)
    one.follow(stream_id)  # So that it is not abandoned.
    seconds, _ = redis.client.time()
    redis.client.xadd(inbox, {"lease": ""}, f"{seconds + 60}000-0")
    # What was read is removed.
    wait_until(lambda: redis.client.xlen(inbox) == 0)
    promoted = redis.client.pipeline()
    promoted.delete(inbox)
    promoted.xadd(inbox, {"lease": ""})
    promoted.pexpire(inbox, int(LEASE_SECONDS * 1000))
    promoted.execute()
    redis.client.client_kill_filter(_type="normal", skipme=True)

    def is_stopped() -> bool:
        other.stop(stream_id)
        return one.stops(stream_id) == ["stopped"]

    wait_until(is_stopped)


@pytest.mark.slow
def test_a_message_that_cannot_be_read_does_not_take_others_with_it(redis: RedisServer, pair):
    one, _ = pair
    stream_id = new_stream_id()
    inbox = inbox_of(redis, one)
    one.create(stream_id)
    one.follow(stream_id)  # So that it is not abandoned.
    messages = redis.client.pipeline()
    messages.xadd(inbox, {keys_and_commands.EVENTS: b"\xc1"})
    messages.xadd(inbox, {keys_and_commands.STOP: stream_id})
    messages.execute()
    wait_until(lambda: one.stops(stream_id) == ["stopped"])
