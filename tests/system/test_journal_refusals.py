"""Streams in a Redis that is up and does not do what it is asked."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis as redis_py

from benchmarks.ports import free_port
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, WorkerError
from tests.system.redis_server import RedisServer
from tests.system.scripted_redis import ScriptedRedis

LEASE_SECONDS = 0.9
PATIENCE_SECONDS = 5 * LEASE_SECONDS
LIMIT_SECONDS = 9.0
"""In which a request is refused: two seconds for a reply, and six for a connection."""


@dataclass(frozen=True)
class Refusal:
    """A way in which a Redis that is up fails.

    begin, end: given the Redis
    told: what the log and ``problem`` say of it
    """

    name: str
    begin: Callable[[RedisServer], object]
    end: Callable[[RedisServer], object]
    told: str

    def __str__(self) -> str:
        return self.name


def configure(name: str, value: object) -> Callable[[RedisServer], object]:
    return lambda redis: redis.client.config_set(name, value)


def execute(*command: object) -> Callable[[RedisServer], object]:
    return lambda redis: redis.client.execute_command(*command)


def in_turn(*steps: Callable[[RedisServer], object]) -> Callable[[RedisServer], object]:
    def run(redis: RedisServer) -> None:
        for step in steps:
            step(redis)

    return run


def allow(*rights: str) -> Callable[[RedisServer], object]:
    return execute("ACL", "SETUSER", "default", *rights)


def fail_to_save(redis: RedisServer) -> None:
    (redis.folder / "dump.rdb" / "in the way").mkdir(parents=True, exist_ok=True)
    redis.client.config_set("save", "3600 1000000")
    redis.client.bgsave()
    wait_until(lambda: redis.client.info("persistence")["rdb_last_bgsave_status"] == "err")


def run_endless_script(redis: RedisServer) -> None:
    redis.client.config_set("busy-reply-threshold", 1)
    script = redis_py.Redis.from_url(redis.url, socket_timeout=0.1)
    with contextlib.suppress(redis_py.TimeoutError):
        script.eval("while true do end", 0)
    script.close()


def kill_script(redis: RedisServer) -> None:
    redis.client.script_kill()


KILL_CONNECTIONS = execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
ALONE = ("127.0.0.1", 1)
"""The address of a primary that is not there."""

REFUSALS = [
    Refusal(
        "a replica", execute("REPLICAOF", *ALONE), execute("REPLICAOF", "NO", "ONE"), "READONLY"
    ),
    Refusal(
        "a replica without its primary",
        in_turn(configure("replica-serve-stale-data", "no"), execute("REPLICAOF", *ALONE)),
        in_turn(execute("REPLICAOF", "NO", "ONE"), configure("replica-serve-stale-data", "yes")),
        "MASTERDOWN",
    ),
    Refusal("full", configure("maxmemory", 1), configure("maxmemory", 0), "OOM"),
    Refusal(
        "without replicas",
        configure("min-replicas-to-write", 1),
        configure("min-replicas-to-write", 0),
        "NOREPLICAS",
    ),
    Refusal("a full disk", fail_to_save, configure("save", ""), "MISCONF"),
    Refusal("no right to write", allow("-@write"), allow("+@all"), "NOPERM"),
    Refusal("no right to add", allow("-xadd"), allow("+@all"), "NOPERM"),
    Refusal("no right to read", allow("-xread", "-xrange"), allow("+@all"), "NOPERM"),
    Refusal("no right to the keys", allow("resetkeys"), allow("allkeys"), "NOPERM"),
    Refusal(
        "another password",
        in_turn(allow("resetpass", ">another"), KILL_CONNECTIONS),
        allow("nopass"),
        "Authentication required",
    ),
    Refusal(
        "too many clients",
        in_turn(configure("maxclients", 1), KILL_CONNECTIONS),
        configure("maxclients", 10_000),
        "max number of clients reached",
    ),
    Refusal("an endless script", run_endless_script, kill_script, "BUSY"),
    Refusal("silent", RedisServer.suspend, RedisServer.resume, "imeout"),
    Refusal(
        "paused for writes",
        execute("CLIENT", "PAUSE", 100_000, "WRITE"),
        execute("CLIENT", "UNPAUSE"),
        "imeout",
    ),
]


QUICK = ("READONLY", "OOM")


@pytest.fixture(scope="module")
def pair(redis: RedisServer) -> Iterator[tuple[JournalWorker, JournalWorker]]:
    """Two workers with this file's Redis."""
    with (
        JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as one,
        JournalWorker(redis.url, lease_seconds=LEASE_SECONDS) as other,
    ):
        yield one, other


