"""What a Redis URL says, and what is wrong with it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ssl import TLSVersion
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote

Topology: TypeAlias = Literal["server", "sentinel", "cluster"]

_CLUSTER = "redis+cluster://HOST:PORT,HOST:PORT"
_SENTINEL = "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
_SOCKET = "unix:///PATH/OF/THE/SOCKET"

_SCHEMES: dict[str, tuple[Topology, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("server", False),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
}
"""What each one leads to, and whether over TLS. Each may be written with valkey in place of redis."""

_SERVER_PORT = 6379
_SENTINEL_PORT = 26379


@dataclass(frozen=True)
class RedisUrl:
    """A URL in its parts, decoded.

    nodes: host and port of the server, of the sentinels, or of some of the cluster's nodes; none for a unix socket
    path: of the unix socket; else ""
    service: what the sentinels call the master; else ""
    username, password: of the servers with data; "" if there is none
    options: arguments of redis-py's connections
    """

    topology: Topology
    has_tls: bool
    nodes: tuple[tuple[str, int], ...]
    path: str
    service: str
    database: int
    username: str
    password: str = field(repr=False)
    sentinel_username: str
    sentinel_password: str = field(repr=False)
    options: dict[str, Any] = field(repr=False)


class RedisUrlError(ValueError):
    """A URL has a mistake. The message is one line that shows nothing of the URL but an option's name.

    takes: what to write
    """

    def __init__(self, takes: str) -> None:
        super().__init__(f"the Redis URL takes {takes}")
        self.takes = takes


def read_url(url: str) -> RedisUrl:
    """Return the parts of a URL. Raises RedisUrlError, and TypeError for what is not text."""
    if not isinstance(url, str):
        raise TypeError(
            f"url takes a str such as redis://127.0.0.1:6379/0, got {type(url).__name__}"
        )
    scheme, rest = _split_scheme(url)
    topology, has_tls = _SCHEMES[scheme]
    authority, path, query = _split(rest)
    login, _, hosts = authority.rpartition("@")
    username, _, password = login.partition(":")
    nodes: tuple[tuple[str, int], ...] = ()
    service = database = ""
    if scheme == "unix":
        _check_socket(hosts, path)
    else:
        nodes, service, database = _read_place(topology, hosts, path)
    # Last, because a mistake shows an option's name: what looks like one may be a part of the password.
    options = _read_options(query, topology)
    if scheme == "unix" and "socket_keepalive" in options:
        raise RedisUrlError("no option socket_keepalive with unix://, which has no use for it")
    return RedisUrl(
        topology=topology,
        has_tls=has_tls,
        nodes=nodes,
        path=unquote(path) if scheme == "unix" else "",
        service=service,
        database=_read_database(options.pop("db", "") or database, topology),
        username=unquote(username) or options.pop("username", ""),
        password=unquote(password) or options.pop("password", ""),
        sentinel_username=options.pop("sentinel_username", ""),
        sentinel_password=options.pop("sentinel_password", ""),
        options=options,
    )


def _split_scheme(url: str) -> tuple[str, str]:
    if re.search(r"\s", url):
        raise RedisUrlError("no space and no line break; in a user or a password, a space is %20")
    written, separator, rest = url.partition("://")
    scheme = re.sub("^valkey", "redis", written.lower())
    if separator and scheme in _SCHEMES:
        return scheme, rest
    if "sentinel" in scheme:
        raise RedisUrlError(f"{_SENTINEL} for sentinels, or rediss+sentinel:// for TLS")
    if "cluster" in scheme:
        raise RedisUrlError(f"{_CLUSTER} for a cluster, or rediss+cluster:// for TLS")
    if "unix" in scheme or "socket" in scheme:
        raise RedisUrlError(f"{_SOCKET} for a unix socket")
    raise RedisUrlError(
        f"redis://HOST:PORT/DB, rediss://… for TLS, {_SOCKET}, {_CLUSTER} or {_SENTINEL}"
    )


def _split(rest: str) -> tuple[str, str, str]:
    """Return user, password and hosts; the path; the options."""
    authority, path, query = re.findall(r"([^/?#]*)([^?#]*)(.*)", rest)[0]
    if "@" not in authority and "@" in rest:
        raise RedisUrlError(
            "in its user and password %2F for a /, %3F for a ? and %23 for a #, and in its options %40 for an @"
        )
    if "#" in query:
        raise RedisUrlError("no #; in a user, a password or an option, it is %23")
    return authority, path, query[1:]


def _check_socket(hosts: str, path: str) -> None:
    if hosts or not path.strip("/"):
        raise RedisUrlError(f"{_SOCKET} for a unix socket, with three slashes")


def _read_place(
    topology: Topology, hosts: str, path: str
) -> tuple[tuple[tuple[str, int], ...], str, str]:
    """Return the nodes, the service and the database."""
    service, database = "", path.strip("/")
    if topology == "sentinel":
        service, _, database = database.partition("/")
        if not service:
            raise RedisUrlError(
                f"{_SENTINEL} for sentinels, with the name that they have for the master"
            )
    nodes = hosts.split(",")
    if topology == "server" and len(nodes) > 1:
        raise RedisUrlError(f"one server; for several write {_CLUSTER} or {_SENTINEL}")
    port = _SENTINEL_PORT if topology == "sentinel" else _SERVER_PORT
    return tuple(_read_node(node, port) for node in nodes), unquote(service), database


def _read_node(node: str, default_port: int) -> tuple[str, int]:
    if not node.startswith("[") and node.count(":") > 1:
        raise RedisUrlError("an IPv6 address in brackets, such as [::1]:6379")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\]|[^\[\]:]*)(?::(.*))?", node)
    if match is None:
        raise RedisUrlError("HOST:PORT, or for IPv6 an address in brackets, such as [::1]:6379")
    host, port = unquote(match[1].strip("[]")), match[2]
    if not host:
        raise RedisUrlError("a host: HOST or HOST:PORT")
    if port is None:
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        raise RedisUrlError("a port from 1 to 65535: HOST:PORT")
    return host, int(port)


def _read_database(text: str, topology: Topology) -> int:
    if not re.fullmatch(r"[0-9]{0,9}", text, re.ASCII):
        raise RedisUrlError("a number as its database, such as /0 or ?db=0")
    database = int(text or 0)
    if database and topology == "cluster":
        raise RedisUrlError("no database but 0 for a cluster, which has no other; leave it out")
    return database


# Options.


def _flag(text: str) -> bool:
    if text.lower() in ("1", "true", "t", "yes", "y", "on"):
        return True
    if text.lower() in ("0", "false", "f", "no", "n", "off"):
        return False
    raise ValueError


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e9:
        raise ValueError
    return seconds


def _requirement(text: str) -> str:
    requirement = text.lower().removeprefix("cert_")
    if requirement not in ("none", "optional", "required"):
        raise ValueError
    return requirement


def _tls_version(text: str) -> TLSVersion:
    version = TLSVersion(int(text))
    if version not in (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3):
        raise ValueError
    return version


_Reader: TypeAlias = tuple[Callable[[str], Any], str]

_TEXT: _Reader = (str, "a text")
_FLAG: _Reader = (_flag, "true or false")
_SECONDS: _Reader = (_seconds, "a number of seconds")
_COUNT: _Reader = (int, "a whole number")
_SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
_READERS: dict[str, _Reader] = {
    **dict.fromkeys(("db", "username", "password", *_SENTINEL_LOGIN), _TEXT),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _SECONDS),
    "socket_keepalive": _FLAG,
    "socket_read_size": _COUNT,
    **dict.fromkeys(("ssl_certfile", "ssl_keyfile", "ssl_password"), _TEXT),
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_ciphers"), _TEXT),
    "ssl_cert_reqs": (_requirement, "none, optional or required"),
    "ssl_check_hostname": _FLAG,
    "ssl_min_version": (_tls_version, "771 (TLS 1.2) or 772 (TLS 1.3)"),
    **dict.fromkeys(("ssl_validate_ocsp", "ssl_validate_ocsp_stapled"), _FLAG),
    "ssl_ocsp_expected_cert": _TEXT,
}
"""How each option is read, and what it takes."""

_IGNORED = frozenset(
    [
        "client_name",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "legacy_responses",
        "lib_name",
        "lib_version",
        "max_connections",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "timeout",
    ]
)
"""What a URL may say to redis-py's clients and pools, which are not used."""


def _read_options(query: str, topology: Topology) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise RedisUrlError("options as ?NAME=VALUE&NAME=VALUE") from None
    options: dict[str, Any] = {}
    for name, text in pairs:
        if name in _IGNORED:
            continue
        if name in ("ssl", "tls"):
            raise RedisUrlError(f"rediss:// for TLS, in place of the option {name}")
        if name not in _READERS:
            raise RedisUrlError(f"no option {name[:40]!r}; docs/configuration.md lists them")
        if name in options:
            raise RedisUrlError(f"the option {name} once")
        if name in _SENTINEL_LOGIN and topology != "sentinel":
            raise RedisUrlError(
                f"the option {name} only with redis+sentinel:// and rediss+sentinel://"
            )
        read, takes = _READERS[name]
        try:
            options[name] = read(text)
        except ValueError:
            raise RedisUrlError(f"{takes} for the option {name}") from None
    return options
