"""Where Redis is: what a URL says, as arguments of redis-py's connections."""

import inspect
from dataclasses import dataclass, field
from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.servers.redis_url import RedisUrl, Topology, read_url

_TIMEOUT_SECONDS = 2.0

_IGNORED_OPTIONS = ("max_connections", "timeout", "protocol", "decode_responses")
"""What a URL may say to a pool of redis-py's, which is not used, and to its parser: replies are read as RESP2, in bytes."""

# Since 5.0 redis-py can speak RESP3, and since 8.0 it does so by default; before that the argument is unknown.
_RESP2: dict[str, int] = (
    {"protocol": 2}
    if any("protocol" in inspect.signature(base).parameters for base in Connection.__mro__[:-1])
    else {}
)


@dataclass(frozen=True)
class Address:
    """Where Redis is, and how connections to it are made.

    nodes: host and port of the server, of the sentinels, or of some of the cluster's nodes; none for a unix socket
    service: what the sentinels call the master; else ""
    connection_class, options: of redis-py's connections to servers with data, without host and port
    sentinel_class, sentinel_options: the same for sentinels
    """

    topology: Topology
    nodes: tuple[tuple[str, int], ...]
    service: str
    connection_class: Any
    options: dict[str, Any] = field(repr=False)
    sentinel_class: Any
    sentinel_options: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(
        cls, url: str, client_name: str, credentials: RedisCredentials | None = None
    ) -> "Address":
        """Read a URL. Its options win over the timeouts here.

        client_name: the name of all connections in CLIENT LIST
        credentials: instead of a user and a password in the URL; asked at each connect

        Raises ValueError, which does not show the URL, if the URL cannot be read.
        """
        parts = read_url(url)
        options, sentinel_options = _options_of(parts, client_name)
        if credentials is not None:
            options["credential_provider"] = credentials
        connection_class = _class_of(parts)
        address = cls(
            parts.topology,
            parts.nodes,
            parts.service,
            connection_class,
            options,
            connection_class,
            sentinel_options,
        )
        try:
            address.new_connection()
        except (ValueError, TypeError, RedisError):
            raise ValueError("the Redis URL has an option that redis-py does not take") from None
        return address

    def new_connection(self, node: tuple[str, int] | None = None, **changes: Any) -> Any:
        """Return a connection of redis-py's to a server with data, not yet connected.

        node: None: the first one, or the unix socket
        changes: arguments that are to be others here
        """
        return self.connection_class(**self._node_arguments(node), **{**self.options, **changes})

    def new_sentinel_connection(self, node: tuple[str, int], **changes: Any) -> Any:
        """Return a connection of redis-py's to a sentinel, not yet connected."""
        arguments = {**self.sentinel_options, **changes}
        return self.sentinel_class(**self._node_arguments(node), **arguments)

    def _node_arguments(self, node: tuple[str, int] | None) -> dict[str, Any]:
        if not self.nodes:
            return {}
        host, port = node or self.nodes[0]
        return {"host": host, "port": port}


def _class_of(parts: RedisUrl) -> Any:
    if parts.path:
        return UnixDomainSocketConnection
    return SSLConnection if parts.has_tls else Connection


def _options_of(parts: RedisUrl, client_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments for servers with data and those for sentinels."""
    shared: dict[str, Any] = {"socket_timeout": _TIMEOUT_SECONDS, "client_name": client_name}
    if not parts.path:
        # Connecting to a unix socket does not wait, and redis-py 4.5 refuses the argument there.
        shared["socket_connect_timeout"] = _TIMEOUT_SECONDS
    given = dict(parts.options)
    for name in _IGNORED_OPTIONS:
        given.pop(name, None)
    for name in ("socket_timeout", "socket_connect_timeout"):
        if name in given:
            shared[name] = float(given.pop(name))
    sentinel_login = {
        name: given.pop(f"sentinel_{name}", "") or None for name in ("username", "password")
    }
    shared |= {**given, **_RESP2}
    login = {"username": parts.username or None, "password": parts.password or None}
    path = {"path": parts.path} if parts.path else {}
    return {**shared, **login, **path, "db": parts.database}, {**shared, **sentinel_login}
