"""Streams in a Redis that fails: killed, restarted, empty, full, or unreachable."""

import time

import pytest

from benchmarks.ports import free_port
from flask_sluice.journal.redis.keys_and_commands import (
    produce_stream,
    producer_key,
    renew_lease,
    stream_key,
)
from tests.support.certificate import make_certificates
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, WorkerError
from tests.system.redis_server import RedisServer

LEASE_SECONDS = 3.0


@pytest.fixture(scope="module")
def pair(redis):
    """Two workers with this file's Redis."""
    times = {"lease_seconds": LEASE_SECONDS}
    url = redis.url
    with JournalWorker(url, **times) as one, JournalWorker(url, **times) as other:
        yield one, other


def up_to(last):
    return list(range(1, last + 1))


def follow_on_both(pair, stream_id, count):
    """Return a reader on each worker that has received so many events."""
    readers = [(worker, worker.follow(stream_id)) for worker in pair]
    for worker, reader in readers:
        worker.until_has(reader, count)
    return readers


def assert_no_reader_misses_an_event(pair, stream_id, readers, last):
    """Look at the readers that the stream has, and at one that comes now."""
    assert [worker.all_ids(reader) for worker, reader in readers] == [up_to(last)] * 2
    _, other = pair
    assert other.all_ids(other.follow(stream_id)) == up_to(last)


class TestRedisRestarted:
    @pytest.mark.slow
    def test_after_the_leases_have_expired_costs_no_reader_an_event(self, redis, pair, stream_id):
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 50)
        readers = follow_on_both(pair, stream_id, 50)
        # A worker makes its own a moment after its first stream.
        inboxes = wait_until(
            lambda: len(keys := redis.client.keys("sluice:inbox:*")) == len(pair) and keys
        )
        redis.kill()
        killed_at = time.monotonic()
        wait_until(one.problem)
        assert "Redis cannot be reached" in other.problem()
        one.append(stream_id, 50)
        wait_until(lambda: time.monotonic() > killed_at + LEASE_SECONDS)
        # The producer is the last to renew its lease; the other worker must not take it for dead.
        one.suspend()
        redis.start()
        wait_until(lambda: redis.client.exists(*inboxes) == 1)
        wait_until(lambda: other.problem() is None)
        one.resume()
        one.append(stream_id, 50)
        one.finish(stream_id)
        assert_no_reader_misses_an_event(pair, stream_id, readers, 151)
        # A worker looks once a second whether a problem is over, and streams go on before.
        wait_until(lambda: one.problem() is None)

    def test_in_mid_stream_again_and_again_costs_no_reader_an_event(self, redis, pair, stream_id):
        one, _ = pair
        one.create(stream_id)
        readers = follow_on_both(pair, stream_id, 0)
        one.produce(stream_id, 600, 600)
        for _ in range(3):
            seen = one.last_id(stream_id)
            wait_until(lambda: one.last_id(stream_id) > seen + 50)  # noqa: B023
            redis.kill()
            redis.start()
        assert [worker.all_ids(reader) for worker, reader in readers] == [up_to(600)] * 2

    def test_gets_back_from_the_producer_what_it_has_lost_of_the_end(self, redis, pair, stream_id):
        one, _ = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = follow_on_both(pair, stream_id, 10)
        redis.remember()
        one.append(stream_id, 10)
        for worker, reader in readers:
            worker.until_has(reader, 20)
        redis.kill()
        redis.go_back()
        redis.start()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert_no_reader_misses_an_event(pair, stream_id, readers, 31)

    @pytest.mark.slow
    def test_gets_back_what_it_has_lost_of_streams_that_no_failed_command_was_about(
        self, redis, pair, stream_id
    ):
        """The writer has heard of the failure from the events of another."""
        one, other = pair
        noticed, unnoticed = f"{stream_id}1", f"{stream_id}2"
        for each in (noticed, unnoticed):
            one.create(each)
            one.append(each, 5)

        def stored_id(stream_id):
            entries = redis.client.xrevrange(stream_key(stream_id), count=1)
            return int(entries[0][0].partition(b"-")[0]) if entries else 0

        wait_until(lambda: stored_id(noticed) == stored_id(unnoticed) == 5)
        redis.remember()
        one.append(unnoticed, 2)
        wait_until(lambda: stored_id(unnoticed) == 7)
        redis.kill()
        redis.go_back()
        one.append(noticed)
        redis.start()
        wait_until(lambda: stored_id(noticed) == 6)
        one.append(unnoticed)
        for each, last in ((noticed, 7), (unnoticed, 9)):
            one.finish(each)
            assert other.all_ids(other.follow(each)) == up_to(last)

    @pytest.mark.slow
    @pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "among others"])
    def test_keeps_a_reader_that_has_more_than_it_until_the_producer_has_stored_that_again(
        self, redis, pair, stream_id, is_alone
    ):
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        stored = one.follow(stream_id)
        one.until_has(stored, 10)
        redis.remember()
        one.append(stream_id, 10)
        one.until_has(stored, 20)
        before = other.follow(stream_id)
        other.until_has(before, 20)
        if is_alone:
            other.leave(before)
        # It cannot store anything again before the reader comes back.
        one.suspend()
        try:
            redis.kill()
            redis.go_back()
            redis.start()
            wait_until(lambda: other.problem() is None)
            reader = other.follow(stream_id, 15)
        finally:
            one.resume()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert other.all_ids(reader) == up_to(31)[15:]

    @pytest.mark.slow
    def test_keeps_a_reader_also_when_the_producer_takes_longer_than_a_lease(
        self, redis, pair, stream_id
    ):
        one, other = pair
        one.create(stream_id)
        producer = redis.client.get(producer_key(stream_id)).decode()
        redis.remember()
        one.append(stream_id, 20)
        wait_until(lambda: redis.client.xlen(stream_key(stream_id)) == 20)
        # It joins the stream at its last event. What was before that is read in Redis.
        before = other.follow(stream_id)
        other.until_has(before, 20)
        one.suspend()
        try:
            redis.kill()
            redis.go_back()
            redis.start()
            # The producer lives: this is how a worker says so, which waits for Redis a little before it writes again.
            minute_ms = 60_000
            for command in (
                produce_stream(stream_id, producer, minute_ms),
                *renew_lease(producer, minute_ms),
            ):
                redis.client.execute_command(*command)
            wait_until(lambda: other.problem() is None)
            reader = other.follow(stream_id, 15)
            followed_at = time.monotonic()
            wait_until(lambda: time.monotonic() > followed_at + 1.5 * LEASE_SECONDS)
        finally:
            one.resume()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert other.all_ids(reader) == up_to(31)[15:]

    @pytest.mark.slow
    def test_tells_the_loss_of_an_end_also_to_a_reader_that_has_more_of_the_stream(
        self, redis, pair, stream_id
    ):
        """The producer has forgotten the stream, since Redis had all of it."""
        one, other = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        other.until_has(other.follow(stream_id), 10)
        redis.remember()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert other.all_ids(other.follow(stream_id)) == up_to(21)
        redis.kill()
        redis.go_back()
        redis.start()
        wait_until(lambda: [worker.problem() for worker in pair] == [None] * 2)
        # One that comes before the stream is ended in the producer's place, and one that comes after that.
        for worker in (other, one):
            reader = worker.follow(stream_id, 15)
            assert worker.all_ids(reader) == [11]
            assert worker.received(reader).endswith("data: producer_lost\n\n")
        # Who has been told is not told again.
        assert other.all_ids(other.follow(stream_id, 11)) == []

    @pytest.mark.slow
    def test_tells_the_loss_of_a_dead_producer_to_a_reader_that_has_more_of_the_stream(
        self, redis, pair, stream_id
    ):
        _, other = pair
        with JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as one:
            one.create(stream_id)
            one.append(stream_id, 10)
            reader = other.follow(stream_id)
            other.until_has(reader, 10)
            redis.remember()
            one.append(stream_id, 10)
            other.until_has(reader, 20)
            other.leave(reader)
        redis.kill()
        redis.go_back()
        redis.start()
        wait_until(lambda: other.problem() is None)
        reader = other.follow(stream_id, 15)
        assert other.all_ids(reader) == [11]
        assert other.received(reader).endswith("data: producer_lost\n\n")

    def test_empty_gets_back_the_streams_that_run(self, redis, pair, stream_id):
        one, _ = pair
        one.create(stream_id)
        one.append(stream_id, 10)
        readers = follow_on_both(pair, stream_id, 10)
        redis.kill()
        redis.go_back()
        redis.start()
        one.append(stream_id, 10)
        one.finish(stream_id)
        assert_no_reader_misses_an_event(pair, stream_id, readers, 21)

    def test_too_late_ends_a_stream_with_an_error(self, redis, pair, stream_id):
        one, _ = pair
        one.create(stream_id)
        one.append(stream_id, 5)
        readers = follow_on_both(pair, stream_id, 5)
        redis.kill()
        assert one.append(stream_id, 3900, 1024) is True
        assert one.append(stream_id, 200, 1024) is False
        assert one.stops(stream_id) == ["lost"]
        redis.start()
        for worker, reader in readers:
            assert worker.all_ids(reader) == up_to(6)
            assert worker.received(reader).endswith("data: producer_lost\n\n")


