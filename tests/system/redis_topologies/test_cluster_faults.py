"""Commands while servers of a cluster fail."""

import time

import pytest

from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.repeated_step import RepeatedStep
from flask_sluice.stream import registry
from tests.support.redis_servers.cluster import RedisCluster, slot_of
from tests.support.server import wait_until
from tests.system.redis_topologies.counting import counted


def test_a_connection_that_was_closed_is_made_again_where_that_may_be(cluster, client, keys):
    kept = client.keep_connection(may_repeat=False)
    for connection in (client, kept):
        counted(connection, keys)
    changes = client.health.server_changes
    cluster.nodes[1].client.client_kill_filter(_type="normal", skipme=True)
    outcomes = counted(kept, keys)
    assert [type(outcome) for outcome in outcomes] == [list, JournalUnavailableError, list]
    assert counted(kept, keys) == [[4], [3], [4]]
    assert counted(client, keys) == [[5], [4], [5]]
    assert client.health.server_changes > changes
    assert client.health.problem is None


@pytest.mark.slow
def test_a_dead_server_does_not_stop_commands_for_the_others(caplog, keys):
    caplog.set_level("INFO", "sluice.journal")
    with RedisCluster("--cluster-require-full-coverage", "no") as cluster:
        client = RedisClient(cluster.url, "sluice-test")
        kept = client.keep_connection(may_repeat=False)
        counted(kept, keys)
        dead = cluster.nodes[0]
        dead.kill()
        for connection in (client, kept, client):
            bad, *good = counted(connection, keys)
            assert isinstance(bad, JournalUnavailableError)
            with pytest.raises(JournalUnavailableError) as refused:
                connection.execute(*(("INCR", key) for key in keys))
            assert str(dead.port) in refused.value.reason
        assert good == [[6], [6]]
        assert client.execute(*(("GET", key) for key in keys[1:])) == [b"7", b"7"]
        assert client.execute(("PING",)) == [b"PONG"]
        assert client.new_connection(5).port != dead.port
        assert str(dead.port) in client.check(keys_and_commands.everything)
        dead.start()
        wait_until(lambda: client.check(keys_and_commands.everything) is None)
        assert counted(client, keys) == [[1], [8], [8]]
        assert_told_once(client, caplog, "Redis cannot be reached")
        client.close()


@pytest.mark.slow
def test_a_server_that_hangs_delays_commands_for_the_others_once(keys):
    """Only the checks wait for it again and again."""
    with RedisCluster("--cluster-require-full-coverage", "no") as cluster:
        client = RedisClient(cluster.url, "sluice-test")
        counted(client, keys)

        def check():
            client.health.wait_for_problem()
            client.check(keys_and_commands.everything)

        checks = RepeatedStep(client.turns, check, 1.0)
        hanging = cluster.nodes[0]
        hanging.suspend()
        try:
            delays = []
            ends_at = time.monotonic() + 8
            while time.monotonic() < ends_at:
                began_at = time.monotonic()
                with client.turns:
                    bad, *good = counted(client, keys)
                assert isinstance(bad, JournalUnavailableError)
                assert all(isinstance(each, list) for each in good)
                delays.append(time.monotonic() - began_at)
        finally:
            hanging.resume()
        # The one that waits does so for two seconds.
        assert sum(delay > 1.9 for delay in delays) == 1
        wait_until(lambda: isinstance(counted(client, keys)[0], list))
        checks.close()
        client.close()


def assert_told_once(client, caplog, begin):
    """Each kind of failure at most once; over new connections there may be another."""
    wait_until(
        lambda: (
            client.check(keys_and_commands.everything) is None
            and registry.redis_outages().reason is None
        )
    )
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(begin)
    assert messages[-1] in ("Redis is reached again", "Redis takes commands again")
    assert len(messages) <= 4
    assert all(message.startswith("Redis still fails: ") for message in messages[1:-1])
    assert len(set(messages)) == len(messages)


