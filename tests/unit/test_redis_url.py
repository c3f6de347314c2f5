"""Where Redis is: every form of URL, and what is said of every mistake in one."""

import subprocess

import pytest
import redis.connection

from flask_sluice import Channels, Streams
from flask_sluice.journal.redis.servers.access.tls_connection import TlsConnection
from flask_sluice.journal.redis.servers.address import Address
from flask_sluice.journal.redis.servers.redis_url import read_url
from tests.support.certificate import make_certificates

CLUSTER = "redis+cluster://HOST:PORT,HOST:PORT"
SENTINEL = "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
SOCKET = "unix:///PATH/OF/THE/SOCKET"

# Forms.


def address_of(url, **options):
    return Address.parse(url, "sluice-test", **options)


@pytest.mark.parametrize(
    ("url", "topology", "nodes"),
    [
        ("redis://h", "server", [("h", 6379)]),
        ("redis://h:1/0", "server", [("h", 1)]),
        ("rediss://h", "server", [("h", 6379)]),
        ("REDIS://h", "server", [("h", 6379)]),
        ("valkey://h", "server", [("h", 6379)]),
        ("valkeys://h:6380", "server", [("h", 6380)]),
        ("redis://127.0.0.1:65535", "server", [("127.0.0.1", 65535)]),
        ("redis://[::1]", "server", [("::1", 6379)]),
        ("redis://u:p@[2001:db8::7]:1/2", "server", [("2001:db8::7", 1)]),
        ("redis://[fe80::1%25eth0]:1", "server", [("fe80::1%eth0", 1)]),
        ("redis+cluster://h", "cluster", [("h", 6379)]),
        ("redis+cluster://a:1,b,[::1]:3/", "cluster", [("a", 1), ("b", 6379), ("::1", 3)]),
        ("rediss+cluster://:p@a:1,b:2/0", "cluster", [("a", 1), ("b", 2)]),
        ("valkeys+cluster://h", "cluster", [("h", 6379)]),
        ("redis+sentinel://h/s", "sentinel", [("h", 26379)]),
        ("rediss+sentinel://a:1,b,[::1]/s", "sentinel", [("a", 1), ("b", 26379), ("::1", 26379)]),
        ("valkey+sentinel://h/s", "sentinel", [("h", 26379)]),
        ("unix:///run/redis.sock", "server", []),
    ],
)
def test_a_url_names_its_nodes(url, topology, nodes):
    address = address_of(url)
    assert (address.topology, list(address.nodes)) == (topology, nodes)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://h", redis.connection.Connection),
        ("redis+cluster://h", redis.connection.Connection),
        ("redis+sentinel://h/s", redis.connection.Connection),
        ("rediss://h", TlsConnection),
        ("rediss+cluster://h", TlsConnection),
        ("rediss+sentinel://h/s", TlsConnection),
        ("valkeys://h", TlsConnection),
        ("unix:///run/redis.sock", redis.connection.UnixDomainSocketConnection),
    ],
)
def test_two_s_are_tls_to_the_servers_and_to_the_sentinels(url, kind):
    address = address_of(url)
    assert type(address.new_connection()) is kind
    if address.topology == "sentinel":
        assert type(address.new_sentinel_connection(("h", 1))) is kind


@pytest.mark.parametrize(
    ("url", "service", "database"),
    [
        ("redis://h", "", 0),
        ("redis://h/", "", 0),
        ("redis://h?", "", 0),
        ("redis://h/3", "", 3),
        ("redis://h?db=3", "", 3),
        ("redis://h/1?db=3", "", 3),
        ("unix:///run/redis.sock?db=3", "", 3),
        ("redis+cluster://h/0", "", 0),
        ("redis+cluster://h?db=0", "", 0),
        ("redis+sentinel://h/my-master", "my-master", 0),
        ("redis+sentinel://h/my%20master/3", "my master", 3),
        ("redis+sentinel://h/s?db=3", "s", 3),
    ],
)
def test_a_url_names_the_service_and_the_database(url, service, database):
    address = address_of(url)
    assert (address.service, address.new_connection().db) == (service, database)


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://h", None, None),
        ("redis://:p@h", None, "p"),
        ("redis://u:p@h", "u", "p"),
        ("redis://u%40x:p%2F%3F%23%25%20@h", "u@x", "p/?#% "),
        ("redis://:p@q@h", None, "p@q"),
        ("redis://h?username=u&password=p", "u", "p"),
        ("redis+cluster://u:p:q@a,b", "u", "p:q"),
        ("unix://u:p@/run/redis.sock", "u", "p"),
    ],
)
def test_user_and_password_are_those_of_the_servers(url, username, password):
    connection = address_of(url).new_connection()
    assert (connection.username, connection.password) == (username, password)


