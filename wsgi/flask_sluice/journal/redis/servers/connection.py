"""One connection to one Redis server: commands and their replies.

A command of redis-py's own API costs more than everything else that is done for an event, so this is built on the layer
below it. These names are used, and tests/system/test_journal_client.py fails when a release changes one:
``Connection.connect``, ``send_packed_command``, ``send_command``, ``read_response``, ``disconnect`` and ``_sock``.

Everything else of redis-py has changed between 4.5 and 8.1 (pools, ``read_response(timeout=…)``, ``is_connected``)
and is not used.
"""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.access.login import login_of
from flask_sluice.journal.redis.servers.expected_replies import take_expected
from flask_sluice.journal.redis.servers.health import RedisHealth, code_of
from flask_sluice.journal.redis.servers.packing import Command, pack
from flask_sluice.journal.turns import Turns

Reply: TypeAlias = Any
"""What RESP2 has: bytes, int, None, a list of these; a ``Refusal`` where a command was refused."""

Refusal: TypeAlias = ResponseError

NO_REPLY = (RedisError, OSError, ValueError, OverflowError)
"""What redis-py raises where there is no reply; the last two where a server does not speak RESP."""

MAY_BE_ANOTHER = "it may be another server than before, and lack what that had taken last"

_CODES_OF_CLUSTERS = ("MOVED", "ASK", "CROSSSLOT")
_IS_CLUSTER = (
    "it is a node of a cluster, whose URL begins with redis+cluster:// or rediss+cluster://"
)


