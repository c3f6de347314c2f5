"""SLUICE_RATE_LIMIT counted in Redis, for all workers and hosts, and in memory while Redis is unreachable."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from flask_sluice.gateway.request.rate_limits import MemoryWindow, RateLimits
from flask_sluice.gateway.request.shared_counts import COUNT, count_key
from flask_sluice.journal.redis.servers.credentials import PasswordFile
from flask_sluice.journal.redis.servers.scripts import Script
from flask_sluice.stream.errors import ApiError
from tests.support.judged_streams.judgement import BEGINNINGS, ENDINGS
from tests.support.redis_servers.cluster import RedisCluster
from tests.support.redis_servers.sentinels import SentinelServers
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


@pytest.fixture
def open_limits() -> Iterator[Callable[..., RateLimits]]:
    """Return a function that makes rate limits in this process."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(closing(RateLimits(*arguments)))


@pytest.fixture(scope="module")
def clocked() -> Iterator["ClockedScript"]:
    with RedisServer() as redis:
        yield ClockedScript(redis)


class ClockedScript:
    """The script in a real Redis, at the times that a test gives in place of the clock's."""

    def __init__(self, redis: RedisServer) -> None:
        self._client = redis.client
        clock = "redis.call('TIME')"
        assert COUNT.text.count(clock) == 1
        given = "{ARGV[#ARGV - 1], ARGV[#ARGV]}"
        self._script = Script(COUNT.text.replace(clock, given))

    def forget(self) -> None:
        self._client.flushall()

    def count(self, limits: list[tuple[int, int]], client: str, now_ms: int) -> list[int]:
        arguments = [number for amount, seconds in limits for number in (amount, seconds * 1000)]
        time_given = (now_ms // 1000, now_ms % 1000 * 1000)
        keys = [count_key(client, *limit) for limit in limits]
        command = self._script.by_text(keys, (*arguments, *time_given))
        return self._client.execute_command(*command)


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
        assert server.log.count("Redis cannot be reached") == 1
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
        wait_until(lambda: server.log.count("Redis is reached again") == 1)


@pytest.mark.slow
def test_redis_that_was_never_there_is_one_warning_too():
    url = "redis://127.0.0.1:1"
    with Server(rate_limit="2/day", redis_url=url) as server:
        assert [status(server) for _ in range(3)] == [200, 200, 429]
        assert server.log.count("Redis cannot be reached") == 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    amounts=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True),
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=60),
)
def test_redis_counts_as_memory_does(clocked, amounts, steps):
    clocked.forget()
    limits = [(amount, 2**place) for place, amount in enumerate(amounts)]
    windows = [MemoryWindow(*limit) for limit in limits]
    now_ms = 1_200_000_000_000
    for client, step in steps:
        now_ms += 125 * step  # These have no rounding errors, in either unit.
        waits = (
            (place, window.count(client, now_ms / 1000)) for place, window in enumerate(windows)
        )
        place, seconds = next(((place + 1, wait) for place, wait in waits if wait), (0, 0))
        counted_at, wait_ms = clocked.count(limits, client, now_ms)
        assert counted_at == place
        assert abs(wait_ms - 1000 * seconds) <= 1


def test_a_clock_of_redis_that_is_set_back_does_no_harm(clocked):
    clocked.forget()
    later, earlier = 1_200_000_600_000, 1_200_000_000_000
    assert clocked.count([(1, 60)], "a", later) == [0, 0]
    assert clocked.count([(1, 60)], "a", earlier) == [0, 0]
    assert clocked.count([(1, 60)], "a", earlier) == [1, 60_000]


@pytest.mark.parametrize("client", ["", "192.0.2.7", "2001:db8::/64", "0" * 32])
def test_all_counts_of_a_client_are_in_one_slot_of_a_cluster(client):
    limits = [(5, 1), (100, 3600), (1000, 86_400)]
    assert len({key_slot(count_key(client, *limit).encode()) for limit in limits}) == 1


def test_a_limit_that_is_given_twice_counts_once(redis, open_limits):
    limits = open_limits("2/minute;2 per 1 minute;2 per 60 second", redis.url)
    limits.count("a")
    limits.count("a")
    with pytest.raises(ApiError):
        limits.count("a")


@pytest.mark.measures
@pytest.mark.slow
def test_no_request_waits_longer_than_half_a_second_for_a_redis_that_stands_still(
    redis, open_limits, caplog
):
    caplog.set_level("INFO")
    limits = open_limits("1000/day", redis.url)
    limits.count("a")

    def seconds_of_a_count(_: object) -> float:
        began_at = time.monotonic()
        limits.count("a")
        return time.monotonic() - began_at

    redis.suspend()
    with ThreadPoolExecutor(20) as threads:
        waits = list(threads.map(seconds_of_a_count, range(60)))
    assert max(waits) < 1.0
    # Only those waited that came before it was known.
    assert sum(waits) < 20 * 1.0
    redis.resume()
    wait_until(lambda: "Redis is reached again" in caplog.text)
    assert caplog.text.count("Redis cannot be reached") == 1
    before = redis_count(redis)
    limits.count("a")
    assert redis_count(redis) == before + 1


def redis_count(redis: RedisServer) -> int:
    (key,) = redis.client.scan_iter("sluice:limits*")
    return int(redis.client.get(key).split()[1])


def test_the_password_may_be_in_a_file(tmp_path, open_limits, caplog):
    with RedisServer(password="in a file") as redis:
        file = tmp_path / "password"
        file.write_text("in a file\n")
        url = f"unix://{redis.socket}"
        limits = [open_limits("1/day", url, PasswordFile(str(file))) for _ in range(2)]
        limits[0].count("a")
        with pytest.raises(ApiError):
            limits[1].count("a")
        assert caplog.text == ""


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("topology", ["cluster", "sentinel"])
def test_after_a_failover_counting_goes_on_and_meanwhile_no_request_waits_for_long(
    topology, open_limits, caplog
):
    caplog.set_level("INFO")
    servers = RedisCluster(replicas_each=1) if topology == "cluster" else SentinelServers()
    with servers:
        one, other = (open_limits("1000000/day", servers.url) for _ in range(2))
        clients = [f"192.0.2.{number}" for number in range(20)]

        def count_all() -> None:
            for limits in (one, other):
                for client in clients:
                    began_at = time.monotonic()
                    limits.count(client)
                    assert time.monotonic() - began_at < 1.0

        with ThreadPoolExecutor(1) as background:
            count_all()
            if isinstance(servers, RedisCluster):
                failover = background.submit(servers.kill, servers.nodes[0])
            else:
                failover = background.submit(servers.kill_primary)
            while not failover.done():
                count_all()
            failover.result()
        wait_until(lambda: " again" in caplog.text, 20)
        lines = [record.getMessage() for record in caplog.records]
        assert [line.startswith(BEGINNINGS) for line in lines].count(True) == 1
        assert [line in ENDINGS for line in lines].count(True) == 1
        clients.append("198.51.100.1")
        count_all()
        key = count_key("198.51.100.1", 1_000_000, 86_400)
        node = servers.node_of(key) if isinstance(servers, RedisCluster) else servers.primary
        assert node.client.get(key).split()[1] == b"2"


@pytest.mark.measures
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
        (line,) = [line for line in server.log.splitlines() if "Redis refuses commands" in line]
        assert told in line
        assert "Traceback" not in server.log
        redis.client.execute_command(*end)
        wait_until(lambda: status(server) == 200)
        wait_until(lambda: server.log.count("Redis takes commands again") == 1)


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
            wait_until(lambda: server.log.count("Redis takes commands again") == 1)


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
