"""What the journal relies on of redis-py, in whatever release is installed."""

import threading
import time

import pytest
from redis.exceptions import ResponseError

from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import disconnect
from flask_sluice.journal.redis.servers.health import RedisHealth, code_of
from flask_sluice.journal.turns import GreenletTurns
from flask_sluice.observe.redis_outages import RedisOutage
from flask_sluice.stream import registry
from tests.support.server import wait_until
from tests.system.scripted_redis import ScriptedRedis


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


def test_a_connection_may_be_closed_while_another_thread_closes_it():
    class Closing:
        """redis-py's connection, up to 4.6, when its socket has just been taken away."""

        def disconnect(self):
            raise AttributeError("'NoneType' object has no attribute 'close'")

    disconnect(Closing())


def test_a_connection_that_redis_has_closed_is_replaced_where_that_may_be(redis, client):
    safe, unsafe = client.keep_connection(), client.keep_connection(may_repeat=False)
    for connection in (safe, unsafe):
        connection.execute(("PING",))
    kill_connections(redis)
    assert safe.execute(("ECHO", "1")) == [b"1"]
    with pytest.raises(JournalUnavailableError):
        unsafe.execute(("ECHO", "1"))
    assert unsafe.execute(("ECHO", "1")) == [b"1"]
    # Redis closes connections that are idle, and so do load balancers.
    assert client.health.problem is None
    assert client.health.server_changes == 2


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
    with pytest.raises(JournalUnavailableError, match="store of streams and channels"):
        client.execute(("XREAD", "BLOCK", 20_000, "STREAMS", stream_id, "0"))
    assert time.monotonic() - started_at < 10
    client.close()


def test_a_closed_client_has_no_connections(redis, client):
    client.execute(("PING",))
    client.keep_connection().execute(("PING",))

    def names():
        return [each["name"] for each in redis.client.client_list()]

    # Redis may not have noticed yet that the connections of the test before are closed.
    wait_until(lambda: names().count("sluice-test") == 2)
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
    assert client.health.reached_since is None
    redis.start()
    client.execute(("PING",))
    assert client.check(keys_and_commands.everything) is None
    assert client.health.problem is None
    # It goes on to be looked at, since it may fail again soon.
    wait_until(lambda: client.check(keys_and_commands.everything) or "again" in caplog.text)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in messages] == [
        "Redis cannot be reached",
        "Redis is reached again",
    ]
    client.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading the dataset"),
        (b"-CLUSTERDOWN The cluster is down\r\n", "CLUSTERDOWN"),
        (b"-BUSY Redis is busy running a script.\r\n", "BUSY"),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", "TRYAGAIN"),
        (
            b"-EXECABORT Transaction discarded because of previous errors.\r\n",
            "Transaction discarded",
        ),
        (b"-ERR unknown command\r\n", "unknown command"),
        (b"-SOMENEWCODE as no Redis says it today\r\n", "SOMENEWCODE"),
        (b"", "Timeout"),
        (b"+OK\r\n", "not Redis's"),
        (b"$-1\r\n", ""),
        (b"*0\r\n", "not Redis's"),
        (b":12\r\n", ""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Redis cannot be reached: "),
        (b"\x00\xff\x80 rubbish\r\n", "Redis cannot be reached: "),
        (b"*-7\r\n", "Redis cannot be reached: "),
        (b"$99999999999999999999\r\nx", "Redis cannot be reached: "),
        (b"*2\r\n$1", "Redis cannot be reached: "),
    ],
)
def test_an_answer_that_is_a_sign_of_trouble_is_an_outage_until_it_is_over(
    redis, stream_id, answer, told, caplog
):
    """Over connections that were there before, and over new ones."""
    caplog.set_level("INFO", "sluice.journal")
    commands = keys_and_commands.everything("check")
    with ScriptedRedis(redis.socket) as scripted:
        client = RedisClient(f"{scripted.url}?socket_timeout=0.5", "x")
        client.execute(("PING",))
        scripted.answer(answer)
        for _ in range(2):
            with pytest.raises(JournalUnavailableError) as refused:
                client.transaction(*commands)
            assert refused.value.status == 503
        assert client.health.problem is not None
        assert client.check(keys_and_commands.everything)
        scripted.answer(None)
        # What was left of the old answers is not taken for new ones.
        assert client.execute(("ECHO", "1"), ("ECHO", "2")) == [b"1", b"2"]
        assert client.health.problem is not None
        wait_until(
            lambda: client.check(keys_and_commands.everything) is None
        )  # A busy machine may take longer than 0.5 s.
        assert client.health.problem is None
        client.close()
    lines = [record.getMessage() for record in caplog.records]
    assert told in lines[0]
    assert lines[-1] in ("Redis takes commands again", "Redis is reached again")
    # The other kinds of failure are those of a new connection.
    assert len(lines) <= 4


