"""Commands while slots move."""

import pytest

from flask_sluice.journal import JournalUnavailableError
from tests.support.redis_servers.cluster import RedisCluster, slot_of
from tests.support.redis_servers.slot_move import SlotMove
from tests.support.server import wait_until
from tests.system.redis_topologies.counting import KEYS

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster():
    """One for each test: what servers have told each other of a slot may arrive when it is back."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def move(cluster):
    """Of the slot of the first key, to the second server."""
    source, target, _ = cluster.nodes
    return SlotMove(slot_of(KEYS[0]), source, target, cluster.nodes)


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
    there, moved, new = (f"{{{KEYS[0]}}}:{name}" for name in ("there", "moved", "new"))
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
    one, other = (f"{{{KEYS[0]}}}:{name}" for name in ("one", "other"))
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
