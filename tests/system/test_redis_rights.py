"""The rights that docs/redis.md lists are enough, and none of them is superfluous."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from redis import Redis

from flask_sluice import Channels, Event, Streams
from flask_sluice.channels.redis import listener, store
from flask_sluice.gateway.request.rate_limits import RateLimits
from flask_sluice.gateway.request.shared_counts import count_key
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.sse import EventParser
from flask_sluice.stream.errors import ApiError
from tests.support.redis_servers.cluster import RedisCluster, slot_of
from tests.support.redis_servers.programs import WHEELS, program_of
from tests.support.redis_servers.sentinels import SentinelServers
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.journal_worker import JournalWorker, new_stream_id
from tests.system.redis_server import RedisServer
from tests.unit.channels import Reader

PAGE = (ROOT / "docs/redis.md").read_text()
LINES = [line.split() for line in re.findall(r"^ACL SETUSER (.+)$", PAGE, re.MULTILINE)]
RIGHTS = {user: rights for user, *rights in LINES if "reset" in rights}
"""By user, as the page gives them."""
RIGHTS_BESIDES = [rights for _, *rights in LINES if "reset" not in rights]
CLUSTER_RIGHTS = next(rights for rights in RIGHTS_BESIDES if "+asking" in rights)
SENTINEL_RIGHTS = next(rights for rights in RIGHTS_BESIDES if "+role" in rights)

NOT_MISSED = {"client", "client|setname", "client|setinfo", "config|get"}
_OF_TESTS = re.compile(
    r"acl|auth|client|config|info|hello|psync|replconf|restore|migrate|cluster\|(?!slots)"
)
"""The commands of a login, of this test and of the servers among themselves."""

pytestmark = pytest.mark.slow


class Watched:
    """Servers of which it is known what they execute and refuse.

    url: of the default user
    """

    def __init__(self, url: str, *clients: Redis) -> None:
        self._url = url
        self._clients = clients

    def url_of(self, user: str, *changes: str) -> str:
        """Make the user that the page describes, and forget what was executed. Return a URL with its password."""
        rights = [">word" if right == ">PASSWORD" else right for right in RIGHTS[user]]
        for client in self._clients:
            client.execute_command("ACL", "SETUSER", user, *rights, *changes)
            client.execute_command("ACL", "LOG", "RESET")
            client.execute_command("CONFIG", "RESETSTAT")
        return self._url.replace("://", f"://{user}:word@")

    def refusals(self) -> set[tuple[str, str]]:
        """What was not allowed: whether it was a "command", a "key" or a "channel", and which."""
        entries = [entry for client in self._clients for entry in client.acl_log()]
        return {(entry["reason"], entry["object"]) for entry in entries}

    def used_commands(self) -> set[str]:
        stats = [client.info("commandstats") for client in self._clients]
        used = [name for each in stats for name, stat in each.items() if stat["calls"]]
        names = {name.removeprefix("cmdstat_") for name in used}
        return {name for name in names if not _OF_TESTS.match(name)}

    def keys_that_stay(self) -> list[bytes]:
        """Those without a time to live."""
        return [
            key
            for client in self._clients
            for key in client.scan_iter(count=1000)
            if client.pttl(key) == -1
        ]


@pytest.fixture
def redis() -> Iterator[Watched]:
    with RedisServer() as redis:
        yield Watched(redis.url, redis.client)


def commands_of(user: str) -> set[str]:
    return {right[1:] for right in RIGHTS[user] if right.startswith("+")}


def use_streams(url: str, _: Watched) -> None:
    """All that streams do in two processes, and in a program that finds them by a key."""
    with JournalWorker(url) as producer, JournalWorker(url) as follower:
        stream_id, stopped_id = new_stream_id(), new_stream_id()
        producer.create(stream_id)
        reader = follower.follow(stream_id)
        assert producer.append(stream_id, 50)
        follower.until_has(reader, 50)
        producer.finish(stream_id)
        assert follower.all_ids(reader) == list(range(1, 52))
        late = follower.follow(stream_id, 20)
        assert follower.all_ids(late) == list(range(21, 52))
        producer.create(stopped_id)
        follower.stop(stopped_id)
        wait_until(lambda: producer.stops(stopped_id))
        assert [worker.problem() for worker in (producer, follower)] == [None, None]
        assert [worker.log() for worker in (producer, follower)] == [[], []]
    with closing(Streams(url)) as streams:
        with streams.create(owner="7", key="doc") as stream:
            stream.publish(Event("hello"))
        status = streams.find(key="doc", owner="7")
        assert status is not None
        assert status.state == "complete"


def use_channels(url: str, redis: Watched) -> None:
    """All that channels do, of two processes as far as Redis can tell."""
    with closing(Channels(url, history_events=2)) as one, closing(Channels(url)) as other:
        use_two_channels(one, other)
        # When the room has had no reader for a while.
        wait_until(lambda: {"ping", "unsubscribe"} <= redis.used_commands())


def use_two_channels(one: Channels, other: Channels) -> None:
    joined: list[str] = []
    left: list[str] = []
    for channels in (one, other):
        channels.on_join(lambda _, owner, __: joined.append(owner))
        channels.on_leave(lambda _, owner, __: left.append(owner))
    watcher = Reader(other, "room", owner="watcher")
    reader = Reader(one, "room", owner="7")
    first_id = reader.last_event_id
    for number in range(5):
        one.publish("room", number)
    wait_until(lambda: watcher.data == ["0", "1", "2", "3", "4"])
    wait_until(
        lambda: present_in(other) == {"7", "watcher"}, explain=lambda: str(present_in(other))
    )
    again = Reader(other, "room", last_event_id=first_id)
    wait_until(lambda: again.events)
    one.kick("room", "7")
    wait_until(lambda: reader.is_finished)
    for each in (reader, again):
        each.leave()
    wait_until(lambda: present_in(other) == {"watcher"}, explain=lambda: str(present_in(other)))
    wait_until(lambda: left == ["7"])
    assert sorted(joined) == ["7", "watcher"]
    watcher.leave()


def present_in(channels: Channels) -> set[str]:
    return {each.owner for each in channels.present("room")}


def use_limits(url: str, _: Watched) -> None:
    with closing(RateLimits("2/minute;100/day", url)) as limits:
        limits.count("a")
        limits.count("a")
        with pytest.raises(ApiError):
            limits.count("a")


def use_everything(url: str, redis: Watched) -> None:
    use_streams(url, redis)
    use_channels(url, redis)
    use_limits(url, redis)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have channels do soon what they do every few seconds."""
    monkeypatch.setattr(listener, "_IDLE_SECONDS", 1.0)
    monkeypatch.setattr(store, "LOOK_SECONDS", 0.3)


