"""Which server of a cluster has which slots."""

import time
from typing import Any, TypeAlias

from redis.exceptions import RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.address import Address
from flask_sluice.journal.redis.servers.cluster.keys import SLOT_COUNT, slot_of_key
from flask_sluice.journal.redis.servers.connection import Reply, disconnect
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.turns import Turns

Node: TypeAlias = tuple[str, int]
"""Host and port."""

_LOAD_SECONDS = 0.1
"""The least time between two questions for the slots. A redirection changes them at once."""
_SILENCE_SECONDS = 1.0


class ClusterSlots:
    """The masters, as the nodes of the cluster tell. All connections of a client share it.

    It is loaded when it is first needed, and again after ``suspect`` and ``move``.
    """

    def __init__(self, address: Address, turns: Turns, health: RedisHealth) -> None:
        self._address = address
        self._turns = turns
        self._health = health
        self._node_of: list[Node | None] = [None] * SLOT_COUNT
        self.masters: list[Node] = []
        """Those that have slots."""
        self.version = 0
        """How often the masters have been loaded."""
        self._is_stale = True
        self._loaded_at = 0.0
        self._suspects: set[Node] = set()
        self._silent_until: dict[Node, float] = {}
        self._tags: dict[Node, str] = {}

    def node_of(self, slot: int | None) -> Node | None:
        """Return the master that has the slot; of None, any; None if no server has it."""
        return self.masters[0] if slot is None else self._node_of[slot]

    @property
    def missing_count(self) -> int:
        """How many slots no server has."""
        return self._node_of.count(None)

    def tag_of(self, master: Node) -> str:
        """Return a hash tag, which is no id of a stream, with a slot of this master."""
        tag, number = self._tags.get(master, "check"), 0
        while self._node_of[slot_of_key(tag)] != master:
            number += 1
            tag = f"check-{number}"
        self._tags[master] = tag
        return tag

    def suspect(self, node: Node | None) -> None:
        """Have the slots loaded before they are used again; from other nodes than this one if possible."""
        self._is_stale = True
        if node is not None:
            self._suspects.add(node)

    def move(self, slot: int, node: Node) -> None:
        """Note a redirection."""
        self._is_stale = True
        self._node_of[slot] = node
        if node not in self.masters:
            self.masters.append(node)

    def connect(self, node: Node, **changes: float) -> Any:
        """Return a connection of redis-py's to a node, not yet connected."""
        return self._address.new_connection(node, **changes)

    def new_connection(self, key: str | None, **changes: float) -> Any:
        """Return a connection of redis-py's to the master that has the key, of None to any; not yet connected.

        Raises JournalUnavailableError.
        """
        # Connections of this kind are made when another has broken, which may be because its server is dead.
        self._is_stale = True
        self.update()
        node = self.node_of(None if key is None else slot_of_key(key))
        if node is None:
            raise self._health.refused(
                ResponseError(f"CLUSTERDOWN no server has the slot of {key}")
            )
        return self.connect(node, **changes)

    def was_silent(self, node: Node) -> None:
        self._silent_until[node] = time.monotonic() + _SILENCE_SECONDS

    def is_silent(self, node: Node) -> bool:
        """Return whether a reply of this node has been awaited in vain a moment ago.

        Another wait would hold up the commands to the other nodes.
        """
        return time.monotonic() < self._silent_until.get(node, 0.0)

    def update(self) -> None:
        """Load the slots if they may have changed. Raises JournalUnavailableError if they were never loaded."""
        was_just_loaded = time.monotonic() - self._loaded_at < _LOAD_SECONDS
        # As long as there are none, each that needs them asks: another may still wait for a node's answer.
        if self.version and (was_just_loaded or not self._is_stale):
            return
        try:
            self.load()
        except JournalUnavailableError:
            if not self.version:
                raise

    def load(self) -> None:
        """Ask the nodes for the slots, one after the other until one tells. Raises JournalUnavailableError."""
        self._is_stale = False
        self._loaded_at = time.monotonic()
        failure: JournalUnavailableError | None = None
        sent_after = self._health.recovery_count
        for node in self._nodes_to_ask():
            try:
                ranges = self._ask(node)
            except ResponseError as error:
                failure = failure or self._health.refused(error, sent_after, node)
            except (RedisError, OSError, ValueError, TypeError, IndexError) as error:
                failure = failure or self._health.unreachable(error, sent_after, node)
            else:
                if ranges:
                    self._take(ranges)
                    return
                failure = failure or self._health.refused(
                    ResponseError("CLUSTERDOWN none of its servers has slots"), sent_after, node
                )
        self._is_stale = True
        assert failure is not None
        raise failure

    def _nodes_to_ask(self) -> list[Node]:
        nodes = dict.fromkeys((*self.masters, *self._address.nodes))
        return sorted(nodes, key=lambda node: (self.is_silent(node), node in self._suspects))

    def _ask(self, node: Node) -> list[tuple[int, int, Node]]:
        connection = self._address.new_connection(node)
        try:
            with self._turns.given_away():
                connection.send_command("CLUSTER", "SLOTS")
                reply: list[Reply] = connection.read_response()
        finally:
            disconnect(connection)
        return [(first, last, _node_from(server, node)) for first, last, server, *_ in reply]

    def _take(self, ranges: list[tuple[int, int, Node]]) -> None:
        node_of: list[Node | None] = [None] * SLOT_COUNT
        for first, last, node in ranges:
            node_of[first : last + 1] = [node] * (last + 1 - first)
        self._node_of = node_of
        self.masters = list(dict.fromkeys(node for _, _, node in ranges))
        self._suspects.clear()
        self.version += 1


def _node_from(server: list[Any], asked: Node) -> Node:
    """Return where a server is, from the reply to CLUSTER SLOTS.

    A node that knows no name of itself leaves it to the asker, who has reached it by one. One that is to say a host name and has none
    says ``?``, and its IP address after it.
    """
    host, port, *more = server
    if host == b"?":
        about = more[1] if len(more) > 1 else []
        values = dict(zip(about[::2], about[1::2], strict=True))
        host = values.get(b"ip")
    return host.decode() if host else asked[0], port
