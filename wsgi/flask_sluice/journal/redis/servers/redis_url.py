"""What a Redis URL says, and what is wrong with it."""

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, unquote

Topology: TypeAlias = Literal["server", "sentinel", "cluster"]

FORMS = (
    "redis://HOST:PORT/DB, rediss:// (TLS), unix://PATH, redis+cluster://HOST:PORT,HOST:PORT or "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
)

_SCHEMES: dict[str, tuple[Topology, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("server", False),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
}
"""What each one is, and whether it uses TLS."""

_SERVER_PORT = 6379
_SENTINEL_PORT = 26379


@dataclass(frozen=True)
class RedisUrl:
    """A URL in its parts, decoded.

    nodes: host and port of the server, of the sentinels, or of some of the cluster's nodes; none for a unix socket
    path: of the unix socket; else ""
    service: what the sentinels call the master; else ""
    options: as they are written
    """

    topology: Topology
    has_tls: bool
    nodes: tuple[tuple[str, int], ...]
    path: str
    service: str
    database: int
    username: str
    password: str = field(repr=False)
    options: dict[str, str] = field(repr=False)


def read_url(url: str) -> RedisUrl:
    """Return the parts of a URL. Raises ValueError, which says what to write and shows nothing of the URL."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower().replace("valkey", "redis", 1)
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"the Redis URL begins with none of {FORMS}")
    if re.search(r"\s", url):
        raise ValueError("the Redis URL has a space or a line break; in a password, a space is %20")
    topology, has_tls = _SCHEMES[scheme]
    authority, path, query = _split(rest)
    login, _, hosts = authority.rpartition("@")
    username, _, password = login.partition(":")
    options = _read_options(query)
    service, database = "", ""
    if scheme == "unix":
        nodes: tuple[tuple[str, int], ...] = ()
        if not path.strip("/"):
            raise ValueError("the Redis URL has no path; write unix:///PATH/OF/THE/SOCKET")
    else:
        database = path.strip("/")
        if topology == "sentinel":
            service, _, database = database.partition("/")
            if not service:
                raise ValueError(
                    "the Redis URL names no service; write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE "
                    "with the name that the sentinels have for the master"
                )
        nodes = _read_nodes(hosts, topology)
    return RedisUrl(
        topology,
        has_tls,
        nodes,
        unquote(path) if scheme == "unix" else "",
        unquote(service),
        _read_database(options.pop("db", "") or database, topology),
        unquote(username) or options.pop("username", ""),
        unquote(password) or options.pop("password", ""),
        options,
    )


def _split(rest: str) -> tuple[str, str, str]:
    authority, path, query = re.fullmatch(r"([^/?#]*)([^?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if ("@" not in authority and "@" in rest) or query.startswith("#"):
        raise ValueError(
            "the Redis URL has a /, ? or # before its @; in a user or password, write them as %2F, %3F and %23"
        )
    return authority, path, query[1:]


def _read_options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, strict_parsing=True) if query else []
    except ValueError:
        raise ValueError("the Redis URL has an option without a value; write ?NAME=VALUE") from None
    return dict(pairs)


def _read_nodes(hosts: str, topology: Topology) -> tuple[tuple[str, int], ...]:
    nodes = hosts.split(",")
    if topology == "server" and len(nodes) > 1:
        raise ValueError(
            "the Redis URL has more than one server; write redis+cluster://HOST:PORT,HOST:PORT for a cluster or "
            "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE for sentinels"
        )
    port = _SENTINEL_PORT if topology == "sentinel" else _SERVER_PORT
    return tuple(_read_node(node, port) for node in nodes)


def _read_node(node: str, default_port: int) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.%-]+)?)\]|([^\[\]:]*))(?::(.*))?", node)
    if match is None:
        raise ValueError("the Redis URL has a host that is none; an IPv6 address goes in brackets")
    host = unquote(match[1] or match[2] or "")
    if not host:
        raise ValueError("the Redis URL has no host; write HOST:PORT")
    port = match[3] or str(default_port)
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        raise ValueError("the Redis URL has a port that is not a number from 1 to 65535")
    return host, int(port)


def _read_database(text: str, topology: Topology) -> int:
    if not re.fullmatch(r"[0-9]{0,9}", text, re.ASCII):
        raise ValueError("the Redis URL has a database that is not a number, such as /0")
    database = int(text or 0)
    if database and topology == "cluster":
        raise ValueError(
            "the Redis URL has a database other than 0, and a cluster has only database 0"
        )
    return database