PARTS: dict[str, Callable[[str, Watched], None]] = {
    "streams": use_streams,
    "channels": use_channels,
    "limits": use_limits,
    "sluice": use_everything,
}


def test_the_page_has_a_user_for_each_part_and_one_for_all():
    assert RIGHTS.keys() == {*PARTS, "asker"}
    assert commands_of("sluice") == set().union(*map(commands_of, PARTS.keys() - {"sluice"}))


@pytest.mark.parametrize("user", ["streams", "channels", "limits"])
def test_the_rights_of_a_user_are_enough_and_all_of_them_are_used(redis, user, monkeypatch):
    hurry(monkeypatch)
    url = redis.url_of(user)
    PARTS[user](url, redis)
    assert redis.refusals() <= {("command", command) for command in NOT_MISSED}
    assert redis.used_commands() == commands_of(user)
    assert redis.keys_that_stay() == []


@pytest.mark.parametrize("version", WHEELS)
def test_the_rights_are_enough_with_other_servers(version, monkeypatch):
    hurry(monkeypatch)
    with RedisServer(program=program_of(version)) as redis:
        watched = Watched(redis.url, redis.client)
        use_everything(watched.url_of("sluice"), watched)
        assert watched.refusals() <= {("command", command) for command in NOT_MISSED}


