import pytest

from flask_sluice.journal.redis.servers.client import RedisClient
from tests.support.redis_servers.cluster import RedisCluster
from tests.system.redis_topologies.counting import KEYS


@pytest.fixture(scope="session")
def cluster():
    """Three masters. A test that kills one starts a cluster of its own."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    for node in cluster.nodes:
        node.client.flushall()
    client = RedisClient(cluster.url, "sluice-test")
    yield client
    client.close()


@pytest.fixture
def keys():
    """One on each server."""
    return KEYS