def test_an_interrupted_command_leaves_its_replies_to_no_other(redis, client):
    connection = client.keep_connection()
    connection.execute(("PING",))

    class Interruption(BaseException):
        pass

    def interrupt(*_):
        raise Interruption

    connection._server.read = interrupt
    with pytest.raises(Interruption):
        connection.execute(("ECHO", "of the interrupted"))
    assert connection.execute(("ECHO", "another")) == [b"another"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("XADD", "there", "1-0", "e", ""), ""),
        (("SET", "there", "x", "WRONG", "OPTION"), ""),
        (("GET", "there"), ""),
        (("EVAL", "return redis.error_reply('READONLY x')", 0), "READONLY"),
        (("EVAL", "return redis.error_reply('MISCONF x')", 0), "MISCONF"),
        (("EVAL", "return redis.error_reply('NOREPLICAS x')", 0), "NOREPLICAS"),
        (("EVAL", "return redis.error_reply('OOM x')", 0), "OOM"),
        (("EVAL", "return redis.error_reply('NOPERM x')", 0), "NOPERM"),
        (("EVAL", "return redis.error_reply('MASTERDOWN x')", 0), "MASTERDOWN"),
        (("EVAL", "return redis.error_reply('CLUSTERDOWN x')", 0), "CLUSTERDOWN"),
    ],
)
def test_refusals_for_the_state_of_redis_are_told_from_those_of_a_single_command(
    redis, command, code
):
    redis.client.delete("there")
    redis.client.xadd("there", {"e": ""}, "2-0")
    with pytest.raises(ResponseError) as refused:
        redis.client.execute_command(*command)
    assert code_of(refused.value) == code


def test_a_connection_from_before_a_problem_is_not_used_after_it(redis, client):
    """It may lead to a server that was demoted, and that still can be read."""
    kept = client.keep_connection()
    (before,) = kept.execute(("CLIENT", "ID"))
    redis.client.config_set("maxmemory", 1)
    with pytest.raises(JournalUnavailableError):
        client.execute(("SET", "a", "b"))
    redis.client.config_set("maxmemory", 0)
    assert client.check(keys_and_commands.everything) is None
    assert kept.execute(("CLIENT", "ID")) != [before]


def test_a_connection_that_may_not_repeat_tells_that_it_is_made_anew_after_a_problem(redis, client):
    """What its server lacks might otherwise be followed by the next event."""
    kept, unused = (client.keep_connection(may_repeat=False) for _ in range(2))
    kept.execute(("PING",))
    client.health.unreachable(OSError("of another connection"))
    assert client.check(keys_and_commands.everything) is None
    with pytest.raises(JournalUnavailableError):
        kept.execute(("PING",))
    assert client.health.problem is None
    assert kept.execute(("PING",)) == unused.execute(("PING",)) == [b"PONG"]


def test_connections_that_are_made_again_are_counted(redis, client):
    """A Redis that was restarted meanwhile may have lost the last events."""
    client.execute(("PING",))
    changes = client.health.server_changes
    client.execute(("PING",))
    assert client.health.server_changes == changes
    kill_connections(redis)
    client.execute(("PING",))
    assert client.health.server_changes > changes


