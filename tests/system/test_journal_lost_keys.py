"""Streams in a Redis that loses keys: it evicts them, one at a time, or was flushed."""

import random
import time
from itertools import pairwise

import pytest

from flask_sluice.journal.redis import keys_and_commands
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, WorkerError
from tests.system.redis_server import RedisServer
from tests.unit.journals import DONE, LOST

LEASE_SECONDS = 1.2


@pytest.fixture(scope="module")
def pair(redis):
    """Two workers with this file's Redis, which notice soon that another is dead."""
    with (
        JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as one,
        JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as other,
    ):
        for worker in (one, other):
            worker.problem()
        yield one, other


def up_to(last):
    return list(range(1, last + 1))


def owner_key(stream_id):
    return f"sluice:{{{stream_id}}}:owner"


def inbox_of_producer(redis, stream_id):
    return f"sluice:inbox:{redis.client.get(owner_key(stream_id)).decode()}"


KEYS = {
    "stream": lambda redis, stream_id: [f"sluice:{{{stream_id}}}"],
    "owner": lambda redis, stream_id: [owner_key(stream_id)],
    "inbox": lambda redis, stream_id: [inbox_of_producer(redis, stream_id)],
    "all inboxes": lambda redis, stream_id: redis.client.keys("sluice:inbox:*"),
    "all": lambda redis, stream_id: redis.client.keys("*"),
}


@pytest.fixture(params=KEYS)
def lose(request, redis):
    return lambda stream_id: redis.client.delete(*KEYS[request.param](redis, stream_id))


def until_it_would_be_judged(since):
    """Wait until every worker has taken a producer for dead that has written nothing since then."""
    wait_until(lambda: time.monotonic() > since + 2.5 * LEASE_SECONDS)


def assert_is_in_order(ids):
    """An event is missing only where the reader is told so."""
    assert ids
    assert ids[0] in (1, "reset")
    for before, after in pairwise(ids):
        assert "reset" in (before, after) or after == before + 1


def refusal_of(worker, stream_id):
    """Return why a worker refuses a reader for good.

    For as long as a lease after it has missed keys, as in the test before, a producer may be writing them again.
    """

    def refusal():
        with pytest.raises(WorkerError) as refused:
            worker.follow(stream_id)
        text = str(refused.value)
        return None if text.startswith("JournalUnavailableError") else text

    return wait_until(refusal)


@pytest.mark.slow
class TestAKeyOfARunningStream:
    def test_may_be_lost_without_harm_to_its_producer_and_its_readers(self, pair, stream_id, lose):
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = [(worker, worker.follow(stream_id)) for worker in pair]
        for worker, reader in readers:
            worker.until_has(reader, 10)
        assert lose(stream_id) > 0
        # The producer has nothing to add meanwhile, so that only its leases show that it lives.
        until_it_would_be_judged(time.monotonic())
        assert one.stops(stream_id) == []
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert [worker.all_ids(reader) for worker, reader in readers] == [up_to(21)] * 2
        assert other.all_ids(other.follow(stream_id)) == up_to(21)

    def test_may_be_lost_just_before_a_reader_comes_to_another_worker(self, pair, stream_id, lose):
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        other.leave(other.follow(stream_id))
        one.until_has(one.follow(stream_id), 10)
        assert lose(stream_id) > 0
        late, resumed = other.follow(stream_id), other.follow(stream_id, 7)
        until_it_would_be_judged(time.monotonic())
        assert one.stops(stream_id) == []
        one.finish(stream_id)
        assert other.all_ids(late) == up_to(11)
        assert other.all_ids(resumed) == up_to(11)[7:]

    def test_may_be_followed_while_its_producer_stores_it_again(self, redis, pair, stream_id):
        """The producer creates it first, without events. That is not a stream which has not given out so many."""
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        one.until_has(one.follow(stream_id), 10)
        key = f"sluice:{{{stream_id}}}"
        copy = redis.client.dump(key)
        redis.client.delete(key)
        redis.client.xadd(key, {"": ""}, "0-1", maxlen=0)
        reads = redis.client.info("commandstats")["cmdstat_xrevrange"]["calls"]
        other.begin("follow", stream_id, 7)
        wait_until(lambda: redis.client.info("commandstats")["cmdstat_xrevrange"]["calls"] > reads)
        redis.client.restore(key, 60_000, copy, replace=True)
        reader = other.result()
        one.finish(stream_id)
        assert other.all_ids(reader) == up_to(11)[7:]

    def test_may_be_lost_just_before_another_worker_stops_it(self, pair, stream_id, lose):
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        one.until_has(one.follow(stream_id), 10)
        lose(stream_id)
        other.stop(stream_id)
        wait_until(lambda: one.stops(stream_id) == ["stopped"])

    def test_is_told_as_a_reset_where_its_producer_does_not_have_all_of_it_any_more(
        self, redis, pair, stream_id
    ):
        one, other = pair
        one.create(stream_id)
        reader = one.follow(stream_id)
        for _ in range(10):
            one.append(stream_id, 40, 1024)
            one.until_has(reader, one.last_id(stream_id))
        redis.client.delete(f"sluice:{{{stream_id}}}")
        reader = other.follow(stream_id)
        one.finish(stream_id)
        ids = other.all_ids(reader)
        assert ids[0] == "reset"
        assert ids[-1] == 401
        assert_is_in_order(ids)

    def test_may_be_lost_again_and_again(self, redis, pair, stream_id):
        one, _ = pair
        one.create(stream_id)
        readers = [(worker, worker.follow(stream_id)) for worker in pair]
        one.produce(stream_id, 500, 100)
        while (last_id := one.last_id(stream_id)) < 500:
            redis.client.delete(random.choice([*redis.client.keys("*"), "another"]))
            wait_until(lambda: one.last_id(stream_id) > min(last_id + 3, 499))
        for worker, reader in readers:
            assert_is_in_order(worker.all_ids(reader))
            assert worker.ids(reader)[-1] == 500
            assert not worker.error(reader)

    @pytest.mark.parametrize("name", ["owner", "inbox", "all inboxes"])
    def test_does_not_keep_readers_from_being_told_that_its_producer_is_dead(
        self, redis, pair, stream_id, name
    ):
        _, other = pair
        with JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as one:
            one.create(stream_id)
            one.append(stream_id, 3)
            reader = other.follow(stream_id)
            other.until_has(reader, 3)
            keys = KEYS[name](redis, stream_id)
            one.kill()
            redis.client.delete(*keys)
            assert other.all_ids(reader) == up_to(4)
            assert other.received(reader).endswith("data: producer_lost\n\n")
            late = other.follow(stream_id)
            assert other.all_ids(late) == up_to(4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["owner", "inbox"])