def test_a_full_redis_leaves_no_gap(redis, pair, stream_id):
    one, other = pair
    one.create(stream_id)
    reader = other.follow(stream_id)
    one.append(stream_id, 10)
    other.until_has(reader, 10)
    redis.client.config_set("maxmemory", 1)
    one.append(stream_id, 10)
    wait_until(lambda: "maxmemory" in (one.problem() or ""))
    one.append(stream_id, 10)
    redis.client.config_set("maxmemory", 0)
    one.finish(stream_id)
    assert other.all_ids(reader) == up_to(31)


@pytest.mark.slow
def test_tls_and_a_password_are_part_of_the_url(tmp_path, stream_id):
    certificate = str(make_certificates(tmp_path)["good"])
    arguments = (
        *("--tls-cert-file", certificate, "--tls-key-file", certificate),
        *("--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"),
    )
    port = free_port()
    address = f"127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
    with (
        RedisServer("--tls-port", str(port), *arguments, password="pass/word"),
        JournalWorker(f"rediss://:pass%2Fword@{address}") as worker,
        JournalWorker(f"rediss://:wr0ng@{address}") as other,
    ):
        worker.create(stream_id)
        reader = worker.follow(stream_id)
        worker.append(stream_id, 100)
        worker.finish(stream_id)
        assert worker.all_ids(reader) == up_to(101)
        assert other.problem() == (
            "Redis cannot be reached: invalid username-password pair or user is disabled."
        )


def test_a_redis_that_is_not_there_is_named():
    with JournalWorker("redis://:secret@127.0.0.1:1/0") as worker:
        problem = worker.problem()
        assert problem.startswith("Redis cannot be reached: ")
        assert "127.0.0.1:1" in problem
        assert "secret" not in problem
        for act in ("create", "follow", "stop"):
            with pytest.raises(WorkerError, match="JournalUnavailableError") as refused:
                getattr(worker, act)("a")
            assert "secret" not in str(refused.value)
