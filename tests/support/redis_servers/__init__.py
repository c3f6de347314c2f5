"""Real servers for tests: one Redis, a primary with replicas and sentinels, a cluster. Each ends what it has started."""

from tests.support.redis_servers.cluster import ClusterNode, RedisCluster, key_in, slot_of
from tests.support.redis_servers.node import RedisNode
from tests.support.redis_servers.process import REDIS
from tests.support.redis_servers.sentinels import SERVICE, SentinelServers
from tests.support.redis_servers.slot_move import SlotMove

__all__ = [
    "REDIS",
    "SERVICE",
    "ClusterNode",
    "RedisCluster",
    "RedisNode",
    "SentinelServers",
    "SlotMove",
    "key_in",
    "slot_of",
]