FAULTS = {
    "OOM": (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
    "NOREPLICAS": (
        ("CONFIG", "SET", "min-replicas-to-write", 1),
        ("CONFIG", "SET", "min-replicas-to-write", 0),
    ),
    "NOPERM": (("ACL", "SETUSER", "default", "-xadd"), ("ACL", "SETUSER", "default", "+xadd")),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_of_one_server_is_named_and_told_once(cluster, client, keys, caplog, code):
    caplog.set_level("INFO", "sluice.journal")
    broken, mended = FAULTS[code]
    groups = [[("XADD", key, "*", "e", ""), ("PEXPIRE", key, 60_000)] for key in keys]
    node = cluster.nodes[1]
    client.transactions(groups)
    node.client.execute_command(*broken)
    try:
        for _ in range(3):
            good, bad, other = client.transactions(groups)
            assert good[1] == other[1] == 1
            assert code in bad.reason
            assert str(node.port) in bad.reason
            assert client.health.problem == bad.reason
        assert code in client.check(keys_and_commands.everything)
    finally:
        node.client.execute_command(*mended)
    wait_until(lambda: client.check(keys_and_commands.everything) is None)
    assert [results[1] for results in client.transactions(groups)] == [1, 1, 1]
    assert_told_once(client, caplog, f"Redis refuses commands: {code}")


def test_a_slot_that_no_server_has_is_told_once(cluster, client, keys, caplog):
    caplog.set_level("INFO", "sluice.journal")
    counted(client, keys)
    slot = slot_of(keys[1])
    for node in cluster.nodes:
        # Else the others refuse commands, too.
        node.client.config_set("cluster-require-full-coverage", "no")
        node.client.execute_command("CLUSTER", "DELSLOTS", slot)
    try:
        for _ in range(3):
            good, bad, other = counted(client, keys)
            assert good == other
            assert "CLUSTERDOWN" in bad.reason
        assert "no server has 1 of the slots" in client.check(keys_and_commands.everything)
    finally:
        for node in cluster.nodes:
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.nodes[1].id)
            node.client.config_set("cluster-require-full-coverage", "yes")
    wait_until(lambda: client.check(keys_and_commands.everything) is None)
    assert counted(client, keys)[1] == [2]
    assert_told_once(client, caplog, "Redis refuses commands: CLUSTERDOWN")


def test_a_password_that_was_changed_is_told_without_it(cluster, client, keys, caplog):
    caplog.set_level("INFO", "sluice.journal")
    counted(client, keys)
    node = cluster.nodes[1]
    node.client.config_set("requirepass", "hidden")
    try:
        cluster.nodes[1].client.client_kill_filter(_type="normal", skipme=True)
        for _ in range(3):
            outcomes = counted(client, keys)
            assert isinstance(outcomes[1], JournalUnavailableError)
            assert isinstance(outcomes[0], list)
        assert "uthenticat" in client.check(keys_and_commands.everything)
    finally:
        node.client.config_set("requirepass", "")
    wait_until(lambda: client.check(keys_and_commands.everything) is None)
    assert counted(client, keys)[1] == [2]
    assert_told_once(client, caplog, "Redis cannot be reached")
    assert "hidden" not in caplog.text


@pytest.fixture
def replicated():
    with RedisCluster(replicas_each=1) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "failover"])
def test_after_a_failover_commands_go_to_the_new_master(replicated, keys, how):
    """Connections that may not repeat tell it once for each slot, and those that may count it."""
    client = RedisClient(replicated.url, "sluice-test")
    kept = client.keep_connection(may_repeat=False)
    for connection in (client, kept):
        counted(connection, keys)
    changes = client.health.server_changes
    getattr(replicated, how)(replicated.nodes[1])
    wait_until(lambda: client.check(keys_and_commands.everything) is None)
    moved = counted(kept, keys)
    assert [type(outcome) for outcome in moved] == [list, JournalUnavailableError, list]
    assert counted(kept, keys) == [[4], [3], [4]]
    assert counted(client, keys) == [[5], [4], [5]]
    assert client.health.server_changes > changes
    assert client.health.problem is None
    client.close()


@pytest.mark.slow
def test_a_server_that_does_not_answer_holds_the_others_up_once_in_a_while(keys):
    with RedisCluster("--cluster-require-full-coverage", "no", node_timeout_ms=60_000) as cluster:
        client = RedisClient(f"{cluster.url}?socket_timeout=2", "sluice-test")
        counted(client, keys)
        cluster.nodes[1].suspend()
        try:
            outcomes = counted(client, keys)
            assert outcomes[::2] == [[2], [2]]
            assert isinstance(outcomes[1], JournalUnavailableError)
            started_at = time.monotonic()
            assert counted(client, keys)[::2] == [[3], [3]]
            # It does not wait for the server that hangs once more.
            assert time.monotonic() - started_at < 2
        finally:
            cluster.nodes[1].resume()
        wait_until(lambda: client.check(keys_and_commands.everything) is None)
        assert counted(client, keys[::2]) == [[4], [4]]
        client.close()
