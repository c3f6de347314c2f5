"""What operators are told when Redis fails: once per worker, although streams, channels and rate limits each have their connections."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import pytest

from flask_sluice.extension.handed_readers import LOCATION, ChannelsReader, HandoffTickets
from tests.support.judged_streams.judgement import BEGINNINGS, ENDINGS
from tests.support.metrics import Metrics
from tests.support.redis_servers import RedisNode
from tests.support.redis_servers.cluster import RedisCluster
from tests.support.redis_servers.sentinels import SentinelServers
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

WORKERS = 2
SECRET_KEY = "a-secret-key-for-tests"

pytestmark = pytest.mark.slow


class Site:
    """A gateway with two workers, each of which has streams, channels and rate limits in Redis."""

    def __init__(self, redis_url: str) -> None:
        self._stack = ExitStack()
        self.server = Server(
            redis_url=redis_url,
            workers=WORKERS,
            rate_limit="1000000/day",
            secret_key=SECRET_KEY,
        )

    def __enter__(self) -> "Site":
        self._stack.enter_context(self.server)
        self.metrics = Metrics(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def use_in_both_workers(self, nodes: list[RedisNode]) -> None:
        """Begin streams, whose requests are counted, and readers of a channel."""
        for number in count():
            self.ask(post("/v1/streams", chat(simulator={"tokens": 3000, "itl_ms": 20})))
            self.ask(get(channel_path(f"channel-{number}")))
            keys = [key for node in nodes for key in node.client.keys("sluice:inbox:*")]
            if len(set(keys)) == WORKERS and len(channel_workers(nodes)) == WORKERS:
                return
            assert number < 50

    def ask(self, request: bytes) -> None:
        """Have a connection that stays open, and the head of the response."""
        sock = self._stack.enter_context(self.server.connect())
        sock.sendall(request)
        assert Response(sock).status in (200, 201)

    def readyz(self) -> str:
        with self.server.connect() as sock:
            sock.sendall(get("/readyz"))
            redis = Response(sock).json()["redis"]
        assert isinstance(redis, str)
        return redis

    def told(self, what: tuple[str, ...]) -> int:
        lines = [str(line["message"]) for line in self.server.logged_lines()]
        return sum(line.startswith(what) for line in lines)

    def is_over(self) -> bool:
        """Whether the log, the metrics and several answers of /readyz, which come from either worker, say so."""
        return (
            self.told(ENDINGS) == WORKERS
            and self.metrics.value("redis_out") == 0
            and {self.readyz() for _ in range(8)} == {"ok"}
        )


def channel_path(name: str) -> str:
    reader = ChannelsReader(names=(name,), expires_at=2**40, retry_ms=1000)
    return LOCATION + HandoffTickets([SECRET_KEY]).target(reader)


def channel_workers(nodes: list[RedisNode]) -> set[str]:
    connections = [each["name"] for node in nodes for each in node.client.client_list()]
    return {name for name in connections if name.startswith("sluice-channels-")}


@contextmanager
def a_site_in_use(redis_url: str, nodes: list[RedisNode]) -> Iterator[Site]:
    with Site(redis_url) as site:
        site.use_in_both_workers(nodes)
        assert site.told(BEGINNINGS) == 0
        yield site


def assert_told_once(site: Site) -> None:
    """Each worker begins and ends it once, in its log and in the metric."""
    wait_until(site.is_over, 40, lambda: site.server.log[-5000:])
    assert site.told(BEGINNINGS) == WORKERS
    assert site.metrics.added("redis_problems_total") == WORKERS
    assert "Traceback" not in site.server.log


def test_a_server_that_is_killed_and_starts_again_is_told_once_per_worker():
    with RedisNode() as node, a_site_in_use(node.url, [node]) as site:
        node.kill()
        wait_until(lambda: site.told(BEGINNINGS) == WORKERS)
        wait_until(lambda: {site.readyz() for _ in range(8)} != {"ok"})
        assert site.metrics.value("redis_out") == 1
        node.start()
        assert_told_once(site)


def test_a_server_that_hangs_is_told_once_per_worker():
    with RedisNode() as node, a_site_in_use(node.url, [node]) as site:
        node.suspend()
        try:
            wait_until(lambda: site.told(BEGINNINGS) == WORKERS)
        finally:
            node.resume()
        assert_told_once(site)


def test_a_server_that_is_killed_again_and_again_is_told_once_per_worker():
    with RedisNode() as node, a_site_in_use(node.url, [node]) as site:
        for number in range(4):
            node.kill()
            wait_until(lambda: site.told(BEGINNINGS) == WORKERS)
            node.start()
            if number < 3:
                # It is reached again, for less than three seconds.
                wait_until(lambda: len(channel_workers([node])) == WORKERS)
        assert_told_once(site)


def test_the_failover_of_a_cluster_is_told_once_per_worker():
    with (
        RedisCluster(replicas_each=1) as cluster,
        a_site_in_use(cluster.url, list(cluster.nodes)) as site,
    ):
        cluster.kill(cluster.nodes[0])
        assert_told_once(site)


def test_the_failover_of_sentinels_is_told_once_per_worker():
    with SentinelServers() as servers, a_site_in_use(servers.url, list(servers.nodes)) as site:
        servers.kill_primary()
        assert_told_once(site)


def test_a_worker_whose_streams_work_tells_what_its_channels_may_not_do():
    with RedisNode() as node, a_site_in_use(node.url, [node]) as site:
        node.client.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha")
        wait_until(lambda: "NOPERM" in site.readyz())
        wait_until(lambda: site.told(BEGINNINGS) == WORKERS)
        node.client.execute_command("ACL", "SETUSER", "default", "+@all")
        assert_told_once(site)
