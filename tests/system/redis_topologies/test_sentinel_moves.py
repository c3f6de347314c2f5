"""A master that works is replaced by SENTINEL FAILOVER, and goes on as a master for eight seconds more."""

import pytest

from flask_sluice.journal.redis.keys_and_commands import stream_key
from tests.support.redis_servers.sentinels import SentinelServers
from tests.support.server import wait_until
from tests.system.journal_worker import JournalWorker, new_stream_id

pytestmark = pytest.mark.slow

LEASE_SECONDS = 12.0
"""A producer that stands still during a failover is not to be taken for dead."""


def test_streams_leave_a_master_that_was_replaced_while_it_still_takes_writes():
    stream_id = new_stream_id()
    key = stream_key(stream_id)
    with SentinelServers() as servers, JournalWorker(servers.url) as worker:
        worker.create(stream_id)
        reader = worker.follow(stream_id)
        worker.append(stream_id, 5)
        worker.until_has(reader, 5)
        old = servers.primary
        new = servers.failover()

        def has_left():
            worker.append(stream_id, 1)
            return new.client.xlen(key) > old.client.xlen(key)

        wait_until(has_left)
        assert old.role == "master"
        worker.finish(stream_id)
        ids = worker.all_ids(reader)
        assert ids == list(range(1, len(ids) + 1))


def test_a_reader_waits_on_a_worker_that_has_left_the_old_master_before_its_producer_has():
    stream_id = new_stream_id()
    key = stream_key(stream_id)
    with (
        SentinelServers() as servers,
        JournalWorker(servers.url, lease_seconds=LEASE_SECONDS) as one,
        JournalWorker(servers.url, lease_seconds=LEASE_SECONDS) as other,
    ):
        one.create(stream_id)
        one.append(stream_id, 10)
        before = other.follow(stream_id)
        other.until_has(before, 10)
        other.leave(before)
        one.suspend()
        try:
            new = servers.failover()
            # As if the old master had taken these since.
            lost = [entry_id for entry_id, _ in new.client.xrevrange(key, count=5)]
            assert new.client.xdel(key, *lost) == 5
            ((last, _),) = new.client.xrevrange(key, count=1)
            new.client.execute_command("XSETID", key, last)
            wait_until(lambda: has_connection_of(other, new))
            late = other.follow(stream_id, 10)
        finally:
            one.resume()
        wait_until(lambda: new.client.xlen(key) == 10)
        one.finish(stream_id)
        assert other.all_ids(late) == [11]


def has_connection_of(worker, node):
    """The other worker, which stands still, has none there."""
    worker.problem()
    return any(each["name"].startswith("sluice-") for each in node.client.client_list())
