"""Which server of a cluster gets which command."""

import threading

import pytest

from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.servers.client import RedisClient
from tests.support.redis_servers.cluster import RedisCluster
from tests.support.redis_servers.node import RedisNode
from tests.support.server import wait_until
from tests.system.redis_topologies.counting import counted


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


def test_a_single_server_that_is_taken_for_a_cluster_is_a_problem():
    with RedisNode() as node:
        client = RedisClient(node.url.replace("redis://", "redis+cluster://"), "sluice-test")
        with pytest.raises(JournalUnavailableError) as refused:
            client.execute(("GET", "a"))
        assert "the URL of one server begins with redis://" in refused.value.reason
        assert node.address in refused.value.reason
        assert client.check(keys_and_commands.everything) == refused.value.reason
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


@pytest.mark.slow
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

    def interrupt(*_):
        raise Interruption

    list(kept._servers.values())[1].read = interrupt
    with pytest.raises(Interruption):
        kept.execute(*(("GET", key) for key in keys))
    assert kept.execute(*(("STRLEN", key) for key in keys)) == [len(key) for key in keys]


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
