"""One connection to one Redis server: commands and their replies.

A command of redis-py's own API costs more than everything else that is done for an event, so this is built on the layer
below it. These names are used, and tests/system/test_journal_client.py fails when a release changes one:
``Connection.pack_commands``, ``send_packed_command``, ``send_command``, ``read_response`` and ``disconnect``.

Everything else of redis-py has changed between 4.5 and 8.1 (pools, ``read_response(timeout=…)``, ``is_connected``)
and is not used.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.access.login import login_of
from flask_sluice.journal.redis.servers.health import RedisHealth, code_of
from flask_sluice.journal.turns import Turns

Command: TypeAlias = tuple[str | bytes | int, ...]
Reply: TypeAlias = Any
"""What RESP2 has: bytes, int, None, a list of these; a ``Refusal`` where a command was refused."""

Refusal: TypeAlias = ResponseError


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
        self._login = login_of(connection)
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
        replies = self._execute(commands)
        if self._refusals:
            for refusal in filter(_is_of_server, self._refusals):
                raise self._refused(refusal)
        self._health.succeeded()
        return replies

    def _execute(self, commands: Sequence[Command]) -> list[Reply]:
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
        return replies

    def transaction(self, *commands: Command) -> list[Reply]:
        """Execute all commands or none, so that others see all of them or none. Return one result for each.

        commands: of keys in one slot, where Redis is a cluster

        Raises JournalUnavailableError, also where Redis refuses to write (it is full, or a replica).
        """
        (results,) = self.transactions([commands])
        if isinstance(results, JournalUnavailableError):
            raise results
        return results

    def transactions(
        self, groups: Sequence[Sequence[Command]]
    ) -> list[list[Reply] | JournalUnavailableError]:
        """Execute each group as a transaction of its own, all in one exchange.

        Return for each group one result for each of its commands, or why the group was not executed.

        Raises JournalUnavailableError where it is not known of any group whether it was executed.
        """
        commands: list[Command] = []
        for group in groups:
            # A command is a transaction by itself. The other way costs a reply more for each command, and two for each group.
            commands += group if len(group) == 1 else [("MULTI",), *group, ("EXEC",)]
        replies = self._execute(commands)
        place = 0
        results: list[list[Reply] | JournalUnavailableError] = []
        for group in groups:
            count = len(group) if len(group) == 1 else len(group) + 2
            results.append(self._result_of(group, replies[place : place + count]))
            place += count
        if not any(isinstance(result, JournalUnavailableError) for result in results):
            self._health.succeeded()
        return results

    def _result_of(
        self, group: Sequence[Command], replies: list[Reply]
    ) -> list[Reply] | JournalUnavailableError:
        if len(group) > 1:
            refusal = next((reply for reply in replies if isinstance(reply, Refusal)), None)
            if refusal is not None:
                # The first one is why EXEC was refused.
                return self._refused(refusal)
            replies = replies[-1]
            if not isinstance(replies, list) or len(replies) != len(group):
                self._disconnect()
                return self._health.unreachable(
                    InvalidResponse("its reply to EXEC is not Redis's"), self._recovery_count
                )
        refusal = next((reply for reply in replies if _is_of_server(reply)), None)
        return replies if refusal is None else self._refused(refusal)

    def close(self) -> None:
        disconnect(self._connection)

    def _disconnect(self) -> None:
        self._connection.disconnect()
        self._was_connected = False

    def _refused(self, refusal: ResponseError) -> JournalUnavailableError:
        self._disconnect()
        return self._health.refused(refusal, self._recovery_count)

    def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        connection = self._connection
        self._refusals.clear()
        packed = b"".join(connection.pack_commands(commands))
        with self._turns.given_away():
            if self._login is not None:
                self._login.renew(connection)
            # In one piece: redis-py would send it in pieces of 6 KB.
            connection.send_packed_command([packed])
            return [self._read_reply() for _ in commands]

    def _read_reply(self) -> Reply:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            self._refusals.append(error)
            return error


def _is_of_server(reply: Reply) -> bool:
    """Return whether this is a refusal for the state of the server or the rights of the user."""
    return isinstance(reply, Refusal) and code_of(reply) != ""


def disconnect(connection: Any) -> None:
    """Disconnect a connection of redis-py's, which another thread may be using."""
    # The thread that waits for a reply is woken, and disconnects at the same time: one of them finds no socket any more.
    with suppress(AttributeError):
        connection.disconnect()
