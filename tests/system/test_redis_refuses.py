"""The gateway with a Redis that is up and refuses, as its clients and its operators see it."""

import json
import signal
import time
from collections.abc import Iterator

import pytest

from flask_sluice.sse import EventParser
from tests.failover.redis_proxy import RedisProxy
from tests.support.metrics import Metrics
from tests.support.redis_servers import RedisNode
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.redis_server import RedisServer

READONLY = ("REPLICAOF", "127.0.0.1", 1)
PRIMARY = ("REPLICAOF", "NO", "ONE")
OVER = ("Redis is reached again", "Redis takes commands again")

pytestmark = pytest.mark.slow


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


def create(server: Server, tokens: int) -> str:
    with server.connect() as sock:
        sock.sendall(post("/v1/streams", chat(simulator={"tokens": tokens, "itl_ms": 20})))
        response = Response(sock)
        assert response.status == 201
        return response.json()["url"]


def both_workers_produce(server: Server, redis: RedisServer | RedisNode) -> bool:
    """The server has to allow a client many streams: one worker may take many connections before the other takes one."""
    create(server, tokens=1000)
    return len(redis.client.keys("sluice:inbox:*")) == 2


def config_was_asked(redis: RedisServer) -> bool:
    asked = redis.client.info("commandstats").get("cmdstat_config|get", {})
    return asked.get("calls", 0) + asked.get("rejected_calls", 0) > 0


def body_of(server: Server, request: bytes) -> str:
    with server.connect() as sock:
        sock.sendall(request)
        return Response(sock).body().decode()


def test_forty_readers_get_their_whole_answers_although_redis_is_read_only_for_a_while(redis):
    with Server(redis_url=redis.url, workers=2) as server:
        url = create(server, tokens=100)
        socks = [server.connect() for _ in range(40)]
        readers = []
        for sock in socks:
            sock.sendall(get(url))
            readers.append(Response(sock))
        begun = [reader.until(b"id: 5\n") for reader in readers]
        redis.client.execute_command(*READONLY)
        wait_until(lambda: "READONLY" in body_of(server, get("/readyz")))
        began_at = time.monotonic()
        with server.connect() as sock:
            sock.sendall(post("/v1/streams", chat(simulator={"tokens": 1})))
            refused = Response(sock)
            assert refused.status == 503
            assert refused.json()["error"]["code"] == "redis_unreachable"
        assert time.monotonic() - began_at < 5
        # Answers that need no Redis are given as always.
        chat_body = body_of(server, post("/v1/chat/completions", chat(simulator={"tokens": 2})))
        assert "[DONE]" in chat_body
        redis.client.execute_command(*PRIMARY)
        for head, reader in zip(begun, readers, strict=True):
            events = EventParser().feed(head + reader.body())
            assert [int(event.id) for event in events] == list(range(1, len(events) + 1))
            assert events[-1].event == "done"
            assert json.loads(events[-1].data)["usage"]["completion_tokens"] == 100
        for sock in socks:
            sock.close()
        wait_until(lambda: "READONLY" not in body_of(server, get("/readyz")))
        lines = [line for line in server.log.splitlines() if "Redis refuses commands" in line]
        # Each worker tells what it met: that Redis ended its wait, and that it refuses to write.
        assert 1 <= len(lines) <= 4
        # It is told three seconds later than it is so, by each worker for itself.
        wait_until(lambda: any(line in server.log for line in OVER))
        assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        (RedisServer.kill, RedisServer.start, "Redis cannot be reached"),
        (
            lambda redis: redis.client.config_set("maxmemory", 1),
            lambda redis: redis.client.config_set("maxmemory", 0),
            "Redis refuses commands: OOM",
        ),
    ],
    ids=["killed", "full"],
)
def test_a_problem_with_redis_is_told_by_every_worker_once_and_is_in_readyz_and_the_metrics(
    redis, begin, end, told
):
    with Server(redis_url=redis.url, workers=2, streams_per_client=1000) as server:
        metrics = Metrics(server)
        assert metrics.value("redis_out") == 0
        wait_until(lambda: both_workers_produce(server, redis), 20)
        begin(redis)
        metrics.wait_for(1, "redis_out")
        metrics.wait_until_added(2, "redis_problems_total")
        wait_until(lambda: told in body_of(server, get("/readyz")))
        end(redis)
        metrics.wait_for(0, "redis_out")
        wait_until(lambda: told not in body_of(server, get("/readyz")))
        assert metrics.added("redis_problems_total") == 2

        def messages() -> list[str]:
            return [str(line["message"]) for line in server.logged_lines()]

        # It is told three seconds later than it is so, by each worker for itself.
        wait_until(lambda: [message in OVER for message in messages()].count(True) == 2)
        assert [message.startswith(told) for message in messages()].count(True) == 2


