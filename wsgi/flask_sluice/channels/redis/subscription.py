"""One connection to Redis in which a process hears everything that it has subscribed to.

Redis-py's ``PubSub`` costs more for a message than everything else that is done for it, so only its connection is used: ``connect``,
``pack_commands``, ``send_packed_command`` with ``check_health=False`` and ``disconnect``; and the socket that it has connected,
``_sock``, from which the messages are read.
"""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from flask_sluice.channels.redis.messages import Message, MessageParser
from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.access.login import has_old_login
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import disconnect
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.turns import GreenletTurns

_SILENCE_SECONDS = 7.0
"""A connection that brings nothing for so long, not even the reply to a PING, leads to a host that has vanished."""

_READ_BYTES = 64 * 1024


class Subscription:
    """A connection that one job reads, and to which others write commands.

    Nothing but ``connect`` connects: a command that is sent while there is no connection is dropped, and the job sends again what
    has to be known when it has connected.

    key: the connection leads to the server that has this key
    on_message: called in a turn with each message. It must not block; on gevent the loop calls it
    """

    def __init__(
        self, client: RedisClient, key: str, on_message: Callable[[Message], None]
    ) -> None:
        self._client = client
        self._key = key
        self._turns = client.turns
        self._on_message = on_message
        self._connection: Any = None
        self._parser = MessageParser()
        self._stop_reading: Callable[[BaseException], None] | None = None
        self._heard_at = time.monotonic()
        self._unsent: list[Command] = []
        self._is_sending = False
        self._is_moving = False

    # The job that reads.

    def connect(self, *commands: Command) -> None:
        """Make a new connection, and send these first. Raises JournalUnavailableError."""
        self.disconnect()
        connection = self._client.new_connection(_SILENCE_SECONDS, self._key)
        self._is_moving = False
        try:
            with self._turns.given_away():
                connection.connect()
                _send(connection, commands)
        except (RedisError, OSError, ValueError) as error:
            disconnect(connection)
            raise self._failed(error) from None
        self._parser = MessageParser()
        self._heard_at = time.monotonic()
        self._unsent.clear()
        self._connection = connection

    def hear(self) -> None:
        """Pass messages on until the connection breaks. Raises JournalUnavailableError then, unless it was given up by ``move``."""
        connection = self._connection
        try:
            if connection is None:
                raise RedisConnectionError("the connection is closed")
            sock: socket.socket = connection._sock
            if isinstance(self._turns, GreenletTurns) and not isinstance(sock, ssl.SSLSocket):
                self._read_on_loop(sock)
            else:
                self._read(sock)
            raise RedisConnectionError("Redis has closed the connection")
        except (RedisError, OSError, ValueError) as error:
            if has_old_login(connection):
                # It is made anew for that, in one step: Redis is well.
                raise JournalUnavailableError("the login to Redis is renewed") from None
            if not self._is_moving:
                raise self._failed(error) from None
        finally:
            self.disconnect()

    def _read(self, sock: socket.socket) -> None:
        while True:
            with self._turns.given_away():
                data = sock.recv(_READ_BYTES)
            if not data:
                return
            self._take(data)

    def _read_on_loop(self, sock: socket.socket) -> None:
        # Not above: gevent is an extra.
        from flask_sluice.channels.redis.loop_reader import LoopReader  # noqa: PLC0415

        reader = LoopReader(sock.fileno(), self._take)
        self._stop_reading = reader.stop
        try:
            reader.run()
        finally:
            self._stop_reading = None

    def _take(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        for message in self._parser.feed(data):
            self._on_message(message)

    def _failed(self, error: Exception) -> JournalUnavailableError:
        health = self._client.health
        if isinstance(error, ResponseError):
            # Its user may not subscribe, or there are too many clients.
            return health.refused(error)
        return health.unreachable(error)

    # The others.

    def send(self, *commands: Command) -> None:
        """Send commands; the replies come as messages. Never raises: the reading job notices a broken connection."""
        if self._connection is None:
            return
        self._unsent += commands
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while self._unsent and (connection := self._connection) is not None:
                unsent, self._unsent = self._unsent, []
                self._send_or_disconnect(connection, unsent)
        finally:
            self._is_sending = False

    def ping(self) -> None:
        """Ask for a sign of life, and give up a connection that has given none for too long, or has to log in again."""
        is_silent = time.monotonic() - self._heard_at > _SILENCE_SECONDS
        if is_silent or has_old_login(self._connection):
            self.disconnect()
        self.send(("PING",))

    def move(self) -> None:
        """Give the connection up, so that the job makes one to the server that has the key now."""
        self._is_moving = True
        self.disconnect()

    def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            stop, self._stop_reading = self._stop_reading, None
            if stop is not None:
                stop(RedisConnectionError("the connection was given up"))
            disconnect(connection)

    def _send_or_disconnect(self, connection: Any, commands: list[Command]) -> None:
        try:
            with self._turns.given_away():
                _send(connection, commands)
        except (RedisError, OSError, ValueError):
            disconnect(connection)
        if connection is not self._connection:
            # It was given up meanwhile, and redis-py may just have connected it again.
            disconnect(connection)


def _send(connection: Any, commands: list[Command] | tuple[Command, ...]) -> None:
    if commands:
        packed = b"".join(connection.pack_commands(commands))
        connection.send_packed_command([packed], check_health=False)
