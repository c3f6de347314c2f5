"""What is left of streams in Redis after a fault."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import RedisCluster, SentinelServers, slot_of
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, new_stream_id

pytestmark = pytest.mark.slow


@pytest.fixture
def stream_id() -> str:
    return new_stream_id()


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


def test_a_stream_that_ends_as_sentinels_replace_its_primary_is_there_or_told_as_lost(
    stream_id: str,
):
    """The old one goes on for some seconds, and then gets the data of the new one. A worker leaves it within about one."""
    with (
        SentinelServers() as servers,
        JournalWorker(servers.url) as producer,
        JournalWorker(servers.url) as other,
    ):
        producer.create(stream_id)
        producer.append(stream_id, 10)
        reader = other.follow(stream_id)
        other.until_has(reader, 10)
        old = servers.primary
        servers.failover()
        producer.append(stream_id, 5)
        producer.finish(stream_id)
        assert other.all_ids(reader) == list(range(1, 17))
        assert old.role == "master"
        wait_until(lambda: old.role == "slave", 20)
        late = other.follow(stream_id)
        ids = other.all_ids(late)
        if ids != list(range(1, 17)):
            assert ids == list(range(1, 12))
            assert other.received(late).endswith("event: error\ndata: producer_lost\n\n")
