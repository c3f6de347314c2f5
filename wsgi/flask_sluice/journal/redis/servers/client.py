"""Commands to Redis, and their replies, for all that a process does with it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.address import Address
from flask_sluice.journal.redis.servers.connection import Command, RedisConnection, Reply
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.turns import Turns, turns_of_process

_MAX_CONNECTIONS = 6
"""For the commands of requests. A command takes microseconds, so requests rarely wait for each other."""
_PLACE_SECONDS = 6.0
"""When hundreds of streams begin at once on a busy host, a request may wait for seconds although Redis is well."""

_CHECK_TAG = "check"

RETRY_SECONDS = 0.3
"""Between attempts to reach Redis. A refused connection costs little, and readers wait for it."""


class RedisClient:
    """A few connections that requests share, and those that one greenlet keeps for itself.

    url, name, credentials: see ``Address.parse``
    turns: given away while a connection waits for Redis; None: those of the process

    Raises ValueError, which does not show the URL, if the URL cannot be read; TypeError for credentials that are none.
    """

    def __init__(
        self,
        url: str,
        name: str,
        turns: Turns | None = None,
        *,
        credentials: RedisCredentials | None = None,
    ) -> None:
        self.turns = turns or turns_of_process()
        self.health = RedisHealth(self.turns)
        self._address = Address.parse(url, name, credentials)
        self._connections: list[RedisConnection] = []
        self._idle: list[RedisConnection] = []
        self._places = BoundedSemaphore(_MAX_CONNECTIONS)

    def execute(self, *commands: Command) -> list[Reply]:
        """Return one reply for each command. Raises JournalUnavailableError."""
        with self._shared_connection() as connection:
            return connection.execute(*commands)

    def transaction(self, *commands: Command) -> list[Reply]:
        """See ``RedisConnection.transaction``."""
        with self._shared_connection() as connection:
            return connection.transaction(*commands)

    def transactions(
        self, groups: Sequence[Sequence[Command]]
    ) -> list[list[Reply] | JournalUnavailableError]:
        """See ``RedisConnection.transactions``."""
        with self._shared_connection() as connection:
            return connection.transactions(groups)

    def check(self, commands_in: Callable[[str], Sequence[Command]]) -> str | None:
        """Execute commands in a transaction over a new connection. Return why one does not work, None if all do.

        commands_in: returns commands that change nothing, on keys with this hash tag

        A new connection shows what others do not: the address leads elsewhere now, the password has changed, there
        are too many clients.
        """
        connection = RedisConnection(
            self.turns, self.health, self._address.new_connection(), may_repeat=False
        )
        try:
            results = connection.transaction(*commands_in(_CHECK_TAG))
        except JournalUnavailableError as error:
            return error.reason
        finally:
            connection.close()
        refusal = next((result for result in results if isinstance(result, ResponseError)), None)
        if refusal is not None:
            return self.health.refused(refusal).reason
        self.health.recovered()
        return None

    def setting(self, name: str) -> str | None:
        """Return one of Redis's own settings; None if it may not be read, as in most managed services."""
        connection = self._address.new_connection()
        try:
            with self.turns.given_away():
                connection.send_command("CONFIG", "GET", name)
                reply: Reply = connection.read_response()
        except (RedisError, OSError, ValueError):
            return None
        finally:
            connection.disconnect()
        return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else None

    def keep_connection(
        self, *, may_repeat: bool = True, reply_seconds: float | None = None
    ) -> RedisConnection:
        """Return a connection for one greenlet. It connects when it is used.

        reply_seconds: how long a reply may take, where the usual time is too short
        """
        # In the constructor's arguments: read_response() takes a timeout in some releases only.
        changes: dict[str, Any] = {} if reply_seconds is None else {"socket_timeout": reply_seconds}
        connection = RedisConnection(
            self.turns,
            self.health,
            self._address.new_connection(**changes),
            may_repeat=may_repeat,
        )
        self._connections.append(connection)
        return connection

    def new_connection(self, reply_seconds: float) -> Any:
        """Return a connection of redis-py's, not yet connected, whose user reads and closes it.

        reply_seconds: after so long without a byte, reading fails
        """
        return self._address.new_connection(socket_timeout=reply_seconds)

    def close(self) -> None:
        """Close all connections, also those in use."""
        self.health.close()
        for connection in self._connections:
            connection.close()

    @contextmanager
    def _shared_connection(self) -> Iterator[RedisConnection]:
        # Not redis-py's pool: the arguments of its get_connection() differ between releases, and it asks the system
        # before each use whether the connection is still open, which RedisConnection need not know.
        with self.turns.given_away():
            has_place = self._places.acquire(timeout=_PLACE_SECONDS)
        if not has_place:
            raise self.health.unreachable(RedisConnectionError("all connections are in use"))
        try:
            connection = self._idle.pop() if self._idle else self.keep_connection()
            try:
                yield connection
            finally:
                self._idle.append(connection)
        finally:
            self._places.release()
