"""Streams that several worker processes share, in a real Redis."""

import os
import signal
import time
from collections import Counter
from itertools import pairwise

import pytest

from tests.support import once_more
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, WorkerError
from tests.system.redis_server import RedisServer

LEASE_SECONDS = 0.8
ABANDON_SECONDS = 1
"""A reader comes within it, on a busy machine, too."""


@pytest.fixture(scope="module")
def pair(redis):
    """Two workers with the usual times. Tests must not end them."""
    with JournalWorker(redis.url) as one, JournalWorker(redis.url) as other:
        yield one, other


@pytest.fixture(scope="module")
def witnesses(redis):
    """Two workers that take others for dead soon. Tests must not end them."""
    times = {"lease_seconds": LEASE_SECONDS, "abandon_seconds": ABANDON_SECONDS}
    with JournalWorker(redis.url, **times) as one, JournalWorker(redis.url, **times) as other:
        for worker in (one, other):
            worker.problem()  # It has connected.
        yield one, other


@pytest.fixture
def start(redis):
    """Return a function that starts a worker, on this file's Redis unless another is given."""
    workers = []

    def start_(url=redis.url, **options):
        workers.append(JournalWorker(url, **options))
        return workers[-1]

    yield start_
    for worker in workers:
        worker.kill()


def up_to(last):
    return list(range(1, last + 1))


@pytest.mark.slow
@once_more.has_time
def test_does_all_that_a_journal_in_memory_does(redis):
    tests = "tests/unit/test_journal_behaviour.py"
    once_more.run_tests(tests, in_greenlets=True, JOURNAL_TEST_REDIS_URL=redis.url)


