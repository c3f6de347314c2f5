"""Which slot of a cluster a command belongs to."""

import pytest

from flask_sluice.journal.redis.servers.cluster.keys import slot_of_commands, slot_of_key


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "key"),
        ("GET", b"key"),
        ("XADD", "key", "NOMKSTREAM", "1-0", "e", b"another"),
        ("DEL", "key", "key"),
        ("XREAD", "COUNT", 10, "BLOCK", 5000, "STREAMS", "key", "0-0"),
        ("XINFO", "STREAM", "key"),
        ("EVAL", "return KEYS[1]", 1, "key", "another"),
        ("EVALSHA", "0123", "2", "key", "key", "another"),
        ("PUBLISH", "key", "message"),
        ("SPUBLISH", "key", "message"),
        ("PUBSUB", "NUMSUB", "key", "another"),
    ],
)
def test_a_command_belongs_to_the_slot_of_its_first_key(command):
    assert slot_of_commands([command]) == slot_of_key("key") != slot_of_key("another")


@pytest.mark.parametrize(
    "command",
    [
        ("PING",),
        ("ECHO", "key"),
        ("CONFIG", "GET", "key"),
        ("CLIENT", "LIST"),
        ("EVAL", "return 1", 0, "key"),
        ("PUBSUB", "CHANNELS"),
        ("ASKING",),
    ],
)
def test_some_commands_belong_to_no_slot(command):
    assert slot_of_commands([command]) is None


def test_a_group_belongs_to_the_slot_of_its_first_key():
    group = [("PING",), ("GET", "a{key}b"), ("GET", "{key}")]
    assert slot_of_commands(group) == slot_of_key("key")
    assert slot_of_commands([]) is None


@pytest.mark.parametrize(
    ("key", "slot"), [("123456789", 12739), ("foo", 12182), ("{user1000}.following", 3443)]
)
def test_slots_are_those_of_redis(key, slot):
    assert slot_of_key(key) == slot
    assert slot_of_key(key.encode()) == slot
