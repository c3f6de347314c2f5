"""Streams kept in Redis by several worker processes: with a real Redis, and without it."""

import os
import socket
import subprocess
import sys
import time
import uuid

import pytest

from tests.support.certificate import make_certificates
from tests.support.server import ROOT, wait_until
from tests.system.journal_worker import JournalWorker, WorkerError
from tests.system.redis_server import RedisServer

LEASE_SECONDS = 0.6


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def pair(redis):
    """Two workers with the usual times."""
    with JournalWorker(redis.url) as one, JournalWorker(redis.url) as other:
        yield one, other


@pytest.fixture
def stream_id():
    return uuid.uuid4().hex


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
def fragile_redis():
    """A Redis that the test may kill."""
    with RedisServer() as server:
        yield server


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ids_of(worker, reader, timeout_seconds=20):
    """All that a reader gets, up to the end."""
    wait_until(
        lambda: worker.is_done(reader), timeout_seconds, lambda: str(worker.ids(reader)[-5:])
    )
    return worker.ids(reader)


def until_has(worker, reader, count):
    wait_until(lambda: len(worker.ids(reader)) >= count)


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

    def test_are_joined_at_any_moment_without_a_gap(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        one.produce(stream_id, 500, 1000)
        other.begin("join_at_random", stream_id, 200, 0.5)
        assert one.join_at_random(stream_id, 100, 0.5) == []
        assert other.result() == []

    def test_refuse_an_id_that_was_never_given_out(self, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        with pytest.raises(WorkerError, match="InvalidEventIdError"):
            other.follow(stream_id, 1)

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

    def test_do_not_abandon_a_stream_that_the_other_reads(self, redis, start, stream_id):
        one, other = (start(redis, abandon_seconds=0.4, lease_seconds=0.6) for _ in range(2))
        one.create(stream_id)
        reader = other.follow(stream_id)
        unread = f"{stream_id}-unread"
        one.create(unread)
        wait_until(lambda: one.stops(unread) == ["abandoned"])
        assert one.stops(stream_id) == []
        other.leave(reader)
        wait_until(lambda: one.stops(stream_id) == ["abandoned"])

    def test_read_over_one_connection_each_whatever_they_read(self, redis, start, stream_id):
        one, other = start(redis), start(redis)
        for number in range(20):
            one.create(f"{stream_id}-{number}")
            for _ in range(10):
                other.follow(f"{stream_id}-{number}")
        clients = [
            client for client in redis.client.client_list() if client["name"].startswith("sluice-")
        ]
        blocked = [client for client in clients if client["cmd"] == "xread"]
        assert len({client["name"] for client in blocked}) == len(blocked)
        for name in {client["name"] for client in blocked}:
            assert len([client for client in clients if client["name"] == name]) <= 8


class TestDeadProducer:
    """Its worker was killed: SIGKILL, or the host is gone."""

    def test_is_told_to_readers_on_other_workers(self, redis, start, stream_id):
        one, other = (start(redis, lease_seconds=LEASE_SECONDS) for _ in range(2))
        one.create(stream_id)
        one.append(stream_id, 10)
        reader = other.follow(stream_id)
        until_has(other, reader, 10)
        one.kill()
        killed_at = time.monotonic()
        assert ids_of(other, reader) == up_to(11)
        # A lease and a look; with the usual lease of 6 s that is 8 s.
        assert time.monotonic() - killed_at < LEASE_SECONDS * 4 / 3 + 1
        assert other.received(reader).endswith("id: 11\nevent: error\ndata: producer_lost\n\n")

    def test_is_told_to_readers_that_come_later(self, redis, start, stream_id):
        one, other = (start(redis, lease_seconds=LEASE_SECONDS) for _ in range(2))
        # It has been in touch with Redis for long enough to know that nobody else could not be.
        other.problem()
        one.create(stream_id)
        one.append(stream_id, 3)
        ids_before = one.follow(stream_id)
        until_has(one, ids_before, 3)
        one.kill()
        key = f"sluice:{{{stream_id}}}:owner"
        inbox = f"sluice:inbox:{redis.client.get(key).decode()}"
        wait_until(lambda: not redis.client.exists(inbox))
        assert ids_of(other, other.follow(stream_id, 1)) == [2, 3, 4]

    def test_ends_a_stream_once_however_many_see_it(self, redis, start, stream_id):
        one, *others = (start(redis, lease_seconds=LEASE_SECONDS) for _ in range(4))
        one.create(stream_id)
        one.append(stream_id, 3)
        readers = [(other, other.follow(stream_id)) for other in others]
        for other, reader in readers:
            until_has(other, reader, 3)
        one.kill()
        assert [ids_of(other, reader) for other, reader in readers] == [up_to(4)] * 3
        assert [ids_of(other, other.follow(stream_id)) for other in others] == [up_to(4)] * 3

    def test_that_was_only_suspended_learns_that_its_stream_has_ended(
        self, redis, start, stream_id
    ):
        one, other = (start(redis, lease_seconds=LEASE_SECONDS) for _ in range(2))
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
    def test_in_mid_stream_costs_no_reader_an_event(self, fragile_redis, start, stream_id):
        redis = fragile_redis
        one, other = (start(redis, lease_seconds=LEASE_SECONDS) for _ in range(2))
        one.create(stream_id)
        one.produce(stream_id, 400, 400)
        readers = [(worker, worker.follow(stream_id)) for worker in (one, other)]
        for worker, reader in readers:
            until_has(worker, reader, 50)
        redis.kill()
        wait_until(lambda: one.problem() and other.problem())
        assert "Redis cannot be reached" in one.problem()
        seen = one.last_id(stream_id)
        wait_until(lambda: one.last_id(stream_id) > seen + 50)
        redis.start()
        for worker, reader in readers:
            assert ids_of(worker, reader) == up_to(400)
        wait_until(lambda: one.problem() is None)
        assert ids_of(other, other.follow(stream_id)) == up_to(400)

    def test_again_and_again_costs_no_reader_an_event(self, fragile_redis, start, stream_id):
        redis = fragile_redis
        one, other = (start(redis) for _ in range(2))
        one.create(stream_id)
        readers = [(worker, worker.follow(stream_id)) for worker in (one, other)]
        one.produce(stream_id, 600, 400)
        for _ in range(3):
            seen = one.last_id(stream_id)
            wait_until(lambda: one.last_id(stream_id) > seen + 50)  # noqa: B023
            redis.kill()
            redis.start()
        for worker, reader in readers:
            assert ids_of(worker, reader) == up_to(600)

    def test_gets_back_from_the_producer_what_it_lost_of_the_end(
        self, fragile_redis, start, stream_id
    ):
        redis = fragile_redis
        one, other = start(redis), start(redis)
        one.create(stream_id)
        one.append(stream_id, 10)
        reader = other.follow(stream_id)
        until_has(other, reader, 10)
        redis.remember()
        one.append(stream_id, 10)
        until_has(other, reader, 20)
        redis.kill()
        redis.go_back()
        redis.start()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert ids_of(other, reader) == up_to(31)
        assert ids_of(other, other.follow(stream_id)) == up_to(31)

    def test_empty_gets_back_the_streams_that_run(self, fragile_redis, start, stream_id):
        redis = fragile_redis
        one, other = start(redis), start(redis)
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = [(worker, worker.follow(stream_id)) for worker in (one, other)]
        for worker, reader in readers:
            until_has(worker, reader, 10)
        redis.kill()
        redis.go_back()
        redis.start()
        one.append(stream_id, 10)
        one.finish(stream_id)
        for worker, reader in readers:
            assert ids_of(worker, reader) == up_to(21)
        assert ids_of(other, other.follow(stream_id)) == up_to(21)

    def test_after_too_long_ends_a_stream_with_an_error(self, fragile_redis, start, stream_id):
        redis = fragile_redis
        one, other = start(redis, history_bytes=1024 * 1024), start(redis)
        one.create(stream_id)
        one.append(stream_id, 5)
        readers = [(worker, worker.follow(stream_id)) for worker in (one, other)]
        for worker, reader in readers:
            until_has(worker, reader, 5)
        redis.kill()
        assert one.append(stream_id, 900, 1000) is True
        assert one.append(stream_id, 900, 1000) is False
        assert one.stops(stream_id) == ["lost"]
        redis.start()
        for worker, reader in readers:
            assert ids_of(worker, reader) == up_to(6)
            assert worker.received(reader).endswith("data: producer_lost\n\n")


def test_a_full_redis_leaves_no_gap(fragile_redis, start, stream_id):
    redis = fragile_redis
    one, other = start(redis), start(redis)
    one.create(stream_id)
    reader = other.follow(stream_id)
    one.append(stream_id, 10)
    until_has(other, reader, 10)
    redis.client.config_set("maxmemory", 1)
    one.append(stream_id, 10)
    wait_until(lambda: "maxmemory" in (one.problem() or ""))
    one.append(stream_id, 10)
    redis.client.config_set("maxmemory", 0)
    one.finish(stream_id)
    assert ids_of(other, reader) == up_to(31)


class TestKeys:
    def test_all_expire_when_nobody_is_left(self, fragile_redis, start, stream_id):
        redis = fragile_redis
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
        keys = redis.client.keys()
        # Three streams, of which two run; one has a reader elsewhere; and two workers.
        assert len(keys) >= 3 + 2 + 1 + 2
        assert [key for key in keys if redis.client.ttl(key) < 0] == []

    def test_are_none_when_all_is_over(self, fragile_redis, start, stream_id):
        redis = fragile_redis
        options = {"lease_seconds": 0.3, "history_seconds": 0.3, "abandon_seconds": 0.3}
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
        one, other = start(Listener), start(Listener)
        one.create(stream_id)
        reader = other.follow(stream_id)
        one.append(stream_id, 100)
        one.finish(stream_id)
        assert ids_of(other, reader) == up_to(101)
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
