"""Connections to all servers of a cluster, for one greenlet: commands and their replies."""

import os
from collections.abc import Sequence

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.cluster.group import Group
from flask_sluice.journal.redis.servers.cluster.keys import slot_of_key
from flask_sluice.journal.redis.servers.cluster.slots import ClusterSlots, Node
from flask_sluice.journal.redis.servers.connection import (
    MAY_BE_ANOTHER,
    NO_REPLY,
    Refusal,
    Reply,
    ServerConnection,
)
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.redis.servers.packing import Command, Packed, pack
from flask_sluice.journal.turns import Turns

_PAUSES_SECONDS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
"""Before commands are sent again that a server has refused because their slot moves, which takes a moment."""


class AnotherServerError(RedisError):
    """The commands of a slot went elsewhere before."""


class ClusterConnection:
    """One connection to each server of a cluster. Commands are sent to all of them before the first reply is read.

    A redirection is followed, since a server executes nothing that it redirects.

    changes: arguments of the connections that are not as the address says
    may_repeat: see ``RedisConnection``. Without it, the first commands of a slot to another server than before, or over a new
        connection to the same, are not sent
    is_check: wait also for a node that has left other commands without a reply, to see whether it answers again
    """

    def __init__(
        self,
        turns: Turns,
        health: RedisHealth,
        slots: ClusterSlots,
        changes: dict[str, float],
        *,
        may_repeat: bool,
        is_check: bool = False,
    ) -> None:
        self._turns = turns
        self._health = health
        self._slots = slots
        self._changes = changes
        self._may_repeat = may_repeat
        self._is_check = is_check
        self._servers: dict[Node, ServerConnection] = {}
        self._server_of: dict[int, ServerConnection] = {}
        """Where the commands of each slot went, as long as none has failed there; only without ``may_repeat``."""
        self._version = slots.version
        self._recovery_count = health.recovery_count
        self._pid = os.getpid()

    def execute(self, *commands: Command) -> list[Reply]:
        """Return one reply for each command; the server that has its first key executes it.

        Raises JournalUnavailableError as ``RedisConnection.execute`` does, after all servers were tried.
        """
        replies: list[Reply] = []
        for outcome in self._outcomes([(command,) for command in commands]):
            if isinstance(outcome, JournalUnavailableError):
                raise outcome
            replies += outcome
        return replies

    def transaction(self, *commands: Command) -> list[Reply]:
        """See ``RedisConnection.transaction``."""
        (outcome,) = self._outcomes([commands])
        if isinstance(outcome, JournalUnavailableError):
            raise outcome
        return outcome

    def transactions(
        self, groups: Sequence[Sequence[Command]]
    ) -> list[list[Reply] | JournalUnavailableError]:
        """See ``RedisConnection.transactions``. The keys of a group are in one slot.

        Those of a server that fails are not executed, and the others are.
        """
        return self._outcomes(groups)

    def link_of(self, key: str) -> object | None:
        """See ``RedisConnection.link_of``."""
        node = self._slots.node_of(slot_of_key(key))
        return None if node is None else self._servers.get(node)

    def interrupt(self) -> None:
        """See ``ServerConnection.interrupt``."""
        for server in list(self._servers.values()):
            server.interrupt()

    def close(self) -> None:
        for server in list(self._servers.values()):
            server.close()

    def _outcomes(
        self, commands: Sequence[Sequence[Command]]
    ) -> list[list[Reply] | JournalUnavailableError]:
        """Execute groups of commands. Raises JournalUnavailableError if it is not known of any whether it was executed."""
        groups = [Group(each) for each in commands]
        try:
            self._execute(groups)
        except BaseException:
            # The greenlet was interrupted; the next commands must not get these replies.
            self._disconnect(*self._servers)
            raise
        failures = {id(group): self._noted(group) for group in groups if group.problem is not None}
        if not failures:
            self._health.succeeded()
        elif not any(isinstance(group.problem, Refusal | None) for group in groups):
            raise failures[id(groups[0])]
        return [failures.get(id(group)) or group.results for group in groups]

    def _execute(self, groups: list[Group]) -> None:
        if os.getpid() != self._pid:
            # Two processes on one connection would take each other's replies.
            raise RuntimeError("a connection to Redis cannot be used after a fork")
        if self._recovery_count != self._health.recovery_count:
            # From before a problem: one may lead to a server that was demoted, and still reads.
            self._disconnect(*self._servers)
            self._recovery_count = self._health.recovery_count
        left = self._attempt(groups)
        for pause_seconds in _PAUSES_SECONDS:
            if not left or self._health.is_closed:
                break
            if pause_seconds:
                self._turns.sleep(pause_seconds)
            left = self._attempt(left)

    def _attempt(self, groups: list[Group]) -> list[Group]:
        """Send the groups once. Return those that may be sent again."""
        self._update()
        known = set(self._servers)
        groups_of = self._by_node(groups)
        failures = self._exchange(groups_of)
        left: list[Group] = []
        for node, sent in groups_of.items():
            if node not in failures:
                left += [group for group in sent if self._is_left(group, node)]
                continue
            self._fail(sent, node, failures[node])
            if node in known and isinstance(failures[node], RedisConnectionError):
                self._health.server_changes += 1
                if self._may_repeat:
                    left += sent
                elif not self._health.is_closed and self._can_connect(node):
                    # Redis closes idle connections. That is not an outage.
                    for group in sent:
                        group.fail(AnotherServerError(MAY_BE_ANOTHER))
        return left

    def _by_node(self, groups: list[Group]) -> dict[Node, list[Group]]:
        """Return which groups go where. Those that go nowhere fail."""
        groups_of: dict[Node, list[Group]] = {}
        for group in groups:
            node = group.node = group.asked_node or self._slots.node_of(group.slot)
            if node is None:
                self._slots.is_stale = True
                group.fail(ResponseError(f"CLUSTERDOWN no server has slot {group.slot}"))
            elif not self._is_check and self._slots.is_silent(node):
                group.fail(RedisTimeoutError("Timeout reading from socket, a moment ago"))
            elif group.asked_node is None and self._has_another_server(group.slot, node):
                group.fail(AnotherServerError(MAY_BE_ANOTHER))
            else:
                groups_of.setdefault(node, []).append(group)
        return groups_of

    def _has_another_server(self, slot: int | None, node: Node) -> bool:
        """Return whether the commands of a slot went elsewhere before, or over another connection."""
        if self._may_repeat or slot is None:
            return False
        server = self._server_at(node)
        return self._server_of.setdefault(slot, server) is not server

    def _server_at(self, node: Node) -> ServerConnection:
        server = self._servers.get(node)
        if server is None:
            server = self._servers[node] = ServerConnection(
                self._slots.connect(node, **self._changes)
            )
        return server

    def _update(self) -> None:
        self._slots.update()
        if self._version != self._slots.version:
            self._version = self._slots.version
            self._disconnect(*self._servers.keys() - set(self._slots.masters))

    def _exchange(self, groups_of: dict[Node, list[Group]]) -> dict[Node, Exception]:
        """Send the groups to the nodes, and take the replies. Return the nodes with which this failed, and why."""
        failures: dict[Node, Exception] = {}
        sent: list[tuple[Node, ServerConnection, Packed, int]] = []
        for node, groups in groups_of.items():
            server = self._server_at(node)
            commands = [command for group in groups for command in group.to_send()]
            sent.append((node, server, pack(commands), len(commands)))
        replies_of: dict[Node, list[Reply]] = {}
        with self._turns.given_away():
            for node, server, packed, _ in sent:
                try:
                    server.send(packed.data)
                except NO_REPLY as error:
                    failures[node] = error
            for node, server, packed, count in sent:
                if node not in failures:
                    try:
                        replies_of[node] = server.read(count, packed.event_ids)
                    except NO_REPLY as error:
                        failures[node] = error
        for node, replies in replies_of.items():
            if self._is_check:
                self._slots.has_answered(node)
            place = 0
            for group in groups_of[node]:
                end = place + group.reply_count
                group.take(replies[place:end])
                place = end
        return failures

    def _fail(self, groups: list[Group], node: Node, failure: Exception) -> None:
        self._disconnect(node)
        self._slots.suspect(node)
        if isinstance(failure, (RedisTimeoutError, TimeoutError)):
            self._slots.was_silent(node)
        for group in groups:
            group.fail(failure)

    def _can_connect(self, node: Node) -> bool:
        """Connect to a node whose connection has broken, and return whether that worked."""
        server = self._server_at(node)
        try:
            with self._turns.given_away():
                server.connect()
        except NO_REPLY:
            self._disconnect(node)
            return False
        return True

    def _is_left(self, group: Group, node: Node) -> bool:
        """Follow a redirection. Return whether the group may be sent again."""
        if group.problem is None:
            return False
        if group.code == "ASK":
            group.asked_node = group.target
            return True
        if group.code == "MOVED":
            assert group.slot is not None
            self._health.server_changes += 1
            self._slots.move(group.slot, group.target)
            return self._may_repeat
        if group.code == "TRYAGAIN":
            return True
        self._disconnect(node)
        self._slots.suspect(node)
        return False

    def _noted(self, group: Group) -> JournalUnavailableError:
        """Return why the group was not executed, and note it."""
        problem = group.problem
        assert problem is not None
        if not self._may_repeat and group.slot is not None:
            self._server_of.pop(group.slot, None)
            if group.code == "MOVED" or isinstance(problem, AnotherServerError):
                # Operators need not know.
                return JournalUnavailableError(MAY_BE_ANOTHER)
        if group.code == "ASK":
            # The other server has some of the keys, too, and says this. It was asked at the attempt before.
            problem = ResponseError(
                f"TRYAGAIN slot {group.slot} is moving, and has keys on both servers"
            )
        if isinstance(problem, Refusal):
            return self._health.refused(problem, self._recovery_count, group.node)
        return self._health.unreachable(problem, self._recovery_count, group.node)

    def _disconnect(self, *nodes: Node) -> None:
        for node in nodes:
            server = self._servers.pop(node, None)
            if server is not None:
                server.disconnect()