def test_sentinels_have_a_login_of_their_own_or_none():
    address = address_of("redis+sentinel://u:p@h/s")
    assert (address.new_connection().username, address.new_connection().password) == ("u", "p")
    sentinel = address.new_sentinel_connection(("h", 26379))
    assert (sentinel.username, sentinel.password) == (None, None)

    url = "redis+sentinel://u:p@h/s/2?sentinel_username=v&sentinel_password=q%2F"
    sentinel = address_of(url).new_sentinel_connection(("other", 1))
    assert (sentinel.username, sentinel.password) == ("v", "q/")
    assert (sentinel.host, sentinel.port, sentinel.db) == ("other", 1, 0)


def test_connections_have_the_options_of_the_url(tmp_path):
    certificate = make_certificates(tmp_path)["good"]
    url = (
        f"rediss://h?socket_timeout=9&socket_connect_timeout=0.5&ssl_certfile={certificate}&ssl_ca_certs={certificate}"
        "&ssl_cert_reqs=CERT_NONE&ssl_check_hostname=no&socket_keepalive=1"
    )
    connection = address_of(url).new_connection()
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (9, 0.5)
    assert (connection.certfile, connection.ca_certs) == (str(certificate), str(certificate))
    assert connection.check_hostname is False
    assert connection.socket_keepalive is True


def test_with_ocsp_a_connection_is_redis_pys_own():
    address = address_of("rediss://h?ssl_validate_ocsp=true")
    assert type(address.new_connection()) is redis.connection.SSLConnection


@pytest.mark.parametrize("option", ["protocol=3", "max_connections=9", "health_check_interval=5"])
def test_options_of_redis_pys_pools_and_clients_are_left_aside(option):
    plain, other = address_of("redis://h"), address_of(f"redis://h?{option}")
    assert set(other.options) == set(plain.options)


def test_what_is_shown_of_an_address_has_no_password():
    url = "redis+sentinel://u:secret@h/s?sentinel_password=secret"
    assert "secret" not in repr(address_of(url))
    assert "secret" not in repr(read_url(url))


# Mistakes.

