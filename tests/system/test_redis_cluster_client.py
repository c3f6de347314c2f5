"""Commands to a cluster: which server gets which, and what becomes of them while slots move and servers die."""

import threading
import time

import pytest

from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.servers.client import RedisClient
from tests.support.redis_servers.cluster import RedisCluster, key_in, slot_of
from tests.support.redis_servers.node import RedisNode
from tests.support.server import wait_until

THIRDS = (range(5461), range(5461, 10923), range(10923, 16384))


@pytest.fixture(scope="module")
def cluster():
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    for node in cluster.running:
        node.client.flushall()
    client = RedisClient(cluster.url, "sluice-test")
    yield client
    client.close()


@pytest.fixture
def keys():
    """One on each server."""
    return [key_in(third) for third in THIRDS]


@pytest.fixture
def move(cluster):
    """Of the slot of the first key, to the second server and back."""
    slot = slot_of(key_in(THIRDS[0]))
    source = cluster.node_of_slot(slot)
    yield cluster.move(slot, to=cluster.nodes[1])
    if cluster.node_of_slot(slot) is source:
        for node in cluster.nodes[:2]:
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
            node.client.flushall()
    else:
        cluster.move(slot, to=source).whole()


def counted(connection, keys):
    return connection.transactions([[("INCR", key)] for key in keys])


def test_each_command_goes_to_the_server_of_its_key(cluster, client, keys):
    assert client.execute(*(("SET", key, key) for key in keys)) == [b"OK"] * 3
    assert client.execute(*(("GET", key) for key in reversed(keys))) == [
        key.encode() for key in reversed(keys)
    ]
    assert [node.keys() for node in cluster.nodes] == [[key] for key in keys]


def test_groups_of_any_slots_are_executed_at_once_and_each_alone(client, keys):
    groups = [[("SET", key, 1), ("INCR", key)] for key in keys]
    groups.insert(1, [("SET", keys[0], 5), ("LPUSH", keys[0], 1)])
    groups.append([("GET", keys[2])])
    first, broken, *others, last = client.transactions(groups)
    assert [first, *others] == [[b"OK", 2]] * 3
    assert broken[0] == b"OK"
    assert "WRONGTYPE" in str(broken[1])
    assert last == [b"2"]


def test_a_slot_that_has_moved_is_found(client, keys, move):
    client.execute(("SET", keys[0], "x"))
    move.whole()
    changes = client.health.server_changes
    assert client.execute(*(("GET", key) for key in keys)) == [b"x", None, None]
    assert client.transaction(("GET", keys[0]), ("STRLEN", keys[0])) == [b"x", 1]
    assert client.health.server_changes > changes
    assert client.health.problem is None


def test_a_connection_that_may_not_repeat_tells_that_a_slot_has_moved(client, keys, move):
    kept = client.keep_connection(may_repeat=False)
    kept.execute(*(("SET", key, "x") for key in keys))
    move.whole()
    moved, *others = kept.transactions([[("APPEND", key, "y")] for key in keys])
    assert isinstance(moved, JournalUnavailableError)
    assert others == [[2], [2]]
    assert kept.transactions([[("APPEND", key, "y")] for key in keys]) == [[2], [3], [3]]
    # Operators have moved it themselves.
    assert client.health.problem is None


def test_keys_of_a_slot_that_is_moving_are_where_they_are(cluster, client, move):
    """Those that are not there yet, too; and the one at the target in its transaction."""
    there, moved, new = (f"{{{key_in(THIRDS[0])}}}:{name}" for name in ("there", "moved", "new"))
    client.execute(("SET", there, "a"), ("SET", moved, "b"))
    move.begin()
    move.move_keys(moved)
    kept = client.keep_connection(may_repeat=False)
    changes = client.health.server_changes
    for connection in (client, kept):
        assert connection.execute(("GET", there), ("GET", moved)) == [b"a", b"b"]
        groups = [[("PERSIST", key), ("STRLEN", key)] for key in (there, moved)]
        assert connection.transactions(groups) == [[0, 1], [0, 1]]
    assert kept.transaction(("SET", new, "c"), ("PEXPIRE", new, 60_000)) == [b"OK", 1]
    assert move.target.keys() == sorted((moved, new))
    assert client.health.server_changes == changes
    assert client.health.problem is None


def test_keys_that_are_on_two_servers_while_their_slot_moves_are_waited_for(client, move):
    one, other = (f"{{{key_in(THIRDS[0])}}}:{name}" for name in ("one", "other"))
    client.execute(("SET", one, "a"), ("SET", other, "b"))
    move.begin()
    move.move_keys(one)
    with pytest.raises(JournalUnavailableError) as refused:
        client.execute(("MGET", one, other))
    assert "TRYAGAIN" in refused.value.reason
    assert str(move.source.port) in refused.value.reason
    client.turns.start(move.finish)
    wait_until(lambda: _reply(client, ("MGET", one, other)) == [b"a", b"b"])


def _reply(client, command):
    try:
        return client.execute(command)[0]
    except JournalUnavailableError:
        return None


def test_all_of_each_server_is_checked_and_nothing_changed(cluster, client):
    assert client.check(keys_and_commands.everything) is None
    assert [node.keys() for node in cluster.nodes] == [[], [], []]


