"""Streams kept in Redis by several worker processes: with a real Redis, and without it."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from itertools import pairwise

import pytest

from tests.support.certificate import make_certificates
from tests.support.server import ROOT, wait_until
from tests.system.journal_worker import JournalWorker, WorkerError
from tests.system.redis_server import RedisServer

LEASE_SECONDS = 1.0
ABANDON_SECONDS = 0.8
FRAGILE_LEASE_SECONDS = 3.0


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def pair(redis):
    """Two workers with the usual times, which no test ends."""
    with JournalWorker(redis.url) as one, JournalWorker(redis.url) as other:
        yield one, other


@pytest.fixture(scope="module")
def witnesses(redis):
    """Two workers that wait only briefly for others, and that no test ends."""
    times = {"lease_seconds": LEASE_SECONDS, "abandon_seconds": ABANDON_SECONDS}
    with JournalWorker(redis.url, **times) as one, JournalWorker(redis.url, **times) as other:
        for worker in (one, other):
            worker.problem()  # It is in touch with Redis from now on.
        yield one, other


@pytest.fixture(scope="module")
def fragile_redis():
    """A Redis that tests may kill, if they start it again."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def fragile_pair(fragile_redis):
    """Two workers of that Redis."""
    times = {"lease_seconds": FRAGILE_LEASE_SECONDS}
    url = fragile_redis.url
    with JournalWorker(url, **times) as one, JournalWorker(url, **times) as other:
        yield one, other


@pytest.fixture
def start():
    """Starts a worker."""
    workers = []

    def start_(redis, **options):
        workers.append(JournalWorker(redis.url, **options))
        return workers[-1]

    yield start_
    for worker in workers:
        worker.kill()


@pytest.fixture
def stream_id():
    return uuid.uuid4().hex


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ids_of(worker, reader):
    """All that a reader gets, up to the end."""
    wait_until(lambda: worker.is_done(reader), 20, lambda: str(worker.ids(reader)[-5:]))
    return worker.ids(reader)


def until_has(worker, reader, count):
    wait_until(lambda: worker.count(reader) >= count)


def up_to(last):
    return list(range(1, last + 1))


