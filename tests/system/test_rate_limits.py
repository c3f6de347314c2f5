"""SLUICE_RATE_LIMIT counted in Redis, for all workers and hosts, and in memory while Redis is unreachable."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.redis_server import RedisServer
from tests.system.scripted_redis import ScriptedRedis

PATH = "/v1/chat/completions"
SHORT = post(PATH, chat(stream=False, simulator={"text": "hi"}))


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


def status(server: Server, request: bytes = SHORT) -> int:
    """Ask over a new connection, which any of the workers may accept."""
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        response.body()
        return response.status


@pytest.mark.slow
def test_all_workers_and_hosts_count_together(redis):
    settings = {"rate_limit": "10/day", "redis_url": redis.url, "workers": 2}
    with Server(**settings) as one, Server(**settings) as other:
        statuses = [status(server) for _ in range(10) for server in (one, other)]
        assert "counts for itself" not in one.log
    assert statuses.count(200) == 10
    assert statuses.count(429) == 10


def test_a_refusal_tells_when_to_retry(redis):
    with Server(rate_limit="1/hour", redis_url=redis.url) as server, server.connect() as sock:
        assert status(server) == 200
        sock.sendall(SHORT)
        response = Response(sock)
    assert response.status == 429
    assert 1 <= int(response.headers["retry-after"]) <= 7200


def test_redis_holds_no_api_key_and_forgets_the_counts(redis):
    with Server(rate_limit="9/minute", redis_url=redis.url, api_keys="secret-key-012345") as server:
        assert (
            status(server, SHORT.replace(b"\r\n", b"\r\nX-Api-Key: secret-key-012345\r\n", 1))
            == 200
        )
        names = [name for name in redis.client.scan_iter() if b"limits" in name]
        assert names
        assert b"secret" not in b"".join(names)
        assert "secret" not in server.log
        assert all(0 < redis.client.ttl(name) <= 120 for name in names)


def test_while_redis_is_down_memory_counts_and_streams_go_on(redis):
    with (
        Server(rate_limit="3/day", redis_url=redis.url) as server,
        server.connect() as sock,
    ):
        sock.sendall(post(PATH, chat(simulator={"tokens": 10_000, "itl_ms": 5})))
        response = Response(sock)
        response.until(b"data: ")
        redis.kill()
        assert [status(server) for _ in range(4)] == [200, 200, 200, 429]
        for _ in range(20):
            assert response.chunk()
        assert server.log.count("rate limits count in memory") == 1
        assert "Traceback" not in server.log
        with server.connect() as other:
            other.sendall(get("/readyz"))
            ready = Response(other)
            # Chats go on, and what does not is told.
            assert ready.status == 200
            assert "Redis cannot be reached" in ready.json()["redis"]
        redis.start()
        # Memory still allows two: the first was counted in Redis.
        wait_until(lambda: status(server) == 200)
        assert "rate limits count in Redis again" in server.log


def test_redis_that_was_never_there_is_one_warning_too():
    url = "redis://127.0.0.1:1"
    with Server(rate_limit="2/day", redis_url=url) as server:
        assert [status(server) for _ in range(3)] == [200, 200, 429]
        assert server.log.count("rate limits count in memory") == 1


@pytest.mark.slow
def test_redis_that_hangs_costs_half_a_second_now_and_then():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with Server(rate_limit="100/day", redis_url=url) as server:
            started_at = time.monotonic()
            assert status(server) == 200
            assert time.monotonic() - started_at < 2
            started_at = time.monotonic()
            assert [status(server) for _ in range(20)] == [200] * 20
            assert time.monotonic() - started_at < 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE"), "read only replica"),
        (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0), "maxmemory"),
        (
            ("ACL", "SETUSER", "default", "-@scripting"),
            ("ACL", "SETUSER", "default", "+@all"),
            "permissions",
        ),
        (
            ("CONFIG", "SET", "min-replicas-to-write", 1),
            ("CONFIG", "SET", "min-replicas-to-write", 0),
            "replicas",
        ),
    ],
    ids=["READONLY", "OOM", "NOPERM", "NOREPLICAS"],
)
def test_while_redis_refuses_to_count_memory_counts(redis, begin, end, told):
    with Server(rate_limit="3/day", redis_url=redis.url) as server:
        redis.client.execute_command(*begin)
        assert [status(server) for _ in range(4)] == [200, 200, 200, 429]
        (line,) = [
            line for line in server.log.splitlines() if "rate limits count in memory" in line
        ]
        assert told in line
        assert "Traceback" not in server.log
        redis.client.execute_command(*end)
        wait_until(lambda: status(server) == 200)
        assert server.log.count("rate limits count in Redis again") == 1


@pytest.mark.slow
def test_counting_goes_on_in_the_redis_to_which_the_address_leads_after_a_failover(tmp_path):
    """The connections are still there, and lead to what is a replica now."""
    address = tmp_path / "redis.sock"
    with RedisServer() as old, RedisServer() as new:
        address.symlink_to(old.socket)
        with Server(rate_limit="100/day", redis_url=f"unix://{address}") as server:
            assert status(server) == 200
            address.unlink()
            address.symlink_to(new.socket)
            old.client.replicaof("127.0.0.1", 1)
            wait_until(lambda: status(server) == 200 and new.client.keys("sluice:limits*"))
            assert server.log.count("rate limits count in Redis again") == 1


@pytest.mark.slow
def test_answers_of_redis_that_make_no_sense_cost_no_answer(redis):
    with (
        ScriptedRedis(redis.socket) as scripted,
        Server(rate_limit="100/day", redis_url=scripted.url) as server,
    ):
        for answer in (b"-ERR odd\r\n", b"HTTP/1.1 400\r\n\r\n", b"\xff\r\n", b"*1\r\n+x\r\n"):
            scripted.answer(answer)
            assert status(server) == 200
        assert "Traceback" not in server.log
