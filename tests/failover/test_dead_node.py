"""What a worker does in a cluster of which a node without a replica is dead."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support.redis_servers import RedisCluster, key_in
from tests.support.redis_servers.cluster import SLOTS
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, new_stream_id

pytestmark = pytest.mark.slow

LEASE_SECONDS = 1.2
_THIRDS = [range(SLOTS * number // 3, SLOTS * (number + 1) // 3) for number in range(3)]


class Rig:
    """A worker that produces, one that reads, and a node that dies, which has not the reader's lease.

    has_lease: whether the node has the producer's
    """

    def __init__(
        self, cluster: RedisCluster, workers: list[JournalWorker], *, has_lease: bool
    ) -> None:
        self.cluster = cluster
        nodes = [cluster.node_of(inbox_of(cluster, worker)) for worker in workers]
        self.producer = workers[0]
        self.dying = next(node for node in cluster.masters if (node is nodes[0]) == has_lease)
        self.reader = next(
            worker
            for worker, node in zip(workers[1:], nodes[1:], strict=True)
            if node is not self.dying
        )

    def new_id(self, *, on_dying: bool) -> str:
        """Return an id for a stream which that node has, or another."""
        slots = next(
            third
            for third in _THIRDS
            if (self.cluster.node_of_slot(third[0]) is self.dying) == on_dying
        )
        return key_in(slots, new_stream_id())

    def create(self, *, on_dying: bool) -> str:
        stream_id = self.new_id(on_dying=on_dying)
        self.producer.create(stream_id)
        # One without events is created again whenever it is looked up.
        self.producer.append(stream_id)
        return stream_id


def inbox_of(cluster: RedisCluster, worker: JournalWorker) -> str:
    stream_id = new_stream_id()
    worker.create(stream_id)
    owner = f"sluice:{{{stream_id}}}:owner"
    worker_id = cluster.node_of(owner).client.get(owner)
    worker.finish(stream_id)
    return f"sluice:inbox:{worker_id.decode()}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster("--cluster-require-full-coverage", "no") as cluster:
        yield cluster


@pytest.fixture
def begin(cluster: RedisCluster) -> Iterator[Callable[..., Rig]]:
    workers = [JournalWorker(cluster.url, lease_seconds=LEASE_SECONDS) for _ in range(5)]
    try:
        yield partial(Rig, cluster, workers)
    finally:
        for worker in workers:
            worker.kill()
        for node in cluster.nodes:
            if not node.is_running:
                node.start()
        cluster.wait_until_well()


def until_a_producer_would_be_taken_for_dead() -> None:
    until = time.monotonic() + 4 * LEASE_SECONDS
    wait_until(lambda: time.monotonic() > until)


def assert_goes_on(rig: Rig, stream_id: str) -> None:
    until_a_producer_would_be_taken_for_dead()
    reader = rig.reader.follow(stream_id)
    until_a_producer_would_be_taken_for_dead()
    rig.producer.append(stream_id, 2)
    rig.producer.finish(stream_id)
    assert rig.reader.all_ids(reader) == [1, 2, 3, 4]
    assert rig.producer.stops(stream_id) == []


class TestAStreamOnAnotherNode:
    def test_goes_on_though_the_dead_one_had_the_lease_of_its_producer(self, begin):
        rig = begin(has_lease=True)
        stream_id = rig.create(on_dying=False)
        rig.dying.kill()
        assert_goes_on(rig, stream_id)

    def test_goes_on_though_the_dead_one_had_another_of_many_streams(self, begin):
        rig = begin(has_lease=False)
        rig.create(on_dying=True)
        for _ in range(100):
            rig.producer.create(new_stream_id())
        stream_id = rig.create(on_dying=False)
        rig.dying.kill()
        assert_goes_on(rig, stream_id)

    def test_goes_on_though_a_key_of_it_is_lost_meanwhile(self, begin):
        rig = begin(has_lease=False)
        rig.create(on_dying=True)
        stream_id = rig.create(on_dying=False)
        node = rig.cluster.node_of(f"{{{stream_id}}}")
        wait_until(lambda: node.client.xlen(f"sluice:{{{stream_id}}}") == 1)
        rig.dying.kill()
        node.client.delete(f"sluice:{{{stream_id}}}:owner")
        assert_goes_on(rig, stream_id)

    def test_goes_on_though_another_cannot_be_created_again_without_the_lease(self, begin):
        rig = begin(has_lease=True)
        lost, stream_id = rig.create(on_dying=False), rig.create(on_dying=False)
        node = rig.cluster.node_of(f"{{{lost}}}")
        wait_until(lambda: node.client.xlen(f"sluice:{{{lost}}}") == 1)
        rig.dying.kill()
        node.client.delete(f"sluice:{{{lost}}}")
        rig.producer.append(lost)
        assert_goes_on(rig, stream_id)