def some_quickly(refusal: Refusal) -> Any:
    return pytest.param(refusal, marks=() if refusal.told in QUICK else pytest.mark.slow)


@pytest.fixture(params=map(some_quickly, REFUSALS), ids=str)
def refusal(request: pytest.FixtureRequest, redis: RedisServer) -> Iterator[Refusal]:
    yield request.param
    # A test that fails must not take the others with it.
    with contextlib.suppress(redis_py.RedisError):
        request.param.end(redis)


def up_to(last: int) -> list[int]:
    return list(range(1, last + 1))


def wait_until_well(*workers: JournalWorker) -> None:
    wait_until(lambda: [worker.problem() for worker in workers] == [None] * len(workers), 20)
    for worker in workers:
        worker.log()


def test_a_refusal_that_passes_costs_no_reader_an_event_and_two_lines_of_the_log(
    redis, pair, stream_id, refusal
):
    one, other = pair
    wait_until_well(one, other)
    one.create(stream_id)
    readers = [(worker, worker.follow(stream_id)) for worker in pair]
    one.append(stream_id, 10)
    for worker, reader in readers:
        worker.until_has(reader, 10)
    refusal.begin(redis)
    one.append(stream_id, 10)
    wait_until(lambda: all(refusal.told in (worker.problem() or "") for worker in pair), 15)
    one.append(stream_id, 10)
    refusal.end(redis)
    one.finish(stream_id)
    assert [worker.all_ids(reader) for worker, reader in readers] == [up_to(31)] * 2
    wait_until(lambda: [worker.problem() for worker in pair] == [None] * 2, 20)
    assert other.all_ids(other.follow(stream_id)) == up_to(31)
    for worker in pair:
        lines: list[str] = []

        def is_over(worker=worker, lines=lines) -> bool:
            lines.extend(line for line in worker.log() if line.startswith("Redis "))
            return lines[-1:] in (["Redis takes commands again"], ["Redis is reached again"])

        # That is told when it has been well for three seconds.
        wait_until(is_over)
        assert any(refusal.told in line for line in lines)
        # A timeout may come before the refusal, and its lease may have expired meanwhile.
        assert len(lines) <= 4, "\n".join(lines)


