"""Commands to Redis, and their replies: the one place that knows redis-py.

A command of redis-py's own API costs more than everything else that is done for an event, so this is built on the
layer below it. These names are used, and tests/system/test_journal_client.py fails when a release changes one:

- ``redis.connection.parse_url`` and the connection classes that it chooses, so that a URL means what it means to
  redis-py; their keyword arguments
- ``Connection.pack_commands``, ``send_packed_command``, ``send_command``, ``read_response`` and ``disconnect``

Everything else of redis-py has changed between 4.5 and 8.1 (pools, ``read_response(timeout=…)``, ``is_connected``)
and is not used.
"""

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore
from typing import Any, TypeAlias

from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.health import RedisHealth, code_of
from flask_sluice.journal.turns import Turns, turns_of_process

Command: TypeAlias = tuple[str | bytes | int, ...]
Reply: TypeAlias = Any
"""What RESP2 has: bytes, int, None, a list of these; a ``Refusal`` where a command was refused."""

Refusal: TypeAlias = ResponseError

_TIMEOUT_SECONDS = 2.0
_MAX_CONNECTIONS = 6
"""For the commands of requests. A command takes microseconds, so requests rarely wait for each other."""
_PLACE_SECONDS = 6.0
"""When hundreds of streams begin at once on a busy host, a request may wait for seconds although Redis is well."""

RETRY_SECONDS = 0.3
"""Between attempts to reach Redis. A refused connection costs little, and readers wait for it."""

_IGNORED_OPTIONS = ("max_connections", "timeout", "protocol", "decode_responses")
"""What a URL may say to a pool of redis-py's, which is not used, and to its parser: replies are read as RESP2, in bytes."""

# Since 5.0 redis-py can speak RESP3, and since 8.0 it does so by default; before that the argument is unknown.
_RESP2: dict[str, int] = (
    {"protocol": 2}
    if any("protocol" in inspect.signature(base).parameters for base in Connection.__mro__[:-1])
    else {}
)


class RedisClient:
    """A few connections that requests share, and those that one greenlet keeps for itself.

    url: redis://, rediss:// (TLS) or unix://, as redis-py takes it; its options win over the timeouts here
    name: the name of all connections in CLIENT LIST
    turns: given away while a connection waits for Redis; None: those of the process

    Raises ValueError, which does not show the URL, if the URL cannot be read.
    """

    def __init__(self, url: str, name: str, turns: Turns | None = None) -> None:
        self.turns = turns or turns_of_process()
        self.health = RedisHealth(self.turns)
        try:
            self._connection_class, self._options = _read_url(url)
            self._options["client_name"] = name
            self._connection_class(**self._options)
        except (ValueError, TypeError, RedisError):
            # The text of these may hold a part of the password: a password with a slash is taken for the port.
            raise ValueError(
                "the Redis URL takes redis://HOST:PORT/DB, rediss://… or unix://PATH, a password in it "
                "percent-encoded, and options of redis-py's"
            ) from None
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

    def check(self, *commands: Command) -> str | None:
        """Execute commands in a transaction over a new connection. Return why one does not work, None if all do.

        A new connection shows what others do not: the address leads elsewhere now, the password has changed, there
        are too many clients.
        """
        connection = RedisConnection(
            self.turns, self.health, self._connection_class(**self._options), may_repeat=False
        )
        try:
            results = connection.transaction(*commands)
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
        connection = self._connection_class(**self._options)
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
    ) -> "RedisConnection":
        """Return a connection for one greenlet. It connects when it is used.

        reply_seconds: how long a reply may take, where the usual time is too short
        """
        options = self._options
        if reply_seconds is not None:
            # In the constructor's arguments: read_response() takes a timeout in some releases only.
            options = {**options, "socket_timeout": reply_seconds}
        connection = RedisConnection(
            self.turns, self.health, self._connection_class(**options), may_repeat=may_repeat
        )
        self._connections.append(connection)
        return connection

    def new_connection(self, reply_seconds: float) -> Any:
        """Return a connection of redis-py's, not yet connected, whose user reads and closes it.

        reply_seconds: after so long without a byte, reading fails
        """
        return self._connection_class(**{**self._options, "socket_timeout": reply_seconds})

    def close(self) -> None:
        """Close all connections, also those in use."""
        self.health.close()
        for connection in self._connections:
            connection.close()

    @contextmanager
    def _shared_connection(self) -> Iterator["RedisConnection"]:
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


