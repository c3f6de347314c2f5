"""TLS, users and tokens where Redis is a cluster, or is found by sentinels that have a password of their own."""

from pathlib import Path
from urllib.parse import quote

import pytest

from benchmarks.ports import free_port
from flask_sluice import Event, Streams
from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis.servers.access import login
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.sse import EventParser
from tests.support.certificate import make_certificates
from tests.support.redis_servers import REDIS, RedisCluster, RedisNode
from tests.support.redis_servers.process import RedisProcess, new_client
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.unit.kept_streams import read

pytestmark = pytest.mark.slow

ALL = ("on", "~*", "&*", "+@all")
SERVICE = "our-master"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def shown_by(certificates, name="good"):
    """Return the options of a client with this certificate."""
    return f"ssl_ca_certs={certificates['good']}&ssl_certfile={certificates[name]}"


class Users:
    """Gives the user that a test names."""

    def __init__(self, nodes):
        self.user = "first"
        for node in nodes:
            for user in ("first", "second"):
                node.client.execute_command("ACL", "SETUSER", user, ">word", *ALL)

    def get_credentials(self):
        return (self.user, "word")


def keeps_streams(url, **options):
    """Keep a stream, and read it in another client."""
    producer, reader = Streams(url, **options), Streams(url, **options)
    with producer.create() as stream:
        stream.publish(Event(data="seen"))
    return b"data: seen" in read(reader, stream.id)


def problem_of(url, **options):
    """Return what a client tells that finds no way to Redis."""
    client = RedisClient(url, "sluice-test", **options)
    try:
        with pytest.raises(JournalUnavailableError) as caught:
            client.execute(("GET", "x"))
    finally:
        client.close()
    return caught.value.reason


# A cluster.


@pytest.fixture(scope="module")
def cluster(certificates):
    """One whose nodes take no client without a certificate that they know."""
    with RedisCluster(certificate=certificates["good"]) as cluster:
        for node in cluster.nodes:
            node.client.config_set("tls-auth-clients", "yes")
        yield cluster


def users_of(cluster):
    """Return the user of each connection with our name, over all nodes."""
    return [
        client["user"]
        for node in cluster.nodes
        for client in node.client.client_list()
        if client["name"] == "sluice-test"
    ]


def address_in(cluster, user="", scheme="rediss"):
    hosts = ",".join(node.address for node in cluster.nodes)
    return f"{scheme}+cluster://{user}{hosts}"


def test_a_cluster_is_used_with_tls_a_client_certificate_and_a_user(cluster, certificates):
    Users(cluster.nodes)
    url = f"{address_in(cluster, 'first:word@')}?{shown_by(certificates)}"
    assert keeps_streams(url)
    assert keeps_streams(url.replace("rediss", "valkeys"))
    assert "invalid username-password pair" in problem_of(url.replace("word@", "wrong@"))
    unknown = f"{address_in(cluster)}?{shown_by(certificates, 'untrusted')}"
    assert "Redis cannot be reached" in problem_of(unknown)


def test_connections_to_all_nodes_log_in_again(cluster, certificates, monkeypatch):
    for name, seconds in (("RENEWAL", 0.5), ("LOOK", 0.02), ("RETRY", 0.05)):
        monkeypatch.setattr(login, f"_{name}_SECONDS", seconds)
    users = Users(cluster.nodes)
    url = f"{address_in(cluster)}?{shown_by(certificates)}"
    client = RedisClient(url, "sluice-test", credentials=users)
    kept = client.keep_connection(may_repeat=False)
    commands = [("GET", f"key-{number}") for number in range(30)]
    kept.execute(*commands)
    assert set(users_of(cluster)) == {"first"}
    users.user = "second"

    def are_second():
        assert kept.execute(*commands) == [None] * 30
        return users_of(cluster).count("second") == len(cluster.nodes)

    wait_until(are_second)
    assert client.health.problem is None
    client.close()


def test_a_url_without_tls_to_a_cluster_with_it_is_told_and_nothing_hangs(cluster):
    assert "Redis cannot be reached" in problem_of(address_in(cluster, scheme="redis"))


def test_a_gateway_keeps_its_streams_in_such_a_cluster_with_a_password_from_a_file(
    cluster, certificates, tmp_path
):
    Users(cluster.nodes)
    file = tmp_path / "password"
    file.write_text("word")
    file.chmod(0o600)
    url = f"{address_in(cluster, 'first@')}?{shown_by(certificates)}"
    with Server(redis_url=url, redis_password_file=file, workers=2) as server:
        for _ in range(4):
            with server.connect() as sock:
                sock.sendall(post("/v1/streams", chat(simulator={"tokens": 5, "itl_ms": 1})))
                created = Response(sock)
                assert created.status == 201
                place = created.json()["url"]
            with server.connect() as sock:
                sock.sendall(get(place))
                events = EventParser().feed(Response(sock).body())
            assert [int(event.id) for event in events] == list(range(1, len(events) + 1))
            assert events[-1].event == "done"
        assert "WARNING" not in server.log


# Sentinels.


class SecretSentinel(RedisProcess):
    """Watches one primary, and speaks to those only that have its password and a certificate, as the primary does."""

    def __init__(self, primary, password, certificate: Path) -> None:
        super().__init__(REDIS)
        self.port = free_port()
        own = f"ssl_ca_certs={certificate}&ssl_certfile={certificate}"
        self.url = f"rediss://:{quote(password, '')}@127.0.0.1:{self.port}/0?{own}"
        self.client = new_client(self.url)
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"port 0\ntls-port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"tls-cert-file {certificate}\ntls-key-file {certificate}\ntls-ca-cert-file {certificate}\n"
            f"tls-auth-clients yes\ntls-replication yes\nrequirepass {password}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 1\n"
            f"sentinel auth-pass {SERVICE} {primary.password}\n"
        )
        self._arguments = (str(configuration), "--sentinel")


@pytest.fixture(scope="module")
def watched(certificates):
    """Return a primary and its sentinel."""
    certificate = certificates["good"]
    with RedisNode(password="data/word", certificate=certificate) as primary:
        primary.password = "data/word"
        primary.client.config_set("tls-auth-clients", "yes")
        with SecretSentinel(primary, "watch?word", certificate) as sentinel:
            yield primary, sentinel


def test_sentinels_and_servers_have_tls_a_client_certificate_and_a_password_each(
    watched, certificates
):
    _, sentinel = watched
    place = f"127.0.0.1:{sentinel.port}/{SERVICE}?{shown_by(certificates)}"
    url = f"rediss+sentinel://:data%2Fword@{place}"
    assert keeps_streams(f"{url}&sentinel_password=watch%3Fword")
    assert "Authentication required" in problem_of(url)
    assert "invalid username-password pair" in problem_of(f"{url}&sentinel_password=wrong")
    other = url.replace("data%2Fword", "wrong")
    assert "invalid username-password pair" in problem_of(f"{other}&sentinel_password=watch%3Fword")


def test_credentials_are_given_to_the_servers_and_not_to_the_sentinels(watched, certificates):
    primary, sentinel = watched
    users = Users([primary])
    place = f"127.0.0.1:{sentinel.port}/{SERVICE}?{shown_by(certificates)}"
    url = f"rediss+sentinel://{place}&sentinel_password=watch%3Fword"
    assert keeps_streams(url, credentials=users)
    assert "Authentication required" in problem_of(
        url.partition("&sentinel_password")[0], credentials=users
    )