class ServerConnection:
    """A connection of redis-py's to one server. It connects when it is used first, and is not used after a failure.

    refusals: those among the replies to what was sent last
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._login = login_of(connection)
        self.refusals: list[Refusal] = []

    def connect(self) -> None:
        """Connect before anything is sent. Raises one of ``NO_REPLY``."""
        self._connection.connect()

    def send(self, packed: bytes) -> None:
        """Send commands. Raises one of ``NO_REPLY``."""
        self.refusals.clear()
        if self._login is not None:
            self._login.renew(self._connection)
        # In one piece: redis-py would send it in pieces of 6 KB.
        self._connection.send_packed_command([packed])

    def read(self, count: int, event_ids: Sequence[bytes] = ()) -> list[Reply]:
        """Return as many replies. Raises one of ``NO_REPLY``.

        event_ids: see ``Packed``
        """
        replies: list[Reply] = []
        if len(event_ids) == count:
            replies += take_expected(self._connection._sock, event_ids)
        read_response = self._connection.read_response
        for _ in range(count - len(replies)):
            try:
                replies.append(read_response())
            except ResponseError as error:
                self.refusals.append(error)
                replies.append(error)
        return replies

    def interrupt(self) -> None:
        """End a wait for replies, in another greenlet or thread, as if the server had closed the connection."""
        with suppress(AttributeError, OSError):  # It is not connected any more.
            self._connection._sock.shutdown(socket.SHUT_RDWR)

    def disconnect(self) -> None:
        self._connection.disconnect()

    def close(self) -> None:
        """Disconnect, also while another thread uses it."""
        disconnect(self._connection)


class RedisConnection:
    """One connection to the server that has everything, below redis-py's commands.

    new_connection: returns a connection of redis-py's; raises JournalUnavailableError
    may_repeat: send the commands once more, over a new connection, when Redis has closed the old one in the meantime
        (which is noticed only when it is used), although they may have been executed. Without it, each new connection in place of
        another begins with a JournalUnavailableError, also where no command failed: its server may lack the last ones
    """

    def __init__(
        self,
        turns: Turns,
        health: RedisHealth,
        new_connection: Callable[[], Any],
        *,
        may_repeat: bool,
    ) -> None:
        self._turns = turns
        self._health = health
        self._new_connection = new_connection
        self._may_repeat = may_repeat
        self._server: ServerConnection | None = None
        self._recovery_count = health.recovery_count
        self._pid = os.getpid()

    def execute(self, *commands: Command) -> list[Reply]:
        """Return one reply for each command. Raises JournalUnavailableError.

        It is raised, too, where one of the commands is refused for the state of the server or the rights of the user;
        others of them may have been executed.
        """
        replies, refusals = self._execute(commands)
        for refusal in refusals:
            if is_of_server(refusal):
                raise self._refused(refusal)
        self._health.succeeded()
        return replies

    def _execute(self, commands: Sequence[Command]) -> tuple[list[Reply], list[Refusal]]:
        """Return the replies, and the refusals among them."""
        if os.getpid() != self._pid:
            # Two processes on one connection would take each other's replies.
            raise RuntimeError("a connection to Redis cannot be used after a fork")
        if self._recovery_count != self._health.recovery_count:
            self._forget_server()
        was_connected = self._server is not None
        try:
            try:
                return self._exchange(commands)
            except RedisConnectionError:
                self._disconnect()
                if not was_connected or self._health.is_closed:
                    raise
                self._health.server_changes += 1
                if self._may_repeat:
                    return self._exchange(commands)
                self._connect()
                raise JournalUnavailableError(MAY_BE_ANOTHER) from None
        except NO_REPLY as error:
            self._disconnect()
            raise self._health.unreachable(error, self._recovery_count) from None
        except BaseException:
            # The greenlet was interrupted; who uses the connection next must not get these replies.
            self._disconnect()
            raise

    def _connect(self) -> None:
        """Connect now. Where that works, the end of the old connection was not an outage: Redis closes idle ones."""
        server = self._new_server()
        with self._turns.given_away():
            server.connect()

    def _forget_server(self) -> None:
        """Give up a connection from before a problem: it may lead to a server that was demoted, and still reads."""
        was_connected = self._server is not None
        self._disconnect()
        self._recovery_count = self._health.recovery_count
        if was_connected and not self._may_repeat:
            raise JournalUnavailableError(MAY_BE_ANOTHER)

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
            commands += group if len(group) == 1 else framed(group)
        replies, refusals = self._execute(commands)
        if len(commands) == len(groups) and not refusals:
            # Nearly always there is one event for each stream, and Redis takes them all.
            self._health.succeeded()
            return [[reply] for reply in replies]
        place = 0
        outcomes: list[list[Reply] | JournalUnavailableError] = []
        for group in groups:
            end = place + reply_count(group)
            results: list[Reply] = replies[place:end]
            # Refusals in the reply to EXEC are not among the others.
            is_done = end - place == 1 and not refusals
            outcomes.append(results if is_done else self._outcome_of(group, results))
            place = end
        if not any(isinstance(outcome, JournalUnavailableError) for outcome in outcomes):
            self._health.succeeded()
        return outcomes

    def _outcome_of(
        self, group: Sequence[Command], replies: list[Reply]
    ) -> list[Reply] | JournalUnavailableError:
        results = results_of(group, replies)
        if isinstance(results, list):
            return results
        if isinstance(results, Refusal):
            return self._refused(results)
        self._disconnect()
        return self._health.unreachable(results, self._recovery_count)

    def link_of(self, key: str) -> object | None:  # noqa: ARG002 - a cluster's connection needs the key
        """Return the connection over which commands on this key go; None: one that is still to be made.

        What was executed over another one may be lost, also where no command on the key has failed.
        """
        return self._server

    def interrupt(self) -> None:
        """See ``ServerConnection.interrupt``."""
        if self._server is not None:
            self._server.interrupt()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _disconnect(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.disconnect()

    def _refused(self, refusal: Refusal) -> JournalUnavailableError:
        self._disconnect()
        if code_of(refusal) in _CODES_OF_CLUSTERS:
            refusal = ResponseError(f"{code_of(refusal)} {_IS_CLUSTER}")
        return self._health.refused(refusal, self._recovery_count)

    def _exchange(self, commands: Sequence[Command]) -> tuple[list[Reply], list[Refusal]]:
        server, packed = self._server or self._new_server(), pack(commands)
        with self._turns.given_away():
            server.send(packed.data)
            return server.read(len(commands), packed.event_ids), server.refusals

    def _new_server(self) -> ServerConnection:
        self._server = ServerConnection(self._new_connection())
        return self._server


def framed(group: Sequence[Command]) -> Sequence[Command]:
    """Return the commands that have a server execute a group as a transaction."""
    # A command is a transaction by itself. The other way costs a reply more for each command, and two for each group.
    return group if len(group) == 1 else [("MULTI",), *group, ("EXEC",)]


def reply_count(group: Sequence[Command]) -> int:
    """Return how many replies there are to the commands of ``framed``."""
    return 1 if len(group) == 1 else len(group) + 2


def results_of(
    group: Sequence[Command], replies: list[Reply]
) -> list[Reply] | Refusal | InvalidResponse:
    """Return one result for each command of a group; or why the group was not executed.

    replies: those to the commands of ``framed``
    """
    if len(group) != 1:
        # The first refusal is why EXEC was refused.
        refusal = next((reply for reply in replies if isinstance(reply, Refusal)), None)
        if refusal is not None:
            return refusal
        replies = replies[-1]
        if not isinstance(replies, list) or len(replies) != len(group):
            return InvalidResponse("its reply to EXEC is not Redis's")
    return next((reply for reply in replies if is_of_server(reply)), replies)


def refuses_hash(refusal: Refusal) -> bool:
    """Return whether it is that scripts may not be run by their hash. Then their text is sent instead."""
    # NOPERM, or an unknown command, which Redis before 7 quotes differently.
    return "evalsha" in str(refusal).lower()


def is_of_server(reply: Reply) -> bool:
    """Return whether this is a refusal for the state of the server or the rights of the user."""
    return isinstance(reply, Refusal) and code_of(reply) != "" and not refuses_hash(reply)


def disconnect(connection: Any) -> None:
    """Disconnect a connection of redis-py's, which another thread may be using."""
    # The thread that waits for a reply is woken, and disconnects at the same time: one of them finds no socket any more.
    with suppress(AttributeError):
        connection.disconnect()
