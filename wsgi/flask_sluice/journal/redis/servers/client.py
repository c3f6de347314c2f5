"""Commands to Redis, and their replies, for all that a process does with it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from redis.exceptions import ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.address import Address
from flask_sluice.journal.redis.servers.cluster.connection import ClusterConnection
from flask_sluice.journal.redis.servers.cluster.slots import ClusterSlots
from flask_sluice.journal.redis.servers.connection import (
    NO_REPLY,
    RedisConnection,
    Reply,
)
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.servers.places import NoPlaceError, places_for
from flask_sluice.journal.redis.servers.sentinel import SentinelMaster
from flask_sluice.journal.turns import Turns, turns_of_process
from flask_sluice.stream import registry

_MAX_CONNECTIONS = 6
"""For the commands of requests. A command takes microseconds, so requests rarely wait for each other."""
_PLACE_SECONDS = 6.0
"""When hundreds of streams begin at once on a busy host, a request may wait for seconds although Redis is well."""

_CHECK_TAGS = ("check-4875", "check-68179")
"""Their slots are the first and the last of a cluster: a node of one that is taken for a single server has not both."""
_MASTER_SECONDS = 1.0
"""Between looks whether the sentinels name another master."""
RETRY_SECONDS = 0.3
"""Between attempts to reach Redis. A refused connection costs little, and readers wait for it."""


class KeptConnection(Protocol):
    """What one greenlet has for itself. See ``RedisConnection``, and ``ClusterConnection`` for what a cluster adds."""

    def execute(self, *commands: Command) -> list[Reply]: ...

    def transaction(self, *commands: Command) -> list[Reply]: ...

    def transactions(
        self, groups: Sequence[Sequence[Command]]
    ) -> list[list[Reply] | JournalUnavailableError]: ...

    def link_of(self, key: str) -> object | None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class RedisClient:
    """Reaches one server, the master that sentinels name, or all masters of a cluster.

    It has a few connections that requests share, and those that one greenlet keeps for itself.

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
        self._address = Address.parse(url, name, credentials)
        self.health = RedisHealth(self.turns, registry.redis_outages().of(self._address.deployment))
        self._cluster_slots: ClusterSlots | None = None
        self._connect: Callable[..., Any] = self._address.new_connection
        if self._address.topology == "cluster":
            self._cluster_slots = ClusterSlots(self._address, self.turns, self.health)
        self._sentinels: SentinelMaster | None = None
        if self._address.topology == "sentinel":
            self._sentinels = SentinelMaster(
                self._address, self.turns, self.health, self._leave_master
            )
            self._connect = self._sentinels.new_connection
        self._connections: list[KeptConnection] = []
        self._patient: list[KeptConnection] = []
        self._idle: list[KeptConnection] = []
        self._places = places_for(self.turns, _MAX_CONNECTIONS)

    @property
    def is_cluster(self) -> bool:
        """Whether one server may be gone while others work."""
        return self._cluster_slots is not None

    def execute(self, *commands: Command) -> list[Reply]:
        """Return one reply for each command.

        In a cluster each goes to the server that has its first key. One without a key goes to any; PUBLISH and PUBSUB to that to
        which ``new_connection`` leads for their first channel. Their order is kept on each server.

        Raises JournalUnavailableError, after all servers were tried.
        """
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
        """Execute commands in a transaction over new connections, on each master. Return why one does not work, None if all do.

        commands_in: returns commands that change nothing, on keys with this hash tag

        A new connection shows what others do not: the address leads elsewhere now, the password has changed, there
        are too many clients.
        """
        connection = self._kept_connection({}, may_repeat=False, is_check=True)
        try:
            outcomes = connection.transactions([commands_in(tag) for tag in self._check_tags()])
        except JournalUnavailableError as error:
            return error.reason
        finally:
            connection.close()
        for outcome in outcomes:
            if isinstance(outcome, JournalUnavailableError):
                return outcome.reason
            refusal = next(
                (result for result in outcome if isinstance(result, ResponseError)), None
            )
            if refusal is not None:
                return self.health.refused(refusal).reason
        had_problem = self.health.problem is not None
        self.health.recovered()
        if had_problem:
            self._interrupt_patient()
        return None

    def _interrupt_patient(self) -> None:
        for connection in self._patient:
            # It may wait for a server that hangs, and that another has replaced.
            connection.interrupt()

    @property
    def steps(self) -> list[tuple[Callable[[], None], float]]:
        """What a process that is there for long is to do in the background: a function, and the pause between its calls."""
        return [] if self._sentinels is None else [(self._sentinels.look, _MASTER_SECONDS)]

    def _leave_master(self, master: tuple[str, int]) -> None:
        """Have all connections lead to the new master: the one before may still work."""
        self.health.replaced(master)
        self._interrupt_patient()

    def _check_tags(self) -> Sequence[str]:
        """Return hash tags of keys that all masters have. Raises JournalUnavailableError."""
        slots = self._cluster_slots
        if slots is None:
            return _CHECK_TAGS
        slots.load()
        if slots.missing_count:
            raise self.health.refused(
                ResponseError(f"CLUSTERDOWN no server has {slots.missing_count} of the slots")
            )
        return [slots.tag_of(master) for master in slots.masters]

    def setting(self, name: str) -> str | None:
        """Return one of the settings of a server; None if it may not be read, as in most managed services."""
        connection = None
        try:
            connection = self.new_connection()
            with self.turns.given_away():
                connection.send_command("CONFIG", "GET", name)
                reply: Reply = connection.read_response()
        except (*NO_REPLY, JournalUnavailableError):
            return None
        finally:
            if connection is not None:
                connection.disconnect()
        return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else None

    def keep_connection(
        self, *, may_repeat: bool = True, reply_seconds: float | None = None
    ) -> KeptConnection:
        """Return a connection for one greenlet. It connects when it is used.

        may_repeat: see ``RedisConnection``
        reply_seconds: how long a reply may take, where the usual time is too short
        """
        connection = self._kept_connection(_changes(reply_seconds), may_repeat=may_repeat)
        self._connections.append(connection)
        if reply_seconds is not None:
            self._patient.append(connection)
        return connection

    def _kept_connection(
        self, changes: dict[str, float], *, may_repeat: bool, is_check: bool = False
    ) -> KeptConnection:
        slots = self._cluster_slots
        if slots is not None:
            return ClusterConnection(
                self.turns, self.health, slots, changes, may_repeat=may_repeat, is_check=is_check
            )
        connect = partial(self._connect, **changes)
        return RedisConnection(self.turns, self.health, connect, may_repeat=may_repeat)

    def new_connection(self, reply_seconds: float | None = None, key: str | None = None) -> Any:
        """Return a connection of redis-py's, perhaps not yet connected, whose user reads and closes it.

        reply_seconds: after so long without a byte, reading fails; None: after the usual time
        key: in a cluster the connection leads to the server that has this key; None: to any

        Raises JournalUnavailableError.
        """
        changes = _changes(reply_seconds)
        slots = self._cluster_slots
        if slots is None:
            return self._connect(**changes)
        return slots.new_connection(key, **changes)

    def close(self) -> None:
        """Close all connections, also those in use."""
        self.health.close()
        for connection in self._connections:
            connection.close()

    @contextmanager
    def _shared_connection(self) -> Iterator[KeptConnection]:
        # Not redis-py's pool: the arguments of its get_connection() differ between releases, and it asks the system
        # before each use whether the connection is still open, which RedisConnection need not know.
        try:
            with self._places.one(_PLACE_SECONDS):
                connection = self._idle.pop() if self._idle else self.keep_connection()
                try:
                    yield connection
                finally:
                    self._idle.append(connection)
        except NoPlaceError:
            # This worker is busy. That says nothing of Redis.
            raise JournalUnavailableError("all connections to Redis are in use") from None


def _changes(reply_seconds: float | None) -> dict[str, float]:
    # In the constructor's arguments: read_response() takes a timeout in some releases only.
    return {} if reply_seconds is None else {"socket_timeout": reply_seconds}
