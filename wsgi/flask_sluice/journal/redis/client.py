"""Commands to Redis, and their replies."""

import logging
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError

logger = logging.getLogger("sluice.journal")

Command: TypeAlias = tuple[str | bytes | int, ...]
Reply: TypeAlias = Any
"""What RESP2 knows: bytes, int, None, a list of these; ResponseError where a command was refused."""

_TIMEOUT_SECONDS = 2.0
_MAX_CONNECTIONS = 6
"""For what requests ask. They wait for each other for microseconds."""
_TURN_SECONDS = 6.0
"""But when hundreds of streams begin at once on a busy host it may be seconds, and that is no failure of Redis's."""

RETRY_SECONDS = 0.3
"""Between attempts to reach Redis. A refused connection costs little, and readers wait for it."""


class RedisClient:
    """A small pool of connections, and those that one greenlet keeps for itself.

    url: redis://, rediss:// (TLS) or unix://, as redis-py takes it; what it sets wins
    name: what CLIENT LIST shows

    Raises ValueError, which does not show the URL, if it cannot be read.
    """

    def __init__(self, url: str, name: str) -> None:
        self.problem: str | None = None
        """Why the last attempt failed."""
        self.reached_since: float | None = None
        """Since when, in monotonic seconds, every attempt has succeeded."""
        self.is_closed = False
        # Of its types redis-py has only some.
        self._pool: Any
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_MAX_CONNECTIONS,
                timeout=_TURN_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                socket_timeout=_TIMEOUT_SECONDS,
                client_name=name,
                protocol=2,
            )
            # Replies are read as RESP2 and in bytes, whatever the URL says.
            self._pool.connection_kwargs.update(protocol=2, decode_responses=False)
            self._pool.connection_class(**self._pool.connection_kwargs)
        except (ValueError, TypeError, RedisError):
            # Their text may hold a part of the password: one with a slash is taken for the port.
            raise ValueError(
                "the Redis URL takes redis://HOST:PORT/DB, rediss://… or unix://PATH, a password in it "
                "percent-encoded, and options of redis-py's"
            ) from None

    def execute(self, *commands: Command) -> list[Reply]:
        """One reply for each command. Raises JournalUnavailableError."""
        try:
            connection = self._pool.get_connection()
        except (RedisError, OSError) as error:
            raise self.failed(error) from None
        try:
            return RedisConnection(self, connection).execute(*commands)
        finally:
            self._pool.release(connection)

    def transaction(self, *commands: Command) -> list[Reply]:
        """See ``RedisConnection.transaction``."""
        return results_of_transaction(self.execute(("MULTI",), *commands, ("EXEC",)))

    def keep_connection(self, *, may_repeat: bool = True) -> "RedisConnection":
        """A connection beside the pool, for one greenlet; connects when it is used."""
        return RedisConnection(self, self._pool.make_connection(), may_repeat=may_repeat)

    def close(self) -> None:
        """Closes all connections, also those in use."""
        self.is_closed = True
        self._pool.disconnect()

    def succeeded(self) -> None:
        if self.reached_since is None:
            self.reached_since = time.monotonic()
        if self.problem is not None:
            logger.info("Redis is reached again")
            self.problem = None

    def failed(self, error: Exception) -> JournalUnavailableError:
        reason = "Redis cannot be reached: " + str(error).partition("\n")[0]
        if self.problem is None and not self.is_closed:
            logger.warning("%s", reason)
        self.problem = reason
        self.reached_since = None
        return JournalUnavailableError(reason)


class RedisConnection:
    """One connection of redis-py's, below its commands: those cost more than all the rest of an event.

    may_repeat: a connection that Redis has closed meanwhile fails only when it is used; then the commands are
        sent once more, over a new one, though they may have been executed
    """

    def __init__(self, client: RedisClient, connection: Any, *, may_repeat: bool = True) -> None:
        self._client = client
        self._connection = connection
        self._may_repeat = may_repeat

    def execute(self, *commands: Command, timeout_seconds: float | None = None) -> list[Reply]:
        """One reply for each command. Raises JournalUnavailableError.

        timeout_seconds: how long each reply may take, where that is not the usual time
        """
        may_repeat = self._may_repeat and self._connection.is_connected
        try:
            try:
                return self._execute(commands, timeout_seconds)
            except RedisConnectionError:
                if not may_repeat or self._client.is_closed:
                    raise
                return self._execute(commands, timeout_seconds)
        except (RedisError, OSError) as error:
            self._connection.disconnect()
            raise self._client.failed(error) from None

    def transaction(self, *commands: Command) -> list[Reply]:
        """All commands or none, and nobody sees one without the others. One result for each.

        Raises JournalUnavailableError also where Redis refuses to write (it is full, or a replica).
        """
        return results_of_transaction(self.execute(("MULTI",), *commands, ("EXEC",)))

    def _execute(self, commands: Sequence[Command], timeout_seconds: float | None) -> list[Reply]:
        connection = self._connection
        # In one piece: redis-py would send it in pieces of 6 KB.
        connection.send_packed_command([b"".join(connection.pack_commands(commands))])
        options = {} if timeout_seconds is None else {"timeout": timeout_seconds}
        replies: list[Reply] = []
        for _ in commands:
            try:
                replies.append(connection.read_response(**options))
            except ResponseError as error:
                replies.append(error)
        self._client.succeeded()
        return replies


def results_of_transaction(replies: list[Reply]) -> list[Reply]:
    *queued, results = replies
    if isinstance(results, ResponseError):
        refusal = next((reply for reply in queued if isinstance(reply, ResponseError)), results)
        raise JournalUnavailableError(f"Redis refuses to write: {refusal}")
    assert isinstance(results, list)
    return results