def test_a_redis_that_vanishes_is_told_and_holds_up_neither_readyz_nor_the_metrics():
    with (
        RedisNode() as redis,
        RedisProxy(redis.port) as proxy,
        Server(redis_url=proxy.url, workers=2, streams_per_client=1000) as server,
    ):
        metrics = Metrics(server)
        wait_until(lambda: both_workers_produce(server, redis), 20)
        proxy.swallow()
        asked_at = time.monotonic()
        assert "out: no answer" in body_of(server, get("/readyz"))
        # The commands of streams wait for two seconds, and are tried again.
        assert time.monotonic() - asked_at < 2
        metrics.wait_for(1, "redis_out")
        metrics.wait_until_added(2, "redis_problems_total")
        wait_until(lambda: "Redis cannot be reached: Timeout" in body_of(server, get("/readyz")))
        proxy.pass_on()
        metrics.wait_for(0, "redis_out")
        wait_until(lambda: '"redis":"ok"' in body_of(server, get("/readyz")).replace(" ", ""))


def test_a_worker_without_streams_sees_that_redis_is_back(redis):
    """A probe of /readyz has shown it the problem, and the next one goes to the other worker."""
    with Server(redis_url=redis.url, workers=2) as server:
        metrics = Metrics(server)
        redis.kill()
        wait_until(lambda: "cannot be reached" in body_of(server, get("/readyz")))
        metrics.wait_for(1, "redis_out")
        redis.start()
        metrics.wait_for(0, "redis_out")


@pytest.mark.parametrize("drain_seconds", [30, 1])
def test_a_worker_that_ends_waits_within_its_drain_time_for_a_redis_that_does_not_take_the_ends(
    redis, drain_seconds
):
    with Server(redis_url=redis.url, drain_seconds=drain_seconds) as server:
        (old,) = server.workers()
        url = create(server, tokens=30)
        redis.client.execute_command(*READONLY)
        wait_until(lambda: server.logged("generation ended", outcome="complete"))
        server.signal(signal.SIGHUP)
        wait_until(lambda: set(server.workers()) - {old})
        replaced_at = time.monotonic()
        if drain_seconds == 1:
            wait_until(lambda: old not in server.workers())
            assert time.monotonic() - replaced_at < 6
            return
        # Without the outage it would have ended by now.
        wait_until(lambda: time.monotonic() > replaced_at + 5)
        assert old in server.workers()
        redis.client.execute_command(*PRIMARY)
        recovered_at = time.monotonic()
        wait_until(lambda: old not in server.workers())
        assert time.monotonic() - recovered_at < 5
        events = EventParser().feed(body_of(server, get(url)).encode())
        assert events[-1].event == "done"
        assert json.loads(events[-1].data)["usage"]["completion_tokens"] == 30


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-random"])
def test_a_redis_that_may_drop_streams_is_told_at_the_start_by_one_worker(policy):
    with (
        RedisServer("--maxmemory-policy", policy) as redis,
        Server(redis_url=redis.url, workers=2) as server,
    ):
        wait_until(lambda: f"maxmemory-policy {policy}" in server.log)
        assert server.log.count("maxmemory-policy") == 1


@pytest.mark.parametrize("rights", ["noeviction", "no CONFIG"])
def test_a_redis_of_which_nothing_can_be_said_is_not_told(redis, rights):
    if rights == "no CONFIG":
        redis.client.config_set("maxmemory-policy", "volatile-lru")
        redis.client.execute_command("ACL", "SETUSER", "default", "-config")
    with Server(redis_url=redis.url) as server:
        wait_until(lambda: config_was_asked(redis))
        assert "ok" in body_of(server, get("/readyz"))
        assert "edis" not in server.log
