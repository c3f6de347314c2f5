"""Where Redis is: what a URL says."""

import inspect
from dataclasses import dataclass
from typing import Any

from redis.connection import Connection, parse_url
from redis.exceptions import RedisError

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
    """A server of Redis's.

    connection_class: redis-py's, for TCP, TLS or a unix socket
    options: its arguments
    """

    connection_class: Any
    options: dict[str, Any]

    @classmethod
    def parse(cls, url: str, client_name: str) -> "Address":
        """Read a URL: redis://, rediss:// (TLS) or unix://, as redis-py takes it; its options win over the timeouts here.

        client_name: the name of all connections in CLIENT LIST

        Raises ValueError, which does not show the URL, if the URL cannot be read.
        """
        try:
            connection_class, options = _read_url(url)
            address = cls(connection_class, {**options, "client_name": client_name})
            address.new_connection()
        except (ValueError, TypeError, RedisError):
            # The text of these may hold a part of the password: a password with a slash is taken for the port.
            raise ValueError(
                "the Redis URL takes redis://HOST:PORT/DB, rediss://… or unix://PATH, a password in it "
                "percent-encoded, and options of redis-py's"
            ) from None
        return address

    def new_connection(self, **changes: Any) -> Any:
        """Return a connection of redis-py's, not yet connected.

        changes: arguments that are to be others here
        """
        return self.connection_class(**{**self.options, **changes})


def _read_url(url: str) -> tuple[Any, dict[str, Any]]:
    """Return the class of connection that the URL asks for, and the arguments of its constructor."""
    asked: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    options = {"socket_timeout": _TIMEOUT_SECONDS, **asked}
    if "path" not in options:
        # Connecting to a unix socket does not wait, and redis-py 4.5 refuses the argument there.
        options.setdefault("socket_connect_timeout", _TIMEOUT_SECONDS)
    for name in _IGNORED_OPTIONS:
        options.pop(name, None)
    return options.pop("connection_class", Connection), {**options, **_RESP2}
