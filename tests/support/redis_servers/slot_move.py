"""Moving a slot of a cluster from one master to another, in steps between which a test may look."""

from typing import TYPE_CHECKING

from tests.support.server import wait_until

if TYPE_CHECKING:
    from tests.support.redis_servers.cluster import ClusterNode

_MOVED_AT_ONCE = 100
_TIMEOUT_MS = 5000


class SlotMove:
    """From ``begin`` to ``finish`` the source answers for the keys that it still has and with ASK for others.

    masters: all that are to learn where the slot is
    """

    def __init__(
        self, slot: int, source: "ClusterNode", target: "ClusterNode", masters: "list[ClusterNode]"
    ) -> None:
        self.slot = slot
        self.source = source
        self.target = target
        self._masters = masters

    def begin(self) -> "SlotMove":
        # After a failover a node hears from the others which of them is a master now.
        wait_until(lambda: self._is_known_as_master(self.target, by=self.source))
        wait_until(lambda: self._is_known_as_master(self.source, by=self.target))
        self._set_slot(self.target, "IMPORTING", self.source.id)
        self._set_slot(self.source, "MIGRATING", self.target.id)
        return self

    def left(self) -> list[str]:
        """Return the keys of the slot that the source still has."""
        keys = self.source.client.execute_command(
            "CLUSTER", "GETKEYSINSLOT", self.slot, _MOVED_AT_ONCE
        )
        return [key.decode() for key in keys]

    def move_keys(self, *keys: str) -> None:
        """Move these keys, or all that the source still has."""
        while moved := keys or self.left():
            self.source.client.execute_command(
                *("MIGRATE", "127.0.0.1", self.target.port, "", 0, _TIMEOUT_MS),
                *("KEYS", *moved),
            )
            if keys:
                break

    def finish(self) -> None:
        """Move the rest and give the slot away. The target is told first, so that no node redirects to one that refuses."""
        self.move_keys()
        others = [node for node in self._masters if node not in (self.source, self.target)]
        for node in (self.target, self.source, *others):
            self._set_slot(node, "NODE", self.target.id)

    def whole(self) -> None:
        """Do all of it."""
        self.begin()
        self.finish()

    @staticmethod
    def _is_known_as_master(node: "ClusterNode", *, by: "ClusterNode") -> bool:
        lines = by.client.execute_command("CLUSTER", "NODES").decode().splitlines()
        return any(f"127.0.0.1:{node.port}@" in line and "master" in line for line in lines)

    def _set_slot(self, node: "ClusterNode", *state: str) -> None:
        node.client.execute_command("CLUSTER", "SETSLOT", self.slot, *state)
