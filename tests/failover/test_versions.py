"""What forty readers get from Valkey and from other releases of Redis than the system's, while these fail."""

from functools import partial

import pytest

from tests.failover.faults import Fault
from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import RedisCluster, SentinelServers, slot_of
from tests.support.redis_servers.programs import WHEELS, program_of

# Installing the servers may wait for a registry.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _disturb_cluster(cluster: RedisCluster, scenario: Scenario) -> None:
    stream, other = (f"{{{stream_id}}}" for stream_id in scenario.stream_ids[:2])
    cluster.failover(cluster.node_of(stream))
    scenario.until_all_go_on()
    source = cluster.node_of(other)
    target = next(node for node in cluster.masters if node is not source)
    cluster.move(slot_of(other), target).whole()


def _disturb_sentinels(servers: SentinelServers, scenario: Scenario) -> None:
    servers.kill_primary()


@pytest.mark.parametrize("version", WHEELS)
def test_readers_of_a_cluster_miss_nothing(version: str):
    make = partial(RedisCluster, replicas_each=1, program=program_of(version))
    Fault("a node is replaced, and a slot moves", version, make, _disturb_cluster).run()


def test_readers_of_what_sentinels_of_valkey_watch_miss_nothing():
    make = partial(SentinelServers, program=program_of("valkey-9"))
    Fault("the primary is killed", "valkey-9", make, _disturb_sentinels).run()
