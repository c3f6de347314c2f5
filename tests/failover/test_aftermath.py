"""What is there of streams in Redis, while a node is gone and after a fault is over."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import RedisCluster, SentinelServers, key_in, slot_of
from tests.support.redis_servers.cluster import SLOTS
from tests.system.journal_worker import new_stream_id

pytestmark = pytest.mark.slow

_SHORT = {"history_seconds": 2.0, "abandon_seconds": 2.0, "lease_seconds": 2.0}


def _fail_over(cluster: RedisCluster, scenario: Scenario) -> None:
    cluster.failover(cluster.node_of(f"{{{scenario.stream_ids[0]}}}"))


def _move_a_slot(cluster: RedisCluster, scenario: Scenario) -> None:
    slot = slot_of(f"{{{scenario.stream_ids[0]}}}")
    target = next(node for node in cluster.masters if node is not cluster.node_of_slot(slot))
    cluster.move(slot, target).whole()


def _kill_primary(servers: SentinelServers, scenario: Scenario) -> None:
    servers.kill_primary()


@pytest.mark.parametrize(
    ("make", "disturb"),
    [
        pytest.param(partial(RedisCluster, replicas_each=1), _fail_over, id="cluster failover"),
        pytest.param(RedisCluster, _move_a_slot, id="moved slot"),
        pytest.param(SentinelServers, _kill_primary, id="Sentinel failover"),
    ],
)
def test_no_node_has_a_key_when_all_has_expired(
    make: Callable[[], Any], disturb: Callable[[Any, Scenario], None]
):
    with make() as servers, Scenario(servers.url, **_SHORT) as scenario:
        disturb(servers, scenario)
        scenario.until_all_go_on()
        scenario.judge()
        scenario.nothing_is_left([node for node in servers.nodes if node.is_running])


def test_streams_on_other_nodes_go_on_while_a_node_without_a_replica_is_dead():
    prefix = new_stream_id()
    thirds = [range(SLOTS * number // 3, SLOTS * (number + 1) // 3) for number in range(3)]
    stream_ids = [key_in(slots, prefix) for slots in thirds]
    with (
        RedisCluster("--cluster-require-full-coverage", "no") as cluster,
        Scenario(cluster.url, stream_ids=stream_ids) as scenario,
    ):
        dead = cluster.node_of(f"{{{stream_ids[0]}}}")
        dead.kill()
        scenario.until_problem()
        for _ in range(3):
            scenario.until_all_go_on(only=stream_ids[1:])
        assert all(worker.problem() for worker in scenario.workers)
        dead.start()
        cluster.wait_until_well()
        scenario.until_all_go_on()
        judgement = scenario.judge()
        assert set(judgement.outcomes) == {"exact"}, judgement