MISTAKES = {
    "http://u:secret@h": f"redis://HOST:PORT/DB, rediss://… for TLS, {SOCKET}, {CLUSTER} or {SENTINEL}",
    "h:6379": f"redis://HOST:PORT/DB, rediss://… for TLS, {SOCKET}, {CLUSTER} or {SENTINEL}",
    "": f"redis://HOST:PORT/DB, rediss://… for TLS, {SOCKET}, {CLUSTER} or {SENTINEL}",
    "redis:h": f"redis://HOST:PORT/DB, rediss://… for TLS, {SOCKET}, {CLUSTER} or {SENTINEL}",
    "redis-sentinel://h/s": f"{SENTINEL} for sentinels, or rediss+sentinel:// for TLS",
    "sentinel://:secret@h": f"{SENTINEL} for sentinels, or rediss+sentinel:// for TLS",
    "redis-cluster://h": f"{CLUSTER} for a cluster, or rediss+cluster:// for TLS",
    "redis+clusters://h": f"{CLUSTER} for a cluster, or rediss+cluster:// for TLS",
    "redis+socket:///run/redis.sock": f"{SOCKET} for a unix socket",
    "redis+unix:///run/redis.sock": f"{SOCKET} for a unix socket",
    "unix://run/redis.sock": f"{SOCKET} for a unix socket, with three slashes",
    "unix://": f"{SOCKET} for a unix socket, with three slashes",
    "unix:///": f"{SOCKET} for a unix socket, with three slashes",
    " redis://h": "no space and no line break; in a user or a password, a space is %20",
    "redis://h\n": "no space and no line break; in a user or a password, a space is %20",
    "redis://:secret word@h": "no space and no line break; in a user or a password, a space is %20",
    "redis+cluster://a:1, b:2": "no space and no line break; in a user or a password, a space is %20",
    **dict.fromkeys(
        (
            *("redis://:secret/part@h", "redis://:secret?part@h", "redis://:secret#part@h"),
            *("redis://:p?secret=part@h", "redis+sentinel://u:secret/x@h/s"),
        ),
        "in its user and password %2F for a /, %3F for a ? and %23 for a #, and in its options %40 for an @",
    ),
    "redis://h/0#secret": "no #; in a user, a password or an option, it is %23",
    "redis-sentinel://h/0#mymaster": f"{SENTINEL} for sentinels, or rediss+sentinel:// for TLS",
    "redis://": "a host: HOST or HOST:PORT",
    "redis://:secret@": "a host: HOST or HOST:PORT",
    "redis://:6379": "a host: HOST or HOST:PORT",
    "redis://[]:6379": "HOST:PORT, or for IPv6 an address in brackets, such as [::1]:6379",
    "redis+cluster://a,,b": "a host: HOST or HOST:PORT",
    "redis+cluster://a,": "a host: HOST or HOST:PORT",
    "redis+sentinel:///s": "a host: HOST or HOST:PORT",
    "redis://::1": "an IPv6 address in brackets, such as [::1]:6379",
    "redis://h:1:2": "an IPv6 address in brackets, such as [::1]:6379",
    "redis://[::1": "HOST:PORT, or for IPv6 an address in brackets, such as [::1]:6379",
    "redis://[h]": "HOST:PORT, or for IPv6 an address in brackets, such as [::1]:6379",
    **{
        f"redis://:secret@h:{port}": "a port from 1 to 65535: HOST:PORT"
        for port in ("0", "65536", "999999", "-1", "x", "", "٣", "+1")
    },
    "redis+sentinel://h:x/s": "a port from 1 to 65535: HOST:PORT",
    "redis://a:1,b:2": f"one server; for several write {CLUSTER} or {SENTINEL}",
    "rediss://:secret@a,b/s": f"one server; for several write {CLUSTER} or {SENTINEL}",
    "redis+sentinel://h": f"{SENTINEL} for sentinels, with the name that they have for the master",
    "redis+sentinel://h/": f"{SENTINEL} for sentinels, with the name that they have for the master",
    "redis+sentinel://h?db=0": f"{SENTINEL} for sentinels, with the name that they have for the master",
    "redis://h/x": "a number as its database, such as /0 or ?db=0",
    "redis://h/-1": "a number as its database, such as /0 or ?db=0",
    "redis://h?db=first": "a number as its database, such as /0 or ?db=0",
    "redis://h/0/1": "a number as its database, such as /0 or ?db=0",
    "redis+sentinel://h/s/x": "a number as its database, such as /0 or ?db=0",
    "redis+cluster://h/1": "no database but 0 for a cluster, which has no other; leave it out",
    "rediss+cluster://h?db=1": "no database but 0 for a cluster, which has no other; leave it out",
    "redis://h?ssl": "options as ?NAME=VALUE&NAME=VALUE",
    "redis://h?no_such_option=1": "no option 'no_such_option'; docs/configuration.md lists them",
    "redis://h?ssl=true": "rediss:// for TLS, in place of the option ssl",
    "redis://h?host=other": "no option 'host'; docs/configuration.md lists them",
    "redis://:secret?part=x": "a host: HOST or HOST:PORT",
    "redis://h?db=1&db=2": "the option db once",
    "redis://h?sentinel_password=secret": (
        "the option sentinel_password only with redis+sentinel:// and rediss+sentinel://"
    ),
    "redis://h?socket_timeout=soon": "a number of seconds for the option socket_timeout",
    "redis://h?socket_timeout=0": "a number of seconds for the option socket_timeout",
    "redis://h?socket_connect_timeout=nan": "a number of seconds for the option socket_connect_timeout",
    "redis://h?socket_keepalive=perhaps": "true or false for the option socket_keepalive",
    "unix:///run/redis.sock?socket_keepalive=1": (
        "no option socket_keepalive with unix://, which has no use for it"
    ),
    "redis://h?socket_read_size=x": "a whole number for the option socket_read_size",
    "redis://h?ssl_cert_reqs=none": (
        "the option ssl_cert_reqs only with rediss://, rediss+cluster:// and rediss+sentinel://"
    ),
    "rediss://h?ssl_cert_reqs=some": "none, optional or required for the option ssl_cert_reqs",
    "rediss://h?ssl_min_version=1": "771 (TLS 1.2) or 772 (TLS 1.3) for the option ssl_min_version",
    "rediss://h?ssl_min_version=769": "771 (TLS 1.2) or 772 (TLS 1.3) for the option ssl_min_version",
    "rediss://h?ssl_keyfile=/key": "the option ssl_keyfile only with ssl_certfile",
    "rediss://h?ssl_certfile=/no/file": (
        "a certificate and a key that fit for ssl_certfile; got: No such file or directory"
    ),
    "rediss://h?ssl_ca_certs=/no/file": (
        "certificates that can be read for ssl_ca_certs; got: No such file or directory"
    ),
    "rediss+sentinel://h/s?ssl_ca_data=x": (
        "certificates that can be read for ssl_ca_data; got: it is not a certificate"
    ),
}


