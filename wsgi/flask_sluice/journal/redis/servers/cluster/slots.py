"""Which server of a cluster has which slots."""

import math
import re
import time
from typing import Any, TypeAlias

from redis.exceptions import ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.address import Address
from flask_sluice.journal.redis.servers.cluster.keys import SLOT_COUNT, slot_of_key
from flask_sluice.journal.redis.servers.connection import NO_REPLY, Reply, disconnect
from flask_sluice.journal.redis.servers.health import RedisHealth
from flask_sluice.journal.turns import Turns

Node: TypeAlias = tuple[str, int]
"""Host and port."""

_IS_NO_CLUSTER = "it is not a node of a cluster; the URL of one server begins with redis://, rediss:// or unix://"

_LOAD_SECONDS = 0.1
"""The least time between two questions for the slots. A redirection changes them at once."""
_MAX_ASKING_SECONDS = 4.0
_SILENCE_SECONDS = 10.0
"""How long nothing is sent to a node that has left a command without a reply, if no check of the client sees it answer before."""


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
        self.is_stale = True
        """Whether they are to be loaded before they are used again."""
        self._loaded_at = 0.0
        # In monotonic seconds.
        self._failed_at: dict[Node, float] = {}
        self._silent_at: dict[Node, float] = {}
        self._tags: dict[Node, str] = {}

    def node_of(self, slot: int | None) -> Node | None:
        """Return the master that has the slot; of None, the one that failed longest ago; None if no server has it."""
        if slot is None:
            return min(self.masters, key=self._last_failure)
        return self._node_of[slot]

    @property
    def missing_count(self) -> int:
        """How many slots no server has."""
        return self._node_of.count(None)

    def tag_of(self, master: Node) -> str:
        """Return a hash tag with a slot of this master, which no stream has for its id."""
        tag, number = self._tags.get(master, "check"), 0
        while self._node_of[slot_of_key(tag)] != master:
            number += 1
            tag = f"check-{number}"
        self._tags[master] = tag
        return tag

    def suspect(self, node: Node) -> None:
        """Have the slots loaded, from other nodes than this one if possible."""
        self.is_stale = True
        self._failed_at[node] = time.monotonic()

    def _last_failure(self, node: Node) -> float:
        return self._failed_at.get(node, -math.inf)

    def was_silent(self, node: Node) -> None:
        """Note that a reply of this node was awaited in vain."""
        self._silent_at[node] = time.monotonic()

    def has_answered(self, node: Node) -> None:
        """Note that commands may be sent to it again."""
        self._silent_at.pop(node, None)

    def is_silent(self, node: Node) -> bool:
        """Return whether that was a moment ago. To wait once more would hold up the commands to the other nodes.

        Checks are made apart from them, and wait for it each time.
        """
        silent_at = self._silent_at.get(node)
        return silent_at is not None and time.monotonic() - silent_at < _SILENCE_SECONDS

    def move(self, slot: int, node: Node) -> None:
        """Note a redirection."""
        self.is_stale = True
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
        self.is_stale = True
        self.update()
        node = self.node_of(None if key is None else slot_of_key(key))
        if node is None:
            raise self._health.refused(
                ResponseError(f"CLUSTERDOWN no server has the slot of {key}")
            )
        return self.connect(node, **changes)

    def update(self) -> None:
        """Load the slots if they may have changed. Raises JournalUnavailableError if they were never loaded."""
        was_just_loaded = time.monotonic() - self._loaded_at < _LOAD_SECONDS
        # As long as there are none, each that needs them asks: another may still wait for a node's answer.
        if self.version and (was_just_loaded or not self.is_stale):
            return
        try:
            self.load()
        except JournalUnavailableError:
            if not self.version:
                raise

    def load(self) -> None:
        """Ask the nodes for the slots, one after the other until one tells. Raises JournalUnavailableError."""
        self.is_stale = False
        self._loaded_at = began_at = time.monotonic()
        sent_after = self._health.recovery_count
        failures: list[tuple[Exception, Node]] = []
        for node in self._nodes_to_ask():
            try:
                self._take(self._ask(node))
            except (*NO_REPLY, TypeError) as error:
                self._failed_at[node] = time.monotonic()
                failures.append((error, node))
            else:
                return
            if time.monotonic() - began_at > _MAX_ASKING_SECONDS:
                break
        self.is_stale = True
        failure, node = failures[0]
        if isinstance(failure, ResponseError):
            raise self._health.refused(failure, sent_after, node)
        raise self._health.unreachable(failure, sent_after, node)

    def _nodes_to_ask(self) -> list[Node]:
        """Return all that are known; first those that never failed, or long ago."""
        return sorted(dict.fromkeys((*self.masters, *self._address.nodes)), key=self._last_failure)

    def _ask(self, node: Node) -> list[tuple[int, int, Node]]:
        connection = self._address.new_connection(node)
        try:
            with self._turns.given_away():
                connection.send_command("CLUSTER", "SLOTS")
                reply: list[Reply] = connection.read_response()
        except ResponseError as error:
            # Without cluster mode; a sentinel, or a server that is not Redis's.
            if re.search("cluster support disabled|unknown command", str(error), re.IGNORECASE):
                raise ResponseError(_IS_NO_CLUSTER) from None
            raise
        finally:
            disconnect(connection)
        return [(first, last, _node_from(server, node)) for first, last, server, *_ in reply]

    def _take(self, ranges: list[tuple[int, int, Node]]) -> None:
        if not ranges:
            raise ResponseError("CLUSTERDOWN it knows no server that has slots")
        node_of: list[Node | None] = [None] * SLOT_COUNT
        for first, last, node in ranges:
            node_of[first : last + 1] = [node] * (last + 1 - first)
        if self.version and node_of != self._node_of:
            self._health.server_changes += 1
        self._node_of = node_of
        self.masters = list(dict.fromkeys(node for _, _, node in ranges))
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