def test_a_connection_leads_to_the_server_of_its_key(cluster, client, keys):
    for node, key in zip(cluster.nodes, keys, strict=True):
        connection = client.new_connection(5, key)
        connection.send_command("GET", key)
        assert connection.read_response() is None
        assert connection.port == node.port
        connection.disconnect()


def test_what_is_published_reaches_subscribers_at_any_server_once(client, keys):
    connections = [client.new_connection(5, key) for key in keys]
    for connection in connections:
        connection.send_command("SUBSCRIBE", "topic")
        assert connection.read_response() == [b"subscribe", b"topic", 1]
    client.execute(*(("PUBLISH", "topic", number) for number in range(3)))
    for connection in connections:
        heard = [connection.read_response()[2] for _ in range(3)]
        assert heard == [b"0", b"1", b"2"]
        connection.disconnect()


def test_a_node_of_a_cluster_that_is_taken_for_a_single_server_is_a_problem(cluster):
    client = RedisClient(cluster.nodes[0].url, "sluice-test")
    problem = client.check(keys_and_commands.everything)
    assert "redis+cluster://" in problem
    client.close()


def test_a_single_server_that_is_taken_for_a_cluster_is_a_problem(tmp_path):
    with RedisNode() as node:
        client = RedisClient(node.url.replace("redis://", "redis+cluster://"), "sluice-test")
        with pytest.raises(JournalUnavailableError) as refused:
            client.execute(("GET", "a"))
        assert "cluster support disabled" in refused.value.reason
        assert client.check(keys_and_commands.everything)
        client.close()


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
        client.close()
    assert_told_once(caplog, "Redis cannot be reached")


def assert_told_once(caplog, begin):
    """Each kind of failure at most once; over new connections there may be another."""
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(begin)
    assert messages[-1] in ("Redis is reached again", "Redis takes commands again")
    assert len(messages) <= 4
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
    assert_told_once(caplog, f"Redis refuses commands: {code}")


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
    assert_told_once(caplog, "Redis refuses commands: CLUSTERDOWN")


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
    assert_told_once(caplog, "Redis cannot be reached")
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
        client = RedisClient(f"{cluster.url}?socket_timeout=0.5", "sluice-test")
        counted(client, keys)
        cluster.nodes[1].suspend()
        try:
            outcomes = counted(client, keys)
            assert outcomes[::2] == [[2], [2]]
            assert isinstance(outcomes[1], JournalUnavailableError)
            started_at = time.monotonic()
            assert counted(client, keys)[::2] == [[3], [3]]
            assert time.monotonic() - started_at < 0.4
        finally:
            cluster.nodes[1].resume()
        wait_until(lambda: client.check(keys_and_commands.everything) is None)
        assert counted(client, keys[::2]) == [[4], [4]]
        client.close()


@pytest.mark.parametrize(
    ("kind", "host"), [("hostname", "localhost"), ("hostname", ""), ("unknown-endpoint", "")]
)
def test_servers_are_reached_by_the_names_that_they_give_themselves(
    cluster, client, keys, kind, host
):
    """Those that say none are reached as the one that was asked."""
    for node in cluster.nodes:
        node.client.config_set("cluster-announce-hostname", host)
        node.client.config_set("cluster-preferred-endpoint-type", kind)
    try:
        wait_until(lambda: _hosts(client, keys) == [host or "127.0.0.1"] * 3)
        assert counted(client, keys) == [[1], [1], [1]]
    finally:
        for node in cluster.nodes:
            node.client.config_set("cluster-announce-hostname", "")
            node.client.config_set("cluster-preferred-endpoint-type", "ip")


def _hosts(client, keys):
    return [client.new_connection(5, key).host for key in keys]


def test_a_cluster_may_be_one_node_that_knows_no_name_of_itself(keys):
    with RedisCluster(masters=1) as cluster:
        client = RedisClient(cluster.url, "sluice-test")
        assert client.check(keys_and_commands.everything) is None
        assert counted(client, keys) == [[1], [1], [1]]
        client.close()


def test_any_node_of_a_cluster_tells_where_all_are(cluster, client, keys):
    addresses = ("127.0.0.1:1", cluster.nodes[2].address, "127.0.0.1:2")
    other = RedisClient(f"redis+cluster://{','.join(addresses)}", "sluice-test")
    assert counted(other, keys) == [[1], [1], [1]]
    assert other.health.problem is None
    other.close()


def test_an_interrupted_command_leaves_its_replies_to_no_other(client, keys):
    kept = client.keep_connection()
    kept.execute(*(("SET", key, key) for key in keys))

    class Interruption(BaseException):
        pass

    def interrupt(count):
        raise Interruption

    list(kept._servers.values())[1].read = interrupt
    with pytest.raises(Interruption):
        kept.execute(*(("GET", key) for key in keys))
    assert kept.execute(*(("STRLEN", key) for key in keys)) == [len(key) for key in keys]


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


def test_a_closed_client_has_no_connections(cluster, client, keys):
    counted(client, keys)
    client.keep_connection().execute(*(("GET", key) for key in keys))

    def names():
        return [each["name"] for node in cluster.nodes for each in node.client.client_list()]

    wait_until(lambda: names().count("sluice-test") == 6)
    client.close()
    wait_until(lambda: "sluice-test" not in names())


def test_many_threads_use_a_client_at_the_same_time(client, keys):
    def work():
        for _ in range(100):
            with client.turns:
                counted(client, keys)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(client, keys) == [[1201]] * 3
