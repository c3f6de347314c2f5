"""Where Redis is: what a URL says, as arguments of redis-py's connections."""

import inspect
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError, ResponseError

from flask_sluice.journal.redis.servers.access.login import Logins
from flask_sluice.journal.redis.servers.access.tls import check_tls
from flask_sluice.journal.redis.servers.access.tls_connection import SharedContext, TlsConnection
from flask_sluice.journal.redis.servers.credentials import RedisCredentials, check_credentials
from flask_sluice.journal.redis.servers.redis_url import RedisUrl, RedisUrlError, Topology, read_url

_TIMEOUT_SECONDS = 2.0

_OCSP = ("ssl_validate_ocsp", "ssl_ocsp")
"""What only redis-py's own connections do."""

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
    logins: of connections to servers with data, where the credentials may change
    """

    topology: Topology
    nodes: tuple[tuple[str, int], ...]
    service: str
    connection_class: Any
    options: dict[str, Any] = field(repr=False)
    sentinel_class: Any
    sentinel_options: dict[str, Any] = field(repr=False)
    logins: Logins | None

    @classmethod
    def parse(
        cls, url: str, client_name: str, credentials: RedisCredentials | None = None
    ) -> "Address":
        """Read a URL; docs/configuration.md has its forms. Its options win over the timeouts here.

        client_name: the name of all connections in CLIENT LIST, if the user may set it
        credentials: the password, and perhaps the user, of servers with data, in place of those in the URL

        Raises ValueError, which does not show the URL, if the URL cannot be read, or names files that cannot be; TypeError
        for credentials that are none.
        """
        parts = read_url(url)
        check_credentials(credentials)
        if credentials is not None and parts.password:
            raise RedisUrlError("no password where there are credentials")
        check_tls(parts)
        shared = {
            # Connecting to a unix socket does not wait, and redis-py 4.5 refuses the argument there.
            **({} if parts.path else {"socket_connect_timeout": _TIMEOUT_SECONDS}),
            "socket_timeout": _TIMEOUT_SECONDS,
            # Not redis-py's ``client_name``: it makes no connection where the user may not set one.
            "redis_connect_func": partial(_begin, client_name),
            **parts.options,
            **_RESP2,
        }
        options = {**shared, "db": parts.database}
        if credentials is None:
            options |= _login(parts.username, parts.password)
        if parts.path:
            options["path"] = parts.path
        connection_class = _class_of(parts)
        if connection_class is TlsConnection:
            shared["shared_context"] = options["shared_context"] = SharedContext()
        address = cls(
            topology=parts.topology,
            nodes=parts.nodes,
            service=parts.service,
            connection_class=connection_class,
            options=options,
            sentinel_class=connection_class,
            sentinel_options={
                **shared,
                **_login(parts.sentinel_username, parts.sentinel_password),
            },
            logins=None if credentials is None else Logins(credentials, parts.username),
        )
        try:
            address.new_connection()
        except (ValueError, TypeError, RedisError):
            names = ", ".join(sorted(parts.options))
            raise RedisUrlError(
                f"only options that redis-py {redis.__version__} takes; that is not so for one of {names}"
            ) from None
        return address

    @property
    def deployment(self) -> Hashable:
        """What is the same for all users, databases and options of one server, its sentinels or its cluster."""
        return self.topology, frozenset(self.nodes), self.service, self.options.get("path")

    def new_connection(self, node: tuple[str, int] | None = None, **changes: Any) -> Any:
        """Return a connection of redis-py's to a server with data, not yet connected.

        node: None: the first one, or the unix socket
        changes: arguments that are to be others here
        """
        options = {**self.options, **changes}
        if self.logins is not None:
            options["credential_provider"] = self.logins.new_login()
        return self.connection_class(**self._place(node), **options)

    def new_sentinel_connection(self, node: tuple[str, int], **changes: Any) -> Any:
        """Return a connection of redis-py's to a sentinel, not yet connected."""
        return self.sentinel_class(**self._place(node), **{**self.sentinel_options, **changes})

    def _place(self, node: tuple[str, int] | None) -> dict[str, Any]:
        if not self.nodes:
            return {}
        host, port = node or self.nodes[0]
        return {"host": host, "port": port}


def _class_of(parts: RedisUrl) -> Any:
    if parts.path:
        return UnixDomainSocketConnection
    if any(name.startswith(_OCSP) for name in parts.options):
        return SSLConnection
    return TlsConnection if parts.has_tls else Connection


def _begin(client_name: str, connection: Any) -> None:
    """Do what a new connection begins with: log in, select the database, and give the connection a name."""
    connection.on_connect()
    connection.send_command("CLIENT", "SETNAME", client_name, check_health=False)
    # An ACL may not allow it, and some proxies do not know it. Nothing depends on the name.
    with suppress(ResponseError):
        connection.read_response()


def _login(username: str, password: str) -> dict[str, str]:
    login = {"username": username, "password": password}
    return {name: value for name, value in login.items() if value}
