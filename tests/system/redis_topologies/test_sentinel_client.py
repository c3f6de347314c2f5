"""The master that sentinels name: how it is found, and what is said when it is not."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.servers.client import RedisClient
from tests.support.redis_servers.sentinels import SERVICE, SentinelServers
from tests.support.server import wait_until


@pytest.fixture(scope="module")
def servers():
    with SentinelServers(replicas=1) as servers:
        yield servers


def new_client(url):
    return RedisClient(url, "sluice-test")


@pytest.fixture
def client(servers):
    client = new_client(servers.url)
    yield client
    client.close()


def problem_of(client):
    with pytest.raises(JournalUnavailableError) as refused:
        client.execute(("PING",))
    assert client.health.problem == refused.value.reason
    client.close()
    return refused.value.reason


def test_commands_go_to_the_master(servers, client):
    assert client.execute(("SET", "a", "b"), ("GET", "a")) == [b"OK", b"b"]
    assert client.transaction(("GET", "a"), ("DEL", "a")) == [b"b", 1]
    assert client.check(keys_and_commands.everything) is None
    assert servers.primary.keys() == []
    assert client.setting("maxmemory-policy") == "noeviction"


def test_some_sentinels_may_be_dead(servers):
    alive = servers.sentinels[2].address
    client = new_client(f"redis+sentinel://127.0.0.1:1,127.0.0.1:2,{alive}/{SERVICE}")
    assert client.execute(("PING",)) == [b"PONG"]
    assert client.health.problem is None
    client.close()


def test_where_no_sentinel_answers_each_is_named():
    client = new_client(f"redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:2/{SERVICE}")
    problem = problem_of(client)
    assert "no sentinel answers" in problem
    assert "127.0.0.1:1" in problem
    assert "127.0.0.1:2" in problem
    assert "secret" not in problem


def test_a_wrong_name_of_the_master_is_named(servers):
    client = new_client(servers.url.replace(f"/{SERVICE}", "/mymaster"))
    problem = problem_of(client)
    assert "watches no master called 'mymaster'" in problem
    assert "the path of the Redis URL" in problem


def test_where_sentinels_want_a_password_the_options_for_it_are_named(servers):
    sentinel = servers.sentinels[0]
    sentinel.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">hidden")
    url = f"redis+sentinel://{sentinel.address}/{SERVICE}"
    try:
        assert problem_of(new_client(url)).count("sentinel_password") == 1
        client = new_client(f"{url}?sentinel_password=hidden")
        assert client.execute(("PING",)) == [b"PONG"]
        client.close()
    finally:
        # Its own client is logged in since before.
        sentinel.client.execute_command("ACL", "SETUSER", "default", "nopass")


def test_a_server_that_is_no_sentinel_is_told_from_one(servers):
    client = new_client(f"redis+sentinel://127.0.0.1:{servers.nodes[0].port}/{SERVICE}")
    problem = problem_of(client)
    assert "it is not a sentinel; the URL of one server begins with redis://" in problem
    assert "unknown command" not in problem


def test_sentinels_that_do_not_answer_for_the_same_reason_are_told_with_it_once(servers):
    addresses = ",".join(sentinel.address for sentinel in servers.sentinels)
    client = new_client(f"redis+sentinel://{addresses}/{SERVICE}?sentinel_password=wrong")
    problem = problem_of(client)
    assert all(sentinel.address in problem for sentinel in servers.sentinels)
    assert problem.count("AUTH") == 1


def test_a_sentinel_that_is_taken_for_a_server_is_told_by_a_short_line(servers):
    client = new_client(servers.sentinels[0].url)
    problem = client.check(keys_and_commands.everything)
    assert re.fullmatch("Redis refuses commands: unknown command .MULTI.", problem)
    client.close()


def test_a_master_that_has_become_a_replica_is_not_used(servers, client):
    """The sentinels notice it a while later, and make it a master again."""
    client.execute(("PING",))
    primary = servers.primary
    primary.client.replicaof("127.0.0.1", servers.replicas[0].port)
    another = new_client(servers.url)
    problem = problem_of(another)
    assert f"name 127.0.0.1:{primary.port}, which is not a master" in problem
    primary.client.replicaof("NO", "ONE")
    servers.wait_until_well()
    assert client.check(keys_and_commands.everything) is None


@pytest.mark.slow
def test_a_master_that_is_replaced_while_it_works_is_left_when_the_sentinels_are_asked(
    servers, client
):
    """It would take commands for eight seconds more, and then lose them."""
    ((look, _),) = client.steps
    waiting = client.keep_connection(reply_seconds=30)
    servers.wait_until_well()
    old = servers.primary
    waiting.execute(("PING",))
    with ThreadPoolExecutor() as threads:
        waits = threads.submit(waiting.execute, ("BLPOP", "list", 20))
        look()
        wait_until(lambda: blocked_on(old))
        new = servers.failover()
        assert old.role == "master"
        look()
        client.execute(("RPUSH", "list", "element"))
        assert waits.result(timeout=10) == [[b"list", b"element"]]
    assert blocked_on(new) == 0
    assert client.health.problem is None


def blocked_on(node):
    """Return how many clients wait there for something."""
    return node.client.info("clients")["blocked_clients"]


@pytest.mark.slow
def test_after_a_failover_commands_go_to_the_new_master(servers, client):
    kept = client.keep_connection(may_repeat=False)
    for connection in (client, kept):
        connection.execute(("PING",))
    changes = client.health.server_changes
    servers.wait_until_well()
    old = servers.primary
    new = servers.kill_primary()
    with pytest.raises(JournalUnavailableError):
        kept.execute(("SET", "after", "failover"))
    wait_until(lambda: client.check(keys_and_commands.everything) is None)
    for connection in (client, kept):
        assert connection.execute(("SET", "after", "failover")) == [b"OK"]
    assert new.keys() == ["after"]
    assert client.health.server_changes > changes
    old.start()