class RedisConnection:
    """One connection to Redis, below redis-py's commands.

    may_repeat: send the commands once more, over a new connection, when Redis has closed the old one in the meantime
        (which is noticed only when it is used), although they may have been executed
    """

    def __init__(
        self, turns: Turns, health: RedisHealth, connection: Any, *, may_repeat: bool
    ) -> None:
        self._turns = turns
        self._health = health
        self._connection = connection
        self._may_repeat = may_repeat
        self._was_connected = False
        self._recovery_count = health.recovery_count
        self._refusals: list[ResponseError] = []
        self._pid = os.getpid()

    def execute(self, *commands: Command) -> list[Reply]:
        """Return one reply for each command. Raises JournalUnavailableError.

        It is raised, too, where one of the commands is refused for the state of the server or the rights of the user;
        others of them may have been executed.
        """
        if os.getpid() != self._pid:
            # Two processes on one connection would take each other's replies.
            raise RuntimeError("a connection to Redis cannot be used after a fork")
        if self._recovery_count != self._health.recovery_count:
            # From before a problem: it may lead to a server that was demoted, and still reads.
            self._disconnect()
            self._recovery_count = self._health.recovery_count
        may_repeat = self._may_repeat and self._was_connected
        self._was_connected = False
        try:
            try:
                replies = self._exchange(commands)
            except RedisConnectionError:
                self._connection.disconnect()
                if not may_repeat or self._health.is_closed:
                    raise
                replies = self._exchange(commands)
        except (RedisError, OSError, ValueError) as error:  # ValueError: it does not speak RESP.
            self._connection.disconnect()
            raise self._health.unreachable(error, self._recovery_count) from None
        except BaseException:
            # The greenlet was interrupted; who uses the connection next must not get these replies.
            self._connection.disconnect()
            raise
        self._was_connected = True
        if self._refusals:
            self._raise_if_refused(self._refusals)
        self._health.succeeded()
        return replies

    def transaction(self, *commands: Command) -> list[Reply]:
        """Execute all commands or none, so that others see all of them or none. Return one result for each.

        Raises JournalUnavailableError, also where Redis refuses to write (it is full, or a replica).
        """
        replies = self.execute(("MULTI",), *commands, ("EXEC",))
        if self._refusals:
            # The first one is why EXEC was refused.
            self._disconnect()
            raise self._health.refused(self._refusals[0], self._recovery_count)
        results = replies[-1]
        if not isinstance(results, list) or len(results) != len(commands):
            self._disconnect()
            raise self._health.unreachable(
                InvalidResponse("its reply to EXEC is not Redis's"), self._recovery_count
            )
        self._raise_if_refused([result for result in results if isinstance(result, Refusal)])
        return results

    def close(self) -> None:
        disconnect(self._connection)

    def _disconnect(self) -> None:
        self._connection.disconnect()
        self._was_connected = False

    def _raise_if_refused(self, refusals: Sequence[ResponseError]) -> None:
        for refusal in refusals:
            if code_of(refusal):
                self._disconnect()
                raise self._health.refused(refusal, self._recovery_count)

    def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        connection = self._connection
        self._refusals.clear()
        packed = b"".join(connection.pack_commands(commands))
        with self._turns.given_away():
            # In one piece: redis-py would send it in pieces of 6 KB.
            connection.send_packed_command([packed])
            return [self._read_reply() for _ in commands]

    def _read_reply(self) -> Reply:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            self._refusals.append(error)
            return error


def disconnect(connection: Any) -> None:
    """Disconnect a connection of redis-py's, which another thread may be using."""
    # The thread that waits for a reply is woken, and disconnects at the same time: one of them finds no socket any more.
    with suppress(AttributeError):
        connection.disconnect()


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
