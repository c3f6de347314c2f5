"""What the journal relies on of redis-py, in whatever release is installed."""

import time

import pytest

from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis.client import RedisClient
from tests.support.server import wait_until


@pytest.fixture
def client(redis):
    client = RedisClient(redis.url, "sluice-test")
    yield client
    client.close()


def kill_connections(redis):
    """Redis closes them, as it does when it is started again."""
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_replies_are_those_of_resp2_whatever_the_url_asks_for(redis, stream_id):
    client = RedisClient(f"{redis.url}?protocol=3&decode_responses=yes&max_connections=2", "x")
    client.execute(("XADD", stream_id, "1-0", "e", b"\xff"))
    assert client.execute(("XREAD", "STREAMS", stream_id, "0"), ("GET", "no-such-key")) == [
        [[stream_id.encode(), [[b"1-0", [b"e", b"\xff"]]]]],
        None,
    ]
    client.close()


def test_a_refused_command_is_a_reply_like_the_others(client):
    one, refusal, other = client.execute(("ECHO", "1"), ("NO-SUCH-COMMAND",), ("ECHO", "2"))
    assert (one, other) == (b"1", b"2")
    assert "unknown command" in str(refusal)


def test_many_large_commands_are_sent_and_answered_in_order(client):
    values = [b"%d" % number * 10_000 for number in range(100)]
    assert client.execute(*(("ECHO", value) for value in values)) == values


def test_connections_have_the_name_and_the_database_of_the_client(redis):
    client = RedisClient(f"{redis.url}?db=3", "sluice-named")
    (info,) = client.execute(("CLIENT", "LIST"))
    ours = [line for line in info.decode().splitlines() if " name=sluice-named " in line]
    assert len(ours) == 1
    assert " db=3 " in ours[0]
    client.close()


def test_a_connection_that_redis_has_closed_is_replaced_where_that_may_be(redis, client):
    safe, unsafe = client.keep_connection(), client.keep_connection(may_repeat=False)
    for connection in (safe, unsafe):
        connection.execute(("PING",))
    kill_connections(redis)
    assert safe.execute(("ECHO", "1")) == [b"1"]
    with pytest.raises(JournalUnavailableError):
        unsafe.execute(("ECHO", "1"))
    assert unsafe.execute(("ECHO", "1")) == [b"1"]


def test_requests_use_a_connection_again(redis, client):
    (first,) = client.execute(("CLIENT", "ID"))
    assert client.execute(("CLIENT", "ID")) == [first]


def test_a_reply_may_take_as_long_as_its_connection_says(redis, client, stream_id):
    """Also where the URL says less, which holds for all other connections."""
    client = RedisClient(f"{redis.url}?socket_timeout=0.2", "x")
    patient = client.keep_connection(reply_seconds=20)
    command = ("XREAD", "BLOCK", 600, "STREAMS", stream_id, "0")
    assert patient.execute(command) == [None]
    started_at = time.monotonic()
    with pytest.raises(JournalUnavailableError, match="store of resumable streams"):
        client.execute(("XREAD", "BLOCK", 20_000, "STREAMS", stream_id, "0"))
    assert time.monotonic() - started_at < 10
    client.close()


def test_a_closed_client_has_no_connections(redis, client):
    client.execute(("PING",))
    client.keep_connection().execute(("PING",))

    def names():
        return [each["name"] for each in redis.client.client_list()]

    assert names().count("sluice-test") == 2
    client.close()
    wait_until(lambda: "sluice-test" not in names())


def test_a_redis_that_cannot_be_reached_is_told_once_and_its_return_too(caplog, redis):
    caplog.set_level("INFO", "sluice.journal")
    client = RedisClient(redis.url, "x")
    client.execute(("PING",))
    redis.kill()
    for _ in range(3):
        with pytest.raises(JournalUnavailableError):
            client.execute(("PING",))
    assert client.reached_since is None
    redis.start()
    client.execute(("PING",))
    assert client.problem is None
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in messages] == [
        "Redis cannot be reached",
        "Redis is reached again",
    ]
    client.close()
