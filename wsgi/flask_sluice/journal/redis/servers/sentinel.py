"""The master that sentinels watch."""

from collections.abc import Callable
from typing import Any

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from flask_sluice.journal.redis.servers.address import Address
from flask_sluice.journal.redis.servers.connection import NO_REPLY, Reply, disconnect
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.turns import Turns


class MasterNotFoundError(RedisError):
    """The sentinels name no server that is a master."""


class SentinelMaster:
    """Asks the sentinels for the master at each new connection, and when told to, first the one that answered last.

    Redis-py's ``Sentinel`` does this, too, but does not ask the server whether it is a master. What sentinels know is some seconds
    old, and a server that has just become a replica would refuse to write.

    on_replaced: called when there is another one
    """

    def __init__(
        self,
        address: Address,
        turns: Turns,
        health: RedisHealth,
        on_replaced: Callable[[tuple[str, int]], None],
    ) -> None:
        self._address = address
        self._turns = turns
        self._health = health
        self._on_replaced = on_replaced
        self._sentinels = list(address.nodes)
        self._master: tuple[str, int] | None = None

    def new_connection(self, **changes: float) -> Any:
        """Return a connection of redis-py's to the master, connected. Raises JournalUnavailableError.

        changes: arguments that are not as the address says
        """
        sent_after = self._health.recovery_count
        # By the reason, which is often the same.
        unreached: dict[str, list[str]] = {}
        problem: Exception | None = None
        for sentinel in tuple(self._sentinels):
            try:
                master = self._ask(sentinel)
            except (*NO_REPLY, TypeError) as error:
                unreached.setdefault(_text_of(error), []).append(f"{sentinel[0]}:{sentinel[1]}")
                continue
            try:
                if master is None:
                    raise MasterNotFoundError(
                        f"the sentinel {sentinel[0]}:{sentinel[1]} watches no master called {self._address.service!r}; "
                        "the path of the Redis URL takes its name in sentinel.conf"
                    )
                connection = self._connect(master, changes)
            except NO_REPLY as error:
                problem = error
                continue
            self._prefer(sentinel)
            self._note(master)
            return connection
        raise self._health.unreachable(
            problem or MasterNotFoundError(_no_answer(unreached)),
            sent_after,
        )

    def look(self) -> None:
        """Notice that there is another master also while connections to the one before last.

        It may go on for as long as ten seconds, until the sentinels make it a replica, and what it takes meanwhile is lost.
        """
        for sentinel in tuple(self._sentinels):
            try:
                master = self._ask(sentinel)
            except (*NO_REPLY, TypeError):
                continue
            if master is not None:
                self._prefer(sentinel)
                self._note(master)
            return

    def _ask(self, sentinel: tuple[str, int]) -> tuple[str, int] | None:
        """Return where the master is; None if the sentinel does not know it."""
        connection = self._address.new_sentinel_connection(sentinel)
        try:
            with self._turns.given_away():
                connection.send_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service
                )
                reply: Reply = connection.read_response()
        finally:
            disconnect(connection)
        if reply is None:
            return None
        host, port = reply
        return host.decode(), int(port)

    def _connect(self, master: tuple[str, int], changes: dict[str, float]) -> Any:
        """Return a connection to a server that says that it is a master. Raises one of ``NO_REPLY``."""
        connection = self._address.new_connection(master, **changes)
        try:
            with self._turns.given_away():
                connection.send_command("ROLE")
                role = _role_in(connection)
            if role != b"master":
                raise MasterNotFoundError(
                    f"the sentinels name {master[0]}:{master[1]}, which is not a master at present"
                )
        except BaseException:
            disconnect(connection)
            raise
        return connection

    def _prefer(self, sentinel: tuple[str, int]) -> None:
        self._sentinels.remove(sentinel)
        self._sentinels.insert(0, sentinel)

    def _note(self, master: tuple[str, int]) -> None:
        before, self._master = self._master, master
        if before not in (None, master):
            self._on_replaced(master)


def _no_answer(unreached: dict[str, list[str]]) -> str:
    """Return what is said where no sentinel has told of a master, from their addresses by the reason."""
    reasons = (f"{', '.join(names)}: {reason}" for reason, names in unreached.items())
    return f"no sentinel answers: {'; '.join(reasons)}"


def _text_of(error: Exception) -> str:
    if isinstance(error, ResponseError) and "unknown command" in str(error).lower():
        return (
            "it is not a sentinel; the URL of one server begins with redis://, rediss:// or unix://"
        )
    if isinstance(error, AuthenticationError):
        return f"{error} The options sentinel_username and sentinel_password of the Redis URL are for sentinels"
    return str(error)


def _role_in(connection: Any) -> bytes:
    """Return the role that the server says; that of a master if it does not tell its users."""
    try:
        reply: Reply = connection.read_response()
    except ResponseError:
        return b"master"
    role: bytes = reply[0]
    return role
