"""Faults of a server that is up, and refuses or forgets: alone, as a master with sentinels, or as a node of a cluster."""

from collections.abc import Callable

from flask_sluice.journal.redis.keys_and_commands import stream_key
from tests.failover.faults import RESET, Fault
from tests.failover.one_server import OneServer, StoringServer
from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import RedisCluster, RedisNode, SentinelServers
from tests.system.test_journal_refusals import REFUSALS, Refusal

_TOPOLOGY = "one server"
_LEAVE_SENTINELS = ("full", "a full disk", "no right to write", "paused for writes")
"""The others disturb what sentinels do, who then replace the master; and this one has its replicas."""
_LEAVE_CLUSTER = (
    *("without replicas", "a full disk", "no right to write", "another password"),
    *("an endless script", "paused for writes"),
)
"""The others make a node another's replica, have it replaced, or close what nodes say to each other. That it is full is among the faults of clusters."""
_TITLES = {
    "a replica": "it becomes a replica and refuses to write (`READONLY`)",
    "a replica without its primary": "it becomes a replica and refuses everything (`MASTERDOWN`)",
    "full": "it is full (`OOM`)",
    "without replicas": "it has lost its replicas (`NOREPLICAS`)",
    "a full disk": "it cannot save (`MISCONF`)",
    "no right to write": "the user's rights are taken and given back (`NOPERM`)",
    "another password": "the password is another for a while (`NOAUTH`)",
    "too many clients": "it has too many clients",
    "an endless script": "a script runs without an end (`BUSY`)",
    "silent": "it hangs",
    "paused for writes": "writes are paused",
}
"""Of the refusals that are here; other rights than that to write make no difference to readers."""

_OTHERS = 8000
_BYTES = 200


def _refuse(refusal: Refusal) -> Callable[[RedisNode, Scenario], None]:
    def disturb(server: RedisNode, scenario: Scenario) -> None:
        refusal.begin(server)
        scenario.until_problem(refusal.told)
        refusal.end(server)

    return disturb


def _refuse_as_master(refusal: Refusal) -> Callable[[SentinelServers, Scenario], None]:
    def disturb(servers: SentinelServers, scenario: Scenario) -> None:
        _refuse(refusal)(servers.primary, scenario)

    return disturb


def _refuse_as_node(refusal: Refusal) -> Callable[[RedisCluster, Scenario], None]:
    """The node has a stream."""

    def disturb(cluster: RedisCluster, scenario: Scenario) -> None:
        _refuse(refusal)(cluster.node_of(stream_key(scenario.stream_ids[0])), scenario)

    return disturb


def _load_slowly() -> StoringServer:
    return StoringServer(
        *("--loading-process-events-interval-bytes", "1024", "--key-load-delay", "200")
    )


def _load(server: StoringServer, scenario: Scenario) -> None:
    """It has more to read than our streams."""
    _fill(server, "other", _OTHERS)
    server.kill()
    server.launch()
    scenario.until_problem("loading")
    server.wait_until_it_answers()
    _empty(server)


def _evict(server: OneServer, scenario: Scenario) -> None:
    """It drops every key after ten seconds or so."""
    _fill(server, "other", _OTHERS)
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"])
    for number in range(20):
        _fill(server, f"more-{number}", 200)
        scenario.until_produced(5)
    assert server.client.info("stats")["evicted_keys"] > 2000
    server.client.config_set("maxmemory", 0)
    _empty(server)


def _fill(server: OneServer, name: str, count: int) -> None:
    """Add keys of others', that expire long after ours."""
    with server.client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"{name}-{number}", "x" * _BYTES, ex=3600)
        pipeline.execute()


def _empty(server: OneServer) -> None:
    """Remove the keys of others'."""
    for pattern in ("other-*", "more-*"):
        if keys := server.client.keys(pattern):
            server.client.delete(*keys)


FAULTS = [
    *(
        Fault(_TITLES[refusal.name], _TOPOLOGY, OneServer, _refuse(refusal))
        for refusal in REFUSALS
        if refusal.name in _TITLES
    ),
    Fault("it loads its data (`LOADING`)", _TOPOLOGY, _load_slowly, _load),
    *(
        Fault(
            f"it drops keys because it is full (`maxmemory-policy {policy}`)",
            _TOPOLOGY,
            lambda policy=policy: OneServer("--maxmemory-policy", policy),
            _evict,
            RESET,
        )
        for policy in ("allkeys-random", "allkeys-lru", "volatile-ttl")
    ),
]

OF_SENTINELS = [
    Fault(_TITLES[refusal.name], "Sentinel", SentinelServers, _refuse_as_master(refusal))
    for refusal in REFUSALS
    if refusal.name in _LEAVE_SENTINELS
]
OF_CLUSTERS = [
    Fault(_TITLES[refusal.name], "cluster", RedisCluster, _refuse_as_node(refusal))
    for refusal in REFUSALS
    if refusal.name in _LEAVE_CLUSTER
]