def test_a_user_of_a_cluster_needs_no_more_than_the_rights_of_the_page(monkeypatch):
    # As ``hurry`` does, but not more looks: each may move the connection to another server.
    monkeypatch.setattr(listener, "_IDLE_SECONDS", 2.0)
    with RedisCluster() as cluster:
        watched = Watched(cluster.url, *(node.client for node in cluster.nodes))
        url = watched.url_of("sluice", *CLUSTER_RIGHTS)
        use_everything(url, watched)
        # A slot that moves: its new server is asked, with permission, for what the old one does not have.
        key = count_key("b", 2, 60)
        slot = slot_of(key)
        target = next(node for node in cluster.nodes if node is not cluster.node_of_slot(slot))
        move = cluster.move(slot, to=target).begin()
        with closing(RateLimits("2/minute", url)) as limits:
            limits.count("b")
        assert target.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
        assert watched.refusals() <= {("command", command) for command in NOT_MISSED}
        given = {right[1:] for right in CLUSTER_RIGHTS}
        assert watched.used_commands() == commands_of("sluice") | given
        move.finish()
        assert watched.keys_that_stay() == []


@pytest.mark.parametrize("may_ask", [True, False])
def test_a_user_behind_sentinels_needs_no_more_than_the_rights_of_the_page(may_ask):
    with SentinelServers(replicas=1) as servers:
        watched = Watched(servers.url, *(node.client for node in servers.nodes))
        use_limits(watched.url_of("limits", *SENTINEL_RIGHTS * may_ask), watched)
        allowed = NOT_MISSED if may_ask else NOT_MISSED | {"role"}
        assert watched.refusals() <= {("command", command) for command in allowed}
        assert ("role" in watched.used_commands()) == may_ask


def test_a_user_of_sentinels_needs_no_more_than_the_rights_of_the_page():
    with SentinelServers(replicas=0) as servers:
        rights = [">word" if right == ">PASSWORD" else right for right in RIGHTS["asker"]]
        for sentinel in servers.sentinels:
            sentinel.client.execute_command("ACL", "SETUSER", "asker", *rights)
        url = f"{servers.url}?sentinel_username=asker&sentinel_password=word"
        use_limits(url, Watched(servers.url, servers.primary.client))


def test_the_gateway_needs_no_more_than_the_rights_of_the_page(redis):
    url = redis.url_of("sluice")
    with Server(redis_url=url, workers=2, rate_limit="30/minute") as server:
        for _ in range(4):
            stream_url = create(server)
            for _ in range(4):
                events = EventParser().feed(body_of(server, get(stream_url)))
                assert events[-1].event == "done"
        assert json.loads(body_of(server, get("/readyz")))["redis"] == "ok"
        assert "edis" not in server.log
        assert "rate limits" not in server.log
    assert redis.refusals() <= {("command", command) for command in NOT_MISSED}


def create(server: Server) -> str:
    with server.connect() as sock:
        sock.sendall(post("/v1/streams", chat(simulator={"tokens": 20, "itl_ms": 10})))
        response = Response(sock)
        assert response.status == 201
        return response.json()["url"]


def body_of(server: Server, request: bytes) -> bytes:
    with server.connect() as sock:
        sock.sendall(request)
        return Response(sock).body()


@pytest.mark.parametrize("user", ["channels", "limits"])
def test_scripts_are_sent_by_their_text_where_they_may_not_be_run_by_their_hash(
    redis, user, monkeypatch, caplog
):
    hurry(monkeypatch)
    url = redis.url_of(user, "-evalsha")
    PARTS[user](url, redis)
    assert caplog.text == ""


@pytest.mark.parametrize("right", ["+client|setname", "-client"])
def test_a_connection_has_a_name_where_the_user_may_set_it(redis, right):
    url = redis.url_of("limits", right, "+select", "+client|list")
    with closing(RedisClient(f"{url}?db=3", "sluice-named")) as client:
        assert client.execute(("GET", "sluice:limits:x")) == [None]
        (info,) = client.execute(("CLIENT", "LIST"))
    assert b" db=3 " in info
    assert (b" name=sluice-named " in info) == (right == "+client|setname")


def test_a_server_that_does_not_know_some_commands_is_used_all_the_same(monkeypatch):
    """Managed services rename what they do not give away."""
    renamed = (
        word
        for name in ("CLIENT", "CONFIG", "EVALSHA", "SCRIPT")
        for word in ("--rename-command", name, "")
    )
    hurry(monkeypatch)
    with RedisServer(*renamed) as redis:
        watched = Watched(redis.url, redis.client)
        use_channels(redis.url, watched)
        use_limits(redis.url, watched)
        with Server(redis_url=redis.url, rate_limit="30/minute") as server:
            assert EventParser().feed(body_of(server, get(create(server))))[-1].event == "done"
            assert "edis" not in server.log
            assert "rate limits" not in server.log
