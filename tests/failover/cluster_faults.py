"""Faults of a cluster: of three masters with a replica each, without replicas, and of one node."""

from collections.abc import Callable
from functools import partial

from tests.failover.faults import Fault
from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import ClusterNode, RedisCluster, SlotMove, slot_of
from tests.support.server import wait_until

_TOPOLOGY = "cluster"
_IN_SYNC_SECONDS = 20


def _node_of_stream(cluster: RedisCluster, scenario: Scenario) -> ClusterNode:
    return cluster.node_of(f"{{{scenario.stream_ids[0]}}}")


def _kill(cluster: RedisCluster, scenario: Scenario) -> None:
    cluster.kill(_node_of_stream(cluster, scenario))


def _kill_and_start(cluster: RedisCluster, scenario: Scenario) -> None:
    master = _node_of_stream(cluster, scenario)
    cluster.kill(master)
    scenario.until_all_go_on()
    master.start()
    wait_until(lambda: master.role == "slave" and master.is_in_sync, _IN_SYNC_SECONDS)


def _hang(cluster: RedisCluster, scenario: Scenario) -> None:
    master = _node_of_stream(cluster, scenario)
    replica = cluster.replica_of(master)
    master.suspend()
    wait_until(lambda: replica.role == "master", _IN_SYNC_SECONDS)
    scenario.until_produced(20)
    master.resume()
    wait_until(lambda: master.role == "slave" and master.is_in_sync, _IN_SYNC_SECONDS)


def _fail_over(*how: str) -> Callable[[RedisCluster, Scenario], None]:
    def disturb(cluster: RedisCluster, scenario: Scenario) -> None:
        """One after the other, so that the streams and the workers of each node have their turn."""
        for master in cluster.masters:
            cluster.failover(master, *how)
            scenario.until_all_go_on()

    return disturb


def _move(cluster: RedisCluster, scenario: Scenario, slots: list[int]) -> None:
    """Move slots key by key, while readers and producers go on between the steps."""
    for slot in slots:
        source = cluster.node_of_slot(slot)
        target = next(node for node in cluster.masters if node is not source)
        move = SlotMove(slot, source, target, cluster.masters).begin()
        scenario.until_all_go_on()
        for key in move.left():
            move.move_keys(key)
            # Some of a stream's keys are on the one node and some on the other: Redis answers ASK and TRYAGAIN.
            scenario.until_produced(3)
        scenario.until_all_go_on()
        move.finish()
        scenario.until_produced(5)


def _move_streams(cluster: RedisCluster, scenario: Scenario) -> None:
    _move(cluster, scenario, [slot_of(f"{{{stream}}}") for stream in scenario.stream_ids[:3]])


def _move_inboxes(cluster: RedisCluster, scenario: Scenario) -> None:
    """Of the worker that produces and of those that follow."""
    inboxes = [
        key.decode() for node in cluster.masters for key in node.client.keys("sluice:inbox:*")
    ]
    assert len(inboxes) == 3
    _move(cluster, scenario, [slot_of(inbox) for inbox in inboxes])


def _kill_alone(cluster: RedisCluster, scenario: Scenario) -> None:
    """No replica takes its place; it comes back empty after a while."""
    master = _node_of_stream(cluster, scenario)
    master.kill()
    others = cluster.running
    wait_until(lambda: all(not node.thinks_all_is_well for node in others), _IN_SYNC_SECONDS)
    scenario.until_produced(30)
    master.start()
    cluster.wait_until_well()


def _take_slots_away(cluster: RedisCluster, scenario: Scenario) -> None:
    """The cluster is down: it has slots which no node serves."""
    master = _node_of_stream(cluster, scenario)
    slot = slot_of(f"{{{scenario.stream_ids[0]}}}")
    for node in cluster.masters:
        node.client.execute_command("CLUSTER", "DELSLOTS", slot)
    wait_until(lambda: not cluster.is_served)
    scenario.until_problem()
    scenario.until_produced(30)
    master.client.execute_command("CLUSTER", "ADDSLOTS", slot)
    cluster.wait_until_well()


def _restart(cluster: RedisCluster, scenario: Scenario) -> None:
    (node,) = cluster.nodes
    node.kill()
    scenario.until_problem()
    node.start()
    cluster.wait_until_well()


_SIX = partial(RedisCluster, replicas_each=1)
_THREE = partial(RedisCluster, "--cluster-require-full-coverage", "yes")
_THREE_IN_PART = partial(RedisCluster, "--cluster-require-full-coverage", "no")
_ONE = partial(RedisCluster, masters=1)
_ONE_THAT_STORES = partial(RedisCluster, "--appendonly", "yes", masters=1)

FAULTS = [
    Fault("the primary is killed, a replica takes its place", _TOPOLOGY, _SIX, _kill),
    Fault("the primary is killed and comes back", _TOPOLOGY, _SIX, _kill_and_start),
    Fault(
        "the primary hangs, a replica takes its place, and the primary goes on",
        _TOPOLOGY,
        _SIX,
        _hang,
    ),
    Fault(
        "a replica takes the place of a primary that works",
        _TOPOLOGY,
        _SIX,
        _fail_over(),
        problems=3,
    ),
    Fault(
        "a replica takes the place of a primary that works, without asking it",
        _TOPOLOGY,
        _SIX,
        _fail_over("TAKEOVER"),
        problems=3,
    ),
    Fault("the slots of streams move to other nodes", _TOPOLOGY, RedisCluster, _move_streams),
    Fault("the slots of the workers move to other nodes", _TOPOLOGY, RedisCluster, _move_inboxes),
    Fault(
        "a node without a replica is killed and comes back empty", _TOPOLOGY, _THREE, _kill_alone
    ),
    Fault(
        "the same with `cluster-require-full-coverage no`", _TOPOLOGY, _THREE_IN_PART, _kill_alone
    ),
    Fault("the cluster is down (CLUSTERDOWN)", _TOPOLOGY, _THREE, _take_slots_away),
    Fault("Redis is restarted and has its data", "cluster of one node", _ONE_THAT_STORES, _restart),
    Fault("Redis is restarted and is empty", "cluster of one node", _ONE, _restart),
]
