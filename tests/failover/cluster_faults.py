"""Faults of a cluster: of three masters with a replica each, without replicas, and of one node."""

from collections.abc import Callable, Sequence
from functools import partial

from tests.failover.faults import LARGE_EVENTS, MANY_EVENTS, RESET, Fault
from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import ClusterNode, RedisCluster, SlotMove, key_in, slot_of
from tests.support.redis_servers.cluster import SLOTS
from tests.support.server import wait_until
from tests.system.journal_worker import new_stream_id

Disturb = Callable[[RedisCluster, Scenario], None]

_TOPOLOGY = "cluster"
_IN_SYNC_SECONDS = 20


def _node_of_stream(cluster: RedisCluster, scenario: Scenario) -> ClusterNode:
    return cluster.node_of(f"{{{scenario.stream_ids[0]}}}")


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


def _promote_an_old_one(lost_events: int) -> Disturb:
    def disturb(cluster: RedisCluster, scenario: Scenario) -> None:
        """The replica, which stores what it gets, is away while the last events are written."""
        master = _node_of_stream(cluster, scenario)
        replica = cluster.replica_of(master)
        replica.terminate()
        scenario.until_produced(lost_events)
        scenario.until_all_go_on()
        master.kill()
        replica.start()
        wait_until(
            lambda: replica.role == "master" and cluster.is_served,
            _IN_SYNC_SECONDS,
            lambda: replica.log,
        )
        scenario.read_from_the_beginning()

    return disturb


def _fail_over(*how: str) -> Disturb:
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


def _kill_one_of_three(cluster: RedisCluster, scenario: Scenario) -> None:
    master = _node_of_stream(cluster, scenario)
    master.kill()
    scenario.until_problem()
    for _ in range(3):
        scenario.until_all_go_on(only=scenario.stream_ids[1:])
    assert all(worker.problem() for worker in scenario.workers)
    master.start()
    cluster.wait_until_well()


def _one_on_each_of_three() -> list[str]:
    prefix = new_stream_id()
    thirds = (range(SLOTS * number // 3, SLOTS * (number + 1) // 3) for number in range(3))
    return [key_in(slots, prefix) for slots in thirds]


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


def _on_a_node(begin: Sequence[object], end: Sequence[object]) -> Disturb:
    """Have the node that has a stream refuse commands from the one command of its administrator to the other."""

    def disturb(cluster: RedisCluster, scenario: Scenario) -> None:
        node = _node_of_stream(cluster, scenario)
        node.client.execute_command(*begin)
        scenario.until_problem()
        scenario.until_produced(20)
        node.client.execute_command(*end)

    return disturb


_SIX = partial(RedisCluster, replicas_each=1)
_THREE = partial(RedisCluster, "--cluster-require-full-coverage", "yes")
_THREE_IN_PART = partial(RedisCluster, "--cluster-require-full-coverage", "no")
_ONE = partial(RedisCluster, masters=1)
_ONE_THAT_STORES = partial(RedisCluster, "--appendonly", "yes", masters=1)

_SIX_THAT_STORE = partial(_SIX, "--appendonly", "yes")

FAULTS = [
    Fault(
        "the primary is killed, is replaced, and comes back as a replica",
        _TOPOLOGY,
        _SIX,
        _kill_and_start,
    ),
    Fault("the primary hangs, is replaced, and goes on", _TOPOLOGY, _SIX, _hang),
    Fault("a primary that works is replaced", _TOPOLOGY, _SIX, _fail_over(), problems=3),
    Fault(
        "a primary that works is replaced without being asked",
        _TOPOLOGY,
        _SIX,
        _fail_over("TAKEOVER"),
        problems=3,
    ),
    Fault(
        "a replica is promoted that lacks the last events",
        _TOPOLOGY,
        _SIX_THAT_STORE,
        _promote_an_old_one(30),
    ),
    Fault(
        "a replica is promoted that lacks more than the producer still has",
        _TOPOLOGY,
        _SIX_THAT_STORE,
        _promote_an_old_one(MANY_EVENTS),
        RESET,
        options=LARGE_EVENTS,
    ),
    Fault("the slots of streams move to other nodes", _TOPOLOGY, RedisCluster, _move_streams),
    Fault("the slots of the workers move to other nodes", _TOPOLOGY, RedisCluster, _move_inboxes),
    Fault(
        "a node without a replica is killed and comes back empty", _TOPOLOGY, _THREE, _kill_alone
    ),
    Fault(
        "a node without a replica is killed, and streams on others go on "
        "(`cluster-require-full-coverage no`)",
        _TOPOLOGY,
        _THREE_IN_PART,
        _kill_one_of_three,
        stream_ids=_one_on_each_of_three,
    ),
    Fault("a slot has no node (`CLUSTERDOWN`)", _TOPOLOGY, _THREE, _take_slots_away),
    Fault(
        "it is full (`OOM`)",
        _TOPOLOGY,
        RedisCluster,
        _on_a_node(("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
    ),
    Fault("it is killed and starts again with its data", _TOPOLOGY, _ONE_THAT_STORES, _restart),
    Fault("it is killed and starts again empty", _TOPOLOGY, _ONE, _restart),
]
