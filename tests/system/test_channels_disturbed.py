"""Channels and presence on each kind of Redis, while servers fail and take each other's places.

Each reader gets each event once and in order or is told a reset, and none that is there is told as having left.
"""

import time

import pytest

from flask_sluice.channels.redis.keys import events_key, worker_topic
from tests.support.judged_channels.scenario import HOST_OWNERS, VICTIM, ChannelScenario
from tests.support.redis_servers.cluster import RedisCluster, slot_of
from tests.support.redis_servers.node import RedisNode
from tests.support.redis_servers.sentinels import SentinelServers
from tests.support.server import wait_until
from tests.system.redis_server import RedisServer

pytestmark = pytest.mark.slow

NAMES = ["news", "team:2", "team:3"]
"""Each is on another master of three."""


IS_HEARD = b"1"
"""What a lease says when the server that has it also has its worker's subscription."""


@pytest.fixture(scope="module")
def cluster():
    with RedisCluster(masters=3, replicas_each=1) as cluster:
        yield cluster


@pytest.fixture
def scenario(cluster):
    # The workers of the test before have been killed, and would be told as having left.
    for master in cluster.masters:
        master.client.flushall()
    with ChannelScenario(cluster.url, NAMES) as scenario:
        yield scenario


class TestACluster:
    def test_has_the_channels_of_the_tests_on_all_masters(self, cluster):
        assert len({cluster.node_of(events_key(name)).port for name in NAMES}) == 3

    def test_whose_masters_hand_over_to_their_replicas_keeps_everything(self, cluster, scenario):
        for master in cluster.masters:
            cluster.failover(master)
        scenario.until_all_go_on()
        scenario.judge(kills=False)
        assert scenario.host.resets() == 0
        assert scenario.host.log() == []

    def test_whose_slots_move_keeps_everything(self, cluster, scenario):
        for name in NAMES:
            source = cluster.node_of(events_key(name))
            target = next(master for master in cluster.masters if master is not source)
            cluster.move(slot_of(events_key(name)), target).whole()
            scenario.until_all_go_on()
        scenario.judge(kills=False)
        assert scenario.host.resets() == 0
        assert scenario.host.log() == []

    def test_in_which_the_lease_of_a_worker_moves_does_not_lose_the_worker(self, cluster, scenario):
        for lease in scenario.leases:
            source = cluster.node_of(lease)
            target = next(master for master in cluster.masters if master is not source)
            cluster.move(slot_of(lease), target).whole()
        wait_until(
            lambda: all(
                cluster.node_of(each).client.get(each) == IS_HEARD for each in scenario.leases
            ),
            15,
        )
        scenario.judge()
        assert scenario.host.log() == []

    def test_whose_master_dies_goes_on_with_its_replica(self, cluster, scenario):
        victim = cluster.node_of(events_key(NAMES[0]))
        cluster.kill(victim)
        scenario.until_all_go_on()
        scenario.judge()
        victim.start()
        cluster.wait_until_well()


def test_a_cluster_that_loses_a_master_without_a_replica_has_the_channels_of_the_others():
    with (
        RedisCluster("--cluster-require-full-coverage", "no", masters=3) as cluster,
        ChannelScenario(cluster.url, NAMES) as scenario,
    ):
        master = cluster.node_of(events_key(NAMES[0]))
        master.kill()
        scenario.until_all_go_on(NAMES[1:])
        master.start()
        scenario.until_all_go_on()
        scenario.judge(kills=False)


def test_a_cluster_of_one_node_is_like_one_server():
    with (
        RedisCluster(masters=1) as cluster,
        ChannelScenario(cluster.url, NAMES) as scenario,
    ):
        scenario.judge(leave_seconds=2)
        assert scenario.host.resets() == 0


def test_sentinels_that_replace_a_dead_primary_keep_readers_and_presence():
    with SentinelServers() as servers, ChannelScenario(servers.url, NAMES) as scenario:
        servers.kill_primary()
        scenario.until_all_go_on()
        scenario.judge()


def test_sentinels_that_replace_a_living_primary_keep_readers_and_presence():
    with SentinelServers() as servers, ChannelScenario(servers.url, NAMES) as scenario:
        primary = servers.failover()
        scenario.until_all_go_on()
        # The old one takes commands for some seconds more, which are lost. So the end of a worker may be told twice by others
        # that have not all moved yet: once on each of the two.
        wait_until(lambda: all(has_connection_of(primary, lease) for lease in scenario.leases), 30)
        scenario.judge(leave_seconds=20)


def has_connection_of(node, lease):
    """Whether the worker of this lease hears on this node what is published."""
    ((_, count),) = node.client.pubsub_numsub(worker_topic(lease.rpartition(":")[2]))
    return count > 0


class TestOneServer:
    @pytest.fixture
    def redis(self):
        with RedisNode() as redis:
            yield redis

    @pytest.fixture
    def scenario(self, redis):
        with ChannelScenario(redis.url, NAMES) as scenario:
            yield scenario

    def test_that_is_flushed_gets_its_readers_again(self, redis, scenario):
        redis.client.flushall()
        scenario.until_all_go_on()
        scenario.until_present([*HOST_OWNERS, VICTIM], 5)
        scenario.judge()

    def test_that_restarts_empty_gets_its_readers_again(self, redis, scenario):
        redis.kill()
        redis.start()
        scenario.until_all_go_on()
        scenario.judge(kills=False)

    def test_that_breaks_the_connections_which_read_loses_nothing(self, redis, scenario):
        for _ in range(3):
            redis.client.client_kill_filter(_type="pubsub")
            scenario.until_all_go_on()
        scenario.judge(kills=False)
        assert scenario.host.resets() == 0

    def test_that_does_not_answer_for_longer_than_a_lease_has_the_same_owners_afterwards(
        self, redis, scenario
    ):
        redis.suspend()
        # A black hole: what would end the leases goes on.
        time.sleep(7)
        redis.resume()
        scenario.until_all_go_on()
        scenario.judge()
        assert scenario.host.resets() == 0

    def test_that_is_full_has_the_same_owners_all_the_time(self, redis, scenario):
        redis.client.config_set("maxmemory", 1)
        wait_until(scenario.host.problems, 10)
        for lease in scenario.leases:
            redis.client.pexpire(lease, 2000)
            wait_until(lambda: redis.client.pttl(lease) > 5000)  # noqa: B023
        redis.client.config_set("maxmemory", 0)
        scenario.until_all_go_on()
        scenario.judge(kills=False)
        assert scenario.host.resets() == 0


def test_a_server_that_goes_back_to_an_earlier_state_is_a_reset_for_all_who_have_missed_an_event():
    with RedisServer() as redis, ChannelScenario(redis.url, NAMES) as scenario:
        redis.remember()
        scenario.until_all_go_on()
        redis.kill()
        redis.go_back()
        redis.start()
        scenario.until_all_go_on()
        scenario.judge(kills=False)
        assert scenario.host.resets() > 0