@pytest.mark.slow
class TestTwoWorkers:
    def test_have_the_same_stream(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        early = [worker.follow(stream_id) for worker in pair]
        one.append(stream_id, 50)
        one.until_has(early[0], 50)
        resumed = other.follow(stream_id, 20)
        one.append(stream_id, 950)
        one.finish(stream_id)
        assert one.all_ids(early[0]) == up_to(1001)
        assert other.all_ids(early[1]) == up_to(1001)
        assert other.all_ids(resumed) == up_to(1001)[20:]
        assert other.received(early[1]) == one.received(early[0])
        late = other.follow(stream_id, 1000)
        assert other.all_ids(late) == [1001]

    def test_lose_no_event_for_readers_that_break_off_and_come_back_at_any_moment(
        self, pair, stream_id
    ):
        one, other = pair
        one.create(stream_id)
        one.produce(stream_id, 500, 1000)
        # With few readers there are moments without any, so that the worker leaves the stream and comes back.
        other.begin("read_with_breaks", stream_id, 3, 0.1)
        one.begin("read_with_breaks", stream_id, 50, 0.5)
        for worker in pair:
            joins, failed = worker.result()
            assert joins > 10
            assert failed == []

    def test_lose_no_event_for_many_such_readers(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        one.produce(stream_id, 500, 1000)
        joins, failed = other.read_with_breaks(stream_id, 100, 0.5)
        assert joins > 200
        assert failed == []

    def test_read_at_once_a_stream_that_they_follow_only_now(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        one.create(f"{stream_id}-2")
        # The other worker waits in Redis for the first stream alone.
        first = other.follow(stream_id)
        one.append(stream_id)
        other.until_has(first, 1)
        second = other.follow(f"{stream_id}-2")
        followed_at = time.monotonic()
        one.append(f"{stream_id}-2")
        other.until_has(second, 1)
        # That wait alone would end after five seconds.
        assert time.monotonic() - followed_at < 4

    def test_refuse_an_id_that_was_never_given_out(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        with pytest.raises(WorkerError, match="InvalidEventIdError"):
            other.follow(stream_id, 1)

    def test_tell_a_reader_what_was_dropped_while_its_worker_was_away(self, start, pair, stream_id):
        one, other = start(history_bytes=20 * 1024), pair[1]
        one.create(stream_id)
        reader = other.follow(stream_id)
        one.append(stream_id)
        other.until_has(reader, 1)
        other.suspend()
        one.append(stream_id, 500, 1024)
        one.finish(stream_id)
        one.all_ids(one.follow(stream_id))
        other.resume()
        received = other.all_ids(reader)
        assert received[0] == 1
        assert received[-1] == 502
        assert "reset" in received
        for before, after in pairwise(received):
            assert "reset" in (before, after) or after == before + 1

    def test_stop_each_others_streams(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        other.stop(stream_id)
        wait_until(lambda: one.stops(stream_id) == ["stopped"])

    def test_do_nothing_to_stop_a_finished_stream(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        one.finish(stream_id)
        other.all_ids(other.follow(stream_id))
        other.stop(stream_id)
        assert one.stops(stream_id) == []

    def test_do_not_abandon_a_stream_that_the_other_reads(self, start, witnesses, stream_id):
        other, _ = witnesses
        one = start(lease_seconds=LEASE_SECONDS, abandon_seconds=ABANDON_SECONDS)
        unread = f"{stream_id}-unread"
        one.create(stream_id)
        reader = other.follow(stream_id)
        one.create(unread)
        wait_until(lambda: one.stops(unread) == ["abandoned"])
        assert one.stops(stream_id) == []
        other.leave(reader)
        wait_until(lambda: one.stops(stream_id) == ["abandoned"])

    def test_read_over_one_connection_each_whatever_they_read(self, pair, redis, stream_id):
        one, other = pair
        for number in range(20):
            one.create(f"{stream_id}-{number}")
            for _ in range(10):
                other.follow(f"{stream_id}-{number}")
        clients = [
            client for client in redis.client.client_list() if client["name"].startswith("sluice-")
        ]
        blocked = Counter(client["name"] for client in clients if client["cmd"] == "xread")
        assert len(blocked) >= 2
        assert set(blocked.values()) == {1}
        assert max(Counter(client["name"] for client in clients).values()) <= 8


@pytest.mark.slow
def test_a_worker_that_is_closed_writes_what_it_still_has(start, pair, stream_id):
    one, other = start(), pair[0]
    one.create(stream_id)
    reader = other.follow(stream_id)
    one.append(stream_id, 1000)
    one.finish(stream_id)
    one.close()
    one.kill()
    assert other.all_ids(reader) == up_to(1001)


@pytest.mark.slow
class TestDeadProducer:
    """Its worker was killed by SIGKILL, or its host is gone."""

    def test_is_told_once_to_readers_on_all_other_workers(self, start, witnesses, stream_id):
        one = start(lease_seconds=LEASE_SECONDS)
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = [(other, other.follow(stream_id)) for other in witnesses]
        for other, reader in readers:
            other.until_has(reader, 10)
        one.kill()
        killed_at = time.monotonic()
        assert [worker.all_ids(reader) for worker, reader in readers] == [up_to(11)] * 2
        # A lease, the time to the next step, and what a busy machine takes. With the usual lease of 6 s that is 8 s.
        assert time.monotonic() - killed_at < LEASE_SECONDS * 4 / 3 + 4
        for other, reader in readers:
            assert other.received(reader).endswith("id: 11\nevent: error\ndata: producer_lost\n\n")
            assert other.all_ids(other.follow(stream_id)) == up_to(11)

    def test_is_told_to_readers_that_come_later(self, redis, start, witnesses, stream_id):
        one, other = start(lease_seconds=LEASE_SECONDS), witnesses[0]
        one.create(stream_id)
        one.append(stream_id, 3)
        one.until_has(one.follow(stream_id), 3)
        owner = redis.client.get(f"sluice:{{{stream_id}}}:owner").decode()
        one.kill()
        wait_until(lambda: not redis.client.exists(f"sluice:inbox:{owner}"))
        assert other.all_ids(other.follow(stream_id, 1)) == [2, 3, 4]

    def test_that_was_only_suspended_learns_that_its_stream_has_ended(
        self, start, witnesses, stream_id
    ):
        one, other = start(lease_seconds=LEASE_SECONDS), witnesses[0]
        one.create(stream_id)
        one.append(stream_id, 3)
        at_home = one.follow(stream_id)
        one.until_has(at_home, 3)
        reader = other.follow(stream_id)
        one.suspend()
        assert other.all_ids(reader) == up_to(4)
        one.resume()
        wait_until(lambda: one.stops(stream_id) == ["lost"])
        assert one.all_ids(at_home) == up_to(4)
        assert one.append(stream_id) is False
        one.finish(stream_id)
        assert other.all_ids(other.follow(stream_id)) == up_to(4)


@pytest.mark.slow
class TestForkedWorker:
    """Its app, and so its journal, was made in its parent, as with gunicorn's preload_app."""

    @pytest.fixture(params=["made", "asked for problems", "used"])
    def forked(self, request, redis, start, stream_id):
        """A worker whose parent has used the journal or not, and the id of its process."""
        worker = start(lease_seconds=LEASE_SECONDS)
        if request.param != "made":
            assert worker.problem() is None
        if request.param == "used":
            worker.create(f"{stream_id}-before")
        return worker, worker.fork(f"{stream_id}-of-the-parent")

    def test_that_is_killed_is_told_to_readers_although_its_parent_lives(
        self, forked, witnesses, stream_id
    ):
        (worker, pid), (other, _) = forked, witnesses
        worker.create(stream_id)
        worker.append(stream_id, 10)
        reader = other.follow(stream_id)
        other.until_has(reader, 10)
        os.kill(pid, signal.SIGKILL)
        assert other.all_ids(reader) == up_to(11)
        assert other.received(reader).endswith("event: error\ndata: producer_lost\n\n")

    def test_reads_and_writes_as_any_other(self, forked, witnesses, stream_id):
        (worker, _), (other, _) = forked, witnesses
        other.create(stream_id)
        reader = worker.follow(stream_id)
        other.append(stream_id, 10)
        other.finish(stream_id)
        assert worker.all_ids(reader) == up_to(11)
        assert worker.problem() is None


@pytest.mark.slow
class TestKeys:
    def test_all_expire_when_all_workers_are_dead(self, start, stream_id):
        with RedisServer() as redis:
            one, other = start(redis.url), start(redis.url)
            for number, worker in enumerate([one, one, other]):
                worker.create(f"{stream_id}-{number}")
                worker.append(f"{stream_id}-{number}", 10)
            readers = [other.follow(f"{stream_id}-0"), other.follow(f"{stream_id}-1")]
            other.until_has(readers[0], 10)
            one.finish(f"{stream_id}-1")
            other.all_ids(readers[1])
            one.kill()
            other.kill()
            keys = {key.decode() for key in redis.client.keys("*")}
            # Three streams, of which two run; one has a reader elsewhere; and two workers.
            assert len(keys) >= 3 + 2 + 1 + 2
            assert f"sluice:{{{stream_id}-1}}:owner" not in keys
            assert [key for key in keys if redis.client.ttl(key) < 0] == []

    def test_are_none_when_all_is_over(self, start, stream_id):
        options = {"lease_seconds": 2, "history_seconds": 1, "abandon_seconds": 1}
        with RedisServer() as redis:
            one, other = start(redis.url, **options), start(redis.url, **options)
            one.create(stream_id)
            reader = other.follow(stream_id)
            one.append(stream_id, 10)
            one.finish(stream_id)
            assert other.all_ids(reader) == up_to(11)
            other.create(f"{stream_id}-2")
            one.kill()
            other.close()
            wait_until(lambda: redis.client.dbsize() == 0, 20, redis.client.keys)
