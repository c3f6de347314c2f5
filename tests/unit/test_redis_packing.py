"""Commands are sent as Redis's protocol has it."""

import redis

from flask_sluice.journal.redis.keys_and_commands import add_event
from flask_sluice.journal.redis.servers.packing import pack

EVENT = "data: naïve\r\n\n".encode() + b"\xff"


def test_commands_are_packed_as_redis_py_packs_them():
    commands = [("SET", "clé", b"\xff\r\n", "PX", 12), ("MULTI",), ("XADD", "k", "*", "", "")]
    assert pack(commands).data == b"".join(redis.Connection().pack_commands(commands))


def test_an_event_is_packed_as_redis_py_packs_it():
    commands = [add_event("stream-é", 12, EVENT), add_event("stream-é", 13, EVENT, oldest=7)]
    assert pack(commands).data == b"".join(redis.Connection().pack_commands(commands))