def test_a_key_may_be_lost_while_the_producer_stands_still_for_less_than_a_lease(
    redis, stream_id, name
):
    """It cannot write the key again, and that it lived a moment ago shows in another one."""
    lease_seconds = 3.0
    with (
        JournalWorker(redis.url, lease_seconds=lease_seconds) as one,
        JournalWorker(redis.url, lease_seconds=lease_seconds) as other,
    ):
        one.create(stream_id)
        one.append(stream_id, 3)
        # It has seen Redis for longer than a lease by then, and so would judge others.
        other.leave(other.follow(stream_id))
        watched_since = time.monotonic()
        wait_until(lambda: time.monotonic() > watched_since + 1.1 * lease_seconds)
        inbox = inbox_of_producer(redis, stream_id)
        keys = KEYS[name](redis, stream_id)
        wait_until(lambda: redis.client.pttl(inbox) > 950 * lease_seconds)
        one.suspend()
        resume_at = time.monotonic() + 0.75 * lease_seconds
        redis.client.delete(*keys)
        reader = other.follow(stream_id)
        wait_until(lambda: time.monotonic() > resume_at)
        one.resume()
        wait_until(lambda: redis.client.exists(owner_key(stream_id), inbox) == 2)
        one.finish(stream_id)
        assert other.all_ids(reader) == up_to(4)
        assert other.received(reader).encode().endswith(DONE)


@pytest.mark.slow
def test_a_dead_producer_whose_stream_is_lost_too_is_told_to_those_who_read_it(
    redis, pair, stream_id
):
    _, other = pair
    with JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as one:
        one.create(stream_id)
        one.append(stream_id, 3)
        reader = other.follow(stream_id)
        other.until_has(reader, 3)
        one.kill()
    redis.client.flushall()
    assert other.all_ids(reader) == up_to(4)
    assert other.received(reader).endswith("data: producer_lost\n\n")
    assert "UnknownStreamError" in refusal_of(other, stream_id)


class TestAFinishedStream:
    def test_that_is_lost_is_unknown_from_then_on(self, redis, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 3)
        one.finish(stream_id)
        other.all_ids(other.follow(stream_id))
        redis.client.delete(f"sluice:{{{stream_id}}}")
        for worker in pair:
            assert "UnknownStreamError" in refusal_of(worker, stream_id)

    @pytest.mark.slow
    def test_whose_end_is_lost_ends_with_an_error(self, redis, pair, stream_id):
        """A replica that was promoted has not received the end, and the producer has forgotten the stream."""
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 3)
        keys = [f"sluice:{{{stream_id}}}", owner_key(stream_id)]
        other.until_has(other.follow(stream_id), 3)
        copies = {key: redis.client.dump(key) for key in keys}
        one.finish(stream_id)
        other.all_ids(other.follow(stream_id))
        for key, copy in copies.items():
            redis.client.restore(key, int(LEASE_SECONDS * 1000), copy, replace=True)
        redis.client.persist(keys[0])
        reader = other.follow(stream_id)
        assert other.all_ids(reader) == up_to(4)
        assert other.received(reader).endswith("data: producer_lost\n\n")


@pytest.mark.slow
def test_a_redis_that_evicts_keys_is_told_once(stream_id):
    with (
        RedisServer() as redis,
        JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as one,
    ):
        one.create(stream_id)
        for _ in range(5):
            wait_until(lambda: redis.client.keys("sluice:inbox:*"))
            redis.client.flushall()
        wait_until(lambda: redis.client.keys("sluice:inbox:*"))
        lines = [line for line in one.log() if "lost the lease" in line]
        assert len(lines) == 1


@pytest.mark.slow
def test_a_stream_that_others_have_ended_is_over_for_its_producer_too(redis, pair, stream_id):
    """They took it for dead since its keys were gone, and it has nothing to add by which it would hear of that."""
    one, _ = pair
    one.create(stream_id)
    one.append(stream_id, 3)
    reader = one.follow(stream_id)
    one.until_has(reader, 3)
    for command in keys_and_commands.finish_stream(stream_id, LOST, 60_000):
        redis.client.execute_command(*command)
    assert one.all_ids(reader) == up_to(4)
    assert one.stops(stream_id) == ["lost"]
