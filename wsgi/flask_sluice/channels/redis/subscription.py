"""One connection to Redis in which a process hears everything that it has subscribed to.

Redis-py's ``PubSub`` costs as much for a message as everything else that is done for it, so this is built on the layer below, like
``RedisClient``. Of redis-py's connection it uses ``pack_commands``, ``send_packed_command`` with ``check_health=False``,
``read_response`` and ``disconnect``.
"""

import os
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from flask_sluice.journal.redis.client import Command, RedisClient, Reply

PING_SECONDS = 3.0
_SILENCE_SECONDS = 2 * PING_SECONDS + 1
"""A connection that brings nothing for so long, not even the reply to a PING, leads to a host that has vanished."""


class Subscription:
    """A connection that one job reads, and to which others write commands.

    Nothing but ``connect`` connects: a command that is sent while there is no connection is dropped, and the job sends again what
    has to be known when it has connected.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._turns = client.turns
        self._connection: Any = None
        self._unsent: list[Command] = []
        self._is_sending = False
        self._pid = os.getpid()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def connect(self, *commands: Command) -> None:
        """Make a new connection, and send these first. Raises JournalUnavailableError."""
        self.disconnect()
        connection = self._client.new_connection(_SILENCE_SECONDS)
        try:
            with self._turns.given_away():
                self._send(connection, commands)
        except (RedisError, OSError, ValueError) as error:
            connection.disconnect()
            raise self._client.health.unreachable(error) from None
        self._unsent.clear()
        self._connection = connection

    def send(self, *commands: Command) -> None:
        """Send commands; their replies come like messages. Never raises: the reading job notices a broken connection."""
        if self._connection is None:
            return
        self._unsent += commands
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while self._unsent and (connection := self._connection) is not None:
                commands, self._unsent = tuple(self._unsent), []
                self._send_or_disconnect(connection, commands)
        finally:
            self._is_sending = False

    def receive(self) -> Reply:
        """Wait for the next message or reply. Raises JournalUnavailableError."""
        connection = self._connection
        try:
            if connection is None:
                raise RedisConnectionError("the connection is closed")
            with self._turns.given_away():
                return connection.read_response()
        except ResponseError as refusal:
            # Its user may not subscribe, or Redis is not a primary.
            self.disconnect()
            raise self._client.health.refused(refusal) from None
        except (RedisError, OSError, ValueError) as error:
            self.disconnect()
            raise self._client.health.unreachable(error) from None
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _send_or_disconnect(self, connection: Any, commands: tuple[Command, ...]) -> None:
        try:
            with self._turns.given_away():
                self._send(connection, commands)
        except (RedisError, OSError, ValueError):
            connection.disconnect()
        if connection is not self._connection:
            # It was given up meanwhile, and redis-py may just have connected it again.
            connection.disconnect()

    def _send(self, connection: Any, commands: tuple[Command, ...]) -> None:
        if commands:
            packed = b"".join(connection.pack_commands(commands))
            connection.send_packed_command([packed], check_health=False)
