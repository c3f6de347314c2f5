"""What is left of streams in Redis after a fault."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import RedisCluster, SentinelServers, slot_of

pytestmark = pytest.mark.slow

_SHORT = {"history_seconds": 2.0, "abandon_seconds": 2.0, "lease_seconds": 2.0}


def _fail_over_and_move_a_slot(cluster: RedisCluster, scenario: Scenario) -> None:
    cluster.failover(cluster.node_of(f"{{{scenario.stream_ids[1]}}}"))
    slot = slot_of(f"{{{scenario.stream_ids[0]}}}")
    target = next(node for node in cluster.masters if node is not cluster.node_of_slot(slot))
    cluster.move(slot, target).whole()


def _kill_primary(servers: SentinelServers, scenario: Scenario) -> None:
    servers.kill_primary()


@pytest.mark.parametrize(
    ("make", "disturb"),
    [
        pytest.param(
            partial(RedisCluster, replicas_each=1), _fail_over_and_move_a_slot, id="cluster"
        ),
        pytest.param(SentinelServers, _kill_primary, id="Sentinel"),
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