def test_does_all_that_a_journal_in_memory_does(redis):
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [
            *(sys.executable, "-c", program, "-q", "-p", "no:cacheprovider"),
            "tests/unit/test_journal_behaviour.py",
        ],
        cwd=ROOT,
        env={**os.environ, "JOURNAL_TEST_REDIS_URL": redis.url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stdout


class TestTwoWorkers:
    def test_have_the_same_stream(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        early = [worker.follow(stream_id) for worker in pair]
        one.append(stream_id, 50)
        until_has(one, early[0], 50)
        resumed = other.follow(stream_id, 20)
        one.append(stream_id, 950)
        one.finish(stream_id)
        assert ids_of(one, early[0]) == up_to(1001)
        assert ids_of(other, early[1]) == up_to(1001)
        assert ids_of(other, resumed) == up_to(1001)[20:]
        assert other.received(early[1]) == one.received(early[0])
        late = other.follow(stream_id, 1000)
        assert ids_of(other, late) == [1001]

    def test_lose_no_event_for_readers_that_break_off_and_come_back_at_any_moment(
        self, pair, stream_id
    ):
        one, other = pair
        one.create(stream_id)
        one.produce(stream_id, 500, 1000)
        # Of few readers none may be there now and then, so that the worker leaves the stream and comes back.
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
        until_has(other, first, 1)
        second = other.follow(f"{stream_id}-2")
        followed_at = time.monotonic()
        one.append(f"{stream_id}-2")
        until_has(other, second, 1)
        # That wait alone would end after five seconds.
        assert time.monotonic() - followed_at < 4

    def test_refuse_an_id_that_was_never_given_out(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        with pytest.raises(WorkerError, match="InvalidEventIdError"):
            other.follow(stream_id, 1)

    def test_tell_a_reader_what_was_dropped_while_its_worker_was_away(
        self, redis, start, pair, stream_id
    ):
        one, other = start(redis, history_bytes=20 * 1024), pair[1]
        one.create(stream_id)
        reader = other.follow(stream_id)
        one.append(stream_id)
        until_has(other, reader, 1)
        other.suspend()
        one.append(stream_id, 500, 1024)
        one.finish(stream_id)
        ids_of(one, one.follow(stream_id))
        other.resume()
        received = ids_of(other, reader)
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
        ids_of(other, other.follow(stream_id))
        other.stop(stream_id)
        assert one.stops(stream_id) == []

    def test_do_not_abandon_a_stream_that_the_other_reads(self, redis, start, witnesses, stream_id):
        other, _ = witnesses
        one = start(redis, lease_seconds=LEASE_SECONDS, abandon_seconds=ABANDON_SECONDS)
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


class TestDeadProducer:
    """Its worker was killed: SIGKILL, or the host is gone."""

    def test_is_told_once_to_readers_on_all_other_workers(self, redis, start, witnesses, stream_id):
        one = start(redis, lease_seconds=LEASE_SECONDS)
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = [(other, other.follow(stream_id)) for other in witnesses]
        for reader in readers:
            until_has(*reader, 10)
        one.kill()
        killed_at = time.monotonic()
        assert [ids_of(*reader) for reader in readers] == [up_to(11)] * 2
        # A lease and a look, and what a busy machine takes; with the usual lease of 6 s that is 8 s.
        assert time.monotonic() - killed_at < LEASE_SECONDS * 4 / 3 + 2
        for other, reader in readers:
            assert other.received(reader).endswith("id: 11\nevent: error\ndata: producer_lost\n\n")
            assert ids_of(other, other.follow(stream_id)) == up_to(11)

    def test_is_told_to_readers_that_come_later(self, redis, start, witnesses, stream_id):
        one, other = start(redis, lease_seconds=LEASE_SECONDS), witnesses[0]
        one.create(stream_id)
        one.append(stream_id, 3)
        until_has(one, one.follow(stream_id), 3)
        owner = redis.client.get(f"sluice:{{{stream_id}}}:owner").decode()
        one.kill()
        wait_until(lambda: not redis.client.exists(f"sluice:inbox:{owner}"))
        assert ids_of(other, other.follow(stream_id, 1)) == [2, 3, 4]

    def test_that_was_only_suspended_learns_that_its_stream_has_ended(
        self, redis, start, witnesses, stream_id
    ):
        one, other = start(redis, lease_seconds=LEASE_SECONDS), witnesses[0]
        one.create(stream_id)
        one.append(stream_id, 3)
        at_home = one.follow(stream_id)
        until_has(one, at_home, 3)
        reader = other.follow(stream_id)
        one.suspend()
        assert ids_of(other, reader) == up_to(4)
        one.resume()
        wait_until(lambda: one.stops(stream_id) == ["lost"])
        assert ids_of(one, at_home) == up_to(4)
        assert one.append(stream_id) is False
        one.finish(stream_id)
        assert ids_of(other, other.follow(stream_id)) == up_to(4)


class TestRedisRestarted:
    def follow_on_both(self, pair, stream_id, count):
        """Readers on both workers, who have so many events."""
        readers = [(worker, worker.follow(stream_id)) for worker in pair]
        for worker, reader in readers:
            until_has(worker, reader, count)
        return readers

    def test_after_the_leases_have_expired_costs_no_reader_an_event(
        self, fragile_redis, fragile_pair, stream_id
    ):
        one, other = fragile_pair
        one.create(stream_id)
        one.append(stream_id, 50)
        readers = self.follow_on_both(fragile_pair, stream_id, 50)
        inboxes = fragile_redis.client.keys("sluice:inbox:*")
        fragile_redis.kill()
        killed_at = time.monotonic()
        wait_until(one.problem)
        assert "Redis cannot be reached" in other.problem()
        one.append(stream_id, 50)
        wait_until(lambda: time.monotonic() > killed_at + FRAGILE_LEASE_SECONDS)
        # The producer is the last to renew its lease; the other is not to take it for dead.
        one.suspend()
        fragile_redis.start()
        wait_until(lambda: fragile_redis.client.exists(*inboxes) == 1)
        wait_until(lambda: other.problem() is None)
        one.resume()
        one.append(stream_id, 50)
        one.finish(stream_id)
        assert [ids_of(*reader) for reader in readers] == [up_to(151)] * 2
        assert one.problem() is None
        assert ids_of(other, other.follow(stream_id)) == up_to(151)

    def test_in_mid_stream_again_and_again_costs_no_reader_an_event(
        self, fragile_redis, fragile_pair, stream_id
    ):
        one, _ = fragile_pair
        one.create(stream_id)
        readers = self.follow_on_both(fragile_pair, stream_id, 0)
        one.produce(stream_id, 600, 600)
        for _ in range(3):
            seen = one.last_id(stream_id)
            wait_until(lambda: one.last_id(stream_id) > seen + 50)  # noqa: B023
            fragile_redis.kill()
            fragile_redis.start()
        assert [ids_of(*reader) for reader in readers] == [up_to(600)] * 2

    def test_gets_back_from_the_producer_what_it_has_lost_of_the_end(
        self, fragile_redis, fragile_pair, stream_id
    ):
        one, other = fragile_pair
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = self.follow_on_both(fragile_pair, stream_id, 10)
        fragile_redis.remember()
        one.append(stream_id, 10)
        for reader in readers:
            until_has(*reader, 20)
        fragile_redis.kill()
        fragile_redis.go_back()
        fragile_redis.start()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert [ids_of(*reader) for reader in readers] == [up_to(31)] * 2
        assert ids_of(other, other.follow(stream_id)) == up_to(31)

    def test_empty_gets_back_the_streams_that_run(self, fragile_redis, fragile_pair, stream_id):
        one, other = fragile_pair
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = self.follow_on_both(fragile_pair, stream_id, 10)
        fragile_redis.kill()
        fragile_redis.go_back()
        fragile_redis.start()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert [ids_of(*reader) for reader in readers] == [up_to(21)] * 2
        assert ids_of(other, other.follow(stream_id)) == up_to(21)

    def test_too_late_ends_a_stream_with_an_error(self, fragile_redis, fragile_pair, stream_id):
        one, _ = fragile_pair
        one.create(stream_id)
        one.append(stream_id, 5)
        readers = self.follow_on_both(fragile_pair, stream_id, 5)
        fragile_redis.kill()
        assert one.append(stream_id, 3900, 1024) is True
        assert one.append(stream_id, 200, 1024) is False
        assert one.stops(stream_id) == ["lost"]
        fragile_redis.start()
        for worker, reader in readers:
            assert ids_of(worker, reader) == up_to(6)
            assert worker.received(reader).endswith("data: producer_lost\n\n")


def test_a_full_redis_leaves_no_gap(fragile_redis, fragile_pair, stream_id):
    one, other = fragile_pair
    one.create(stream_id)
    reader = other.follow(stream_id)
    one.append(stream_id, 10)
    until_has(other, reader, 10)
    fragile_redis.client.config_set("maxmemory", 1)
    one.append(stream_id, 10)
    wait_until(lambda: "maxmemory" in (one.problem() or ""))
    one.append(stream_id, 10)
    fragile_redis.client.config_set("maxmemory", 0)
    one.finish(stream_id)
    assert ids_of(other, reader) == up_to(31)


class TestKeys:
    def test_all_expire_when_nobody_is_left(self, start, stream_id):
        with RedisServer() as redis:
            one, other = start(redis), start(redis)
            for number, worker in enumerate([one, one, other]):
                worker.create(f"{stream_id}-{number}")
                worker.append(f"{stream_id}-{number}", 10)
            readers = [other.follow(f"{stream_id}-0"), other.follow(f"{stream_id}-1")]
            until_has(other, readers[0], 10)
            one.finish(f"{stream_id}-1")
            ids_of(other, readers[1])
            one.kill()
            other.kill()
            keys = {key.decode() for key in redis.client.keys("*")}
            # Three streams, of which two run; one has a reader elsewhere; and two workers.
            assert len(keys) >= 3 + 2 + 1 + 2
            assert f"sluice:{{{stream_id}-1}}:owner" not in keys
            assert [key for key in keys if redis.client.ttl(key) < 0] == []

    def test_are_none_when_all_is_over(self, start, stream_id):
        options = {"lease_seconds": 0.6, "history_seconds": 0.3, "abandon_seconds": 0.3}
        with RedisServer() as redis:
            one, other = start(redis, **options), start(redis, **options)
            one.create(stream_id)
            reader = other.follow(stream_id)
            one.append(stream_id, 10)
            one.finish(stream_id)
            assert ids_of(other, reader) == up_to(11)
            other.create(f"{stream_id}-2")
            one.kill()
            other.close()
            wait_until(lambda: redis.client.dbsize() == 0, 5, redis.client.keys)


def test_tls_and_a_password_are_part_of_the_url(tmp_path, start, stream_id):
    class Listener:
        url = ""

    certificate = make_certificates(tmp_path)["good"]
    tls = (
        *("--tls-cert-file", certificate, "--tls-key-file", certificate),
        *("--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"),
    )
    port = free_port()
    with RedisServer("--tls-port", str(port), *map(str, tls), password="pass/word"):
        Listener.url = f"rediss://:pass%2Fword@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        worker = start(Listener)
        worker.create(stream_id)
        reader = worker.follow(stream_id)
        worker.append(stream_id, 100)
        worker.finish(stream_id)
        assert ids_of(worker, reader) == up_to(101)
        Listener.url = f"rediss://:wr0ng@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        assert start(Listener).problem() == (
            "Redis cannot be reached: invalid username-password pair or user is disabled."
        )


def test_a_redis_that_is_not_there_is_named(start, redis):
    class Nowhere:
        url = "redis://:secret@127.0.0.1:1/0"

    worker = start(Nowhere)
    assert worker.problem().startswith("Redis cannot be reached: ")
    assert "127.0.0.1:1" in worker.problem()
    assert "secret" not in worker.problem()
    for act in ("create", "follow", "stop"):
        with pytest.raises(WorkerError, match="JournalUnavailableError") as refused:
            getattr(worker, act)("a")
        assert "secret" not in str(refused.value)
