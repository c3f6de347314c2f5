"""Commands of one slot, on their way to a server of a cluster."""

from collections.abc import Sequence

from flask_sluice.journal.redis.servers.cluster.keys import slot_of_commands
from flask_sluice.journal.redis.servers.cluster.slots import Node
from flask_sluice.journal.redis.servers.connection import (
    Refusal,
    Reply,
    framed,
    reply_count,
    results_of,
)
from flask_sluice.journal.redis.servers.health import code_of
from flask_sluice.journal.redis.servers.packing import Command

_ASKING: Command = ("ASKING",)


class Group:
    """Commands that one server executes as a transaction, and what became of them.

    problem: why they were not executed at the last attempt; None: they were
    """

    __slots__ = ("_commands", "asked_node", "node", "problem", "results", "slot")

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands
        self.slot = slot_of_commands(commands)
        self.node: Node | None = None
        """Where it was sent last."""
        self.asked_node: Node | None = None
        """Where it is to be sent next, once, because the slot is moving there."""
        self.problem: Exception | None = None
        self.results: list[Reply] = []

    def to_send(self) -> list[Command]:
        # The permission lasts for the next command, or up to EXEC if that is MULTI.
        asking = [] if self.asked_node is None else [_ASKING]
        return [*asking, *framed(self._commands)]

    @property
    def reply_count(self) -> int:
        return (self.asked_node is not None) + reply_count(self._commands)

    def take(self, replies: list[Reply]) -> None:
        outcome = results_of(self._commands, replies[self.asked_node is not None :])
        self.asked_node = None
        if isinstance(outcome, Exception):
            self.problem = outcome
        else:
            self.problem, self.results = None, outcome

    def fail(self, problem: Exception) -> None:
        self.asked_node, self.problem = None, problem

    @property
    def code(self) -> str:
        """The code of the refusal, such as MOVED; "" if it was not refused."""
        return code_of(self.problem) if isinstance(self.problem, Refusal) else ""

    @property
    def target(self) -> Node:
        """Where a redirection leads. An empty host is that of the server which redirects."""
        assert self.node is not None
        host, _, port = str(self.problem).rpartition(" ")[2].rpartition(":")
        return host or self.node[0], int(port)