@pytest.mark.slow
def test_readers_are_let_go_in_time_from_a_redis_that_goes_on_refusing(
    redis, pair, stream_id, refusal
):
    one, other = pair
    wait_until_well(one, other)
    one.create(stream_id)
    readers = [(worker, worker.follow(stream_id)) for worker in pair]
    one.append(stream_id, 10)
    for worker, reader in readers:
        worker.until_has(reader, 10)
    refusal.begin(redis)
    began_at = time.monotonic()
    one.append(stream_id, 10)
    had = []
    for worker, reader in readers:
        had.append(worker.all_ids(reader))
        assert worker.error(reader) == "redis_unreachable"
    assert time.monotonic() - began_at < PATIENCE_SECONDS + LIMIT_SECONDS
    refusal.end(redis)
    one.finish(stream_id)
    # A reader that comes again goes on where it was.
    wait_until_well(one, other)
    for ids, worker in zip(had, pair, strict=True):
        # Redis may take what the producer adds, and only not give it to others.
        assert ids in (up_to(10), up_to(20))
        assert ids + worker.all_ids(worker.follow(stream_id, len(ids))) == up_to(21)


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [b"", b"+OK\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["none", "always OK", "HTTP"],
)
def test_answers_that_no_redis_gives_are_an_outage(redis, stream_id, answer):
    with (
        ScriptedRedis(redis.socket) as scripted,
        JournalWorker(scripted.url, lease_seconds=LEASE_SECONDS) as one,
        JournalWorker(scripted.url, lease_seconds=LEASE_SECONDS) as other,
    ):
        one.create(stream_id)
        readers = [(worker, worker.follow(stream_id)) for worker in (one, other)]
        one.append(stream_id, 10)
        for worker, reader in readers:
            worker.until_has(reader, 10)
        scripted.answer(answer)
        one.append(stream_id, 10)
        wait_until(lambda: all(worker.problem() for worker in (one, other)), 15)
        for worker, act in ((one, "create"), (other, "follow"), (other, "stop")):
            began_at = time.monotonic()
            with pytest.raises(WorkerError):
                getattr(worker, act)("another")
            assert time.monotonic() - began_at < LIMIT_SECONDS
        for worker, reader in readers:
            assert worker.all_ids(reader) == up_to(10)
            assert worker.error(reader) == "redis_unreachable"
        scripted.answer(None)
        one.finish(stream_id)
        wait_until(lambda: [worker.problem() for worker in (one, other)] == [None] * 2, 20)
        assert other.all_ids(other.follow(stream_id)) == up_to(21)
        for worker in (one, other):
            assert len(worker.log()) <= 10


@pytest.mark.slow
def test_a_failover_that_keeps_the_connections_costs_no_reader_an_event(tmp_path, stream_id):
    """The address leads to another Redis from now on, and the one behind the connections is its replica."""
    ports = free_port(), free_port()
    address = tmp_path / "redis.sock"
    with (
        RedisServer("--port", str(ports[0])) as old,
        RedisServer("--port", str(ports[1])) as new,
    ):
        address.symlink_to(old.socket)
        new.client.replicaof("127.0.0.1", ports[0])
        wait_until(lambda: new.client.info("replication")["master_link_status"] == "up", 20)
        with (
            JournalWorker(f"unix://{address}", lease_seconds=LEASE_SECONDS) as one,
            JournalWorker(f"unix://{address}", lease_seconds=LEASE_SECONDS) as other,
        ):
            one.create(stream_id)
            readers = [(worker, worker.follow(stream_id)) for worker in (one, other)] * 20
            one.append(stream_id, 10)
            for worker, reader in readers:
                worker.until_has(reader, 10)
            # What comes now does not reach the replica before it is promoted.
            new.client.replicaof("NO", "ONE")
            one.append(stream_id, 10)
            for worker, reader in readers:
                worker.until_has(reader, 20)
            address.unlink()
            address.symlink_to(new.socket)
            old.client.replicaof("127.0.0.1", ports[1])
            wait_until(lambda: old.client.info("replication")["master_link_status"] == "up", 20)
            one.append(stream_id, 10)
            for worker, reader in readers:
                worker.until_has(reader, 30)
            one.finish(stream_id)
            for worker, reader in readers:
                assert worker.all_ids(reader) == up_to(31)
            assert other.all_ids(other.follow(stream_id)) == up_to(31)
            assert new.client.exists(f"sluice:{{{stream_id}}}")
            wait_until(lambda: [worker.problem() for worker in (one, other)] == [None] * 2)
            # A replica that becomes one ends commands that wait (UNBLOCKED), and refuses others (READONLY).
            lines = one.log()
            assert lines[0].startswith("Redis refuses commands: ")
            assert lines[-1] in ("Redis takes commands again", "Redis is reached again")
            assert len(lines) <= 3