def test_a_read_that_waits_at_a_server_that_becomes_a_replica_fails(redis, client, stream_id):
    kept = client.keep_connection(reply_seconds=20)
    refusals = []

    def read():
        with pytest.raises(JournalUnavailableError) as refused:
            kept.execute(("XREAD", "BLOCK", 15_000, "STREAMS", stream_id, "0"))
        refusals.append(refused.value.reason)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: redis.client.info("clients")["blocked_clients"] == 1)
    redis.client.replicaof("127.0.0.1", 1)
    try:
        reader.join(10)
    finally:
        redis.client.replicaof("NO", "ONE")
    assert "UNBLOCKED" in refusals[0]


def test_a_read_that_waits_since_before_a_problem_begins_again_after_it(redis, client, stream_id):
    """Its server may hang, and have been replaced."""
    kept = client.keep_connection(reply_seconds=20)
    kept.execute(("PING",))
    replies = []

    def read():
        replies.extend(kept.execute(("XREAD", "BLOCK", 15_000, "STREAMS", stream_id, "0")))

    def waiting():
        return [each["id"] for each in redis.client.client_list() if each["cmd"] == "xread"]

    reader = threading.Thread(target=read)
    reader.start()
    (before,) = wait_until(waiting)
    client.health.unreachable(OSError("of another connection"))
    assert client.check(keys_and_commands.everything) is None
    wait_until(lambda: waiting() not in ([], [before]))
    redis.client.xadd(stream_id, {"e": ""}, "1-0")
    reader.join(10)
    assert replies == [[[stream_id.encode(), [[b"1-0", [b"e", b""]]]]]]


def test_looking_whether_all_works_changes_nothing_and_needs_no_more_than_our_keys(redis, client):
    redis.client.flushall()
    assert client.check(keys_and_commands.everything) is None
    assert redis.client.dbsize() == 0


def test_problems_that_come_and_go_are_looked_at_less_and_less_often(redis):
    client = RedisClient(redis.url, "x")
    holds = []
    for _ in range(8):
        client.health.unreachable(OSError("no"))
        assert client.check(keys_and_commands.everything) is None
        holds.append(client.health.hold_seconds)
    assert holds == [0, 0.5, 1.5, 3.5, 5, 5, 5, 5]
    client.close()


def test_the_metrics_count_an_outage_once_for_all_clients_of_a_worker(redis):
    stats = registry.stats()
    client, other = RedisClient(redis.url, "x"), RedisClient(redis.url, "y")
    client.health.refused(ResponseError("OOM"))
    client.health.unreachable(OSError("no"))
    other.health.unreachable(OSError("no"))
    assert (stats.redis_out, stats.redis_problems) == (1, 1)
    assert client.check(keys_and_commands.everything) is None
    # The other one still has a problem.
    assert (stats.redis_out, stats.redis_problems) == (1, 1)
    # One that is closed has no problem any more, and gets none.
    other.close()
    other.health.unreachable(OSError("no"))
    client.close()
    assert (stats.redis_out, stats.redis_problems) == (0, 1)


def test_two_addresses_are_two_outages_and_users_and_databases_of_one_are_not(redis):
    stats = registry.stats()
    urls = ("redis://h:1", "redis://user:secret@h:1/2?socket_timeout=1", "redis://h:2")
    clients = [RedisClient(url, "x") for url in urls]
    for client, count in zip(clients, (1, 1, 2), strict=True):
        client.health.unreachable(OSError("no"))
        assert (stats.redis_out, stats.redis_problems) == (count, count)
    for client in clients:
        client.close()
    assert stats.redis_out == 0


def test_a_failure_from_before_the_end_of_a_problem_is_no_news_after_it(caplog):
    """On a busy machine a reply is read long after it was sent."""
    caplog.set_level("INFO", "sluice.journal")
    health = RedisHealth(GreenletTurns(), RedisOutage(lambda _: None))
    sent_after = health.recovery_count
    health.refused(ResponseError("OOM"), sent_after)
    health.recovered()
    assert isinstance(health.refused(ResponseError("OOM"), sent_after), JournalUnavailableError)
    health.unreachable(OSError("late"), sent_after)
    assert health.problem is None
    assert len(caplog.records) == 1