@pytest.mark.parametrize(("url", "takes"), MISTAKES.items())
def test_a_mistake_is_one_line_that_says_what_to_write_and_shows_no_password(url, takes):
    with pytest.raises(ValueError, match="Redis URL") as refused:
        Streams(url)
    assert str(refused.value) == f"the Redis URL takes {takes}"
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("make", [Streams, Channels])
def test_what_is_not_text_is_told_with_its_type(make):
    for wrong in (7, b"redis://:secret@h"):
        with pytest.raises(
            TypeError, match=r"^url takes a str such as redis://.*, got (int|bytes)$"
        ):
            make(wrong)


def test_a_key_that_does_not_fit_its_certificate_is_told_at_the_start(tmp_path):
    made = make_certificates(tmp_path)
    url = f"rediss://h?ssl_certfile={made['good']}&ssl_keyfile={made['untrusted']}"
    with pytest.raises(
        ValueError, match="Redis URL takes a certificate and a key that fit for ssl_"
    ) as refused:
        address_of(url)
    assert str(refused.value).endswith("for ssl_certfile and ssl_keyfile; got: key values mismatch")


def test_an_encrypted_key_without_its_password_is_told_and_asks_no_terminal(tmp_path):
    certificate = make_certificates(tmp_path)["good"]
    key = tmp_path / "encrypted"
    encrypt = [
        "openssl",
        "pkey",
        "-in",
        certificate,
        "-aes256",
        "-passout",
        "pass:word",
        "-out",
        key,
    ]
    subprocess.run(encrypt, check=True, capture_output=True, timeout=50)
    url = f"rediss://h?ssl_certfile={certificate}&ssl_keyfile={key}"
    assert address_of(f"{url}&ssl_password=word").new_connection().keyfile == str(key)
    with pytest.raises(ValueError, match="for ssl_certfile and ssl_keyfile; got: "):
        address_of(url)


def test_an_option_that_an_older_redis_py_does_not_know_is_told_with_its_release(monkeypatch):
    class OlderConnection(redis.connection.Connection):
        def __init__(self, **arguments):
            if "socket_keepalive" in arguments:
                raise TypeError
            super().__init__(**arguments)

    monkeypatch.setattr("flask_sluice.journal.redis.servers.address.Connection", OlderConnection)
    address_of("redis://h")
    with pytest.raises(
        ValueError, match=f"redis-py {redis.__version__}.*for one of socket_keepalive$"
    ):
        address_of("redis://h?socket_keepalive=1")


# Credentials beside it.


class Static:
    def get_credentials(self):
        return ("secret",)


@pytest.mark.parametrize("make", [Streams, Channels])
class TestCredentials:
    def test_are_refused_beside_a_password_in_the_url(self, make):
        with pytest.raises(ValueError, match=r"takes no password where there are credentials$"):
            make("redis://u:secret@h", credentials=Static())

    def test_are_refused_without_a_url(self, make):
        with pytest.raises(ValueError, match=r"^credentials need the URL of a Redis"):
            make(credentials=Static())

    @pytest.mark.parametrize(
        ("given", "got"),
        [
            ("secret", "str"),
            (("u", "secret"), "tuple"),
            (Static, "the class Static"),
            (1, "int"),
        ],
    )
    def test_are_refused_that_have_no_get_credentials(self, make, given, got):
        with pytest.raises(TypeError, match=rf"get_credentials\(\).*; got {got}$") as refused:
            make("redis://h", credentials=given)
        assert "secret" not in str(refused.value)
