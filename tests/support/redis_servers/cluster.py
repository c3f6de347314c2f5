"""A Redis Cluster: some masters, each with or without replicas."""

import contextlib
import secrets
import time
from contextlib import ExitStack

import redis
from redis.crc import key_slot

from tests.support.redis_servers.node import RedisNode
from tests.support.redis_servers.process import REDIS
from tests.support.redis_servers.slot_move import SlotMove
from tests.support.server import wait_until

SLOTS = 16384
_BUS_OFFSET = 10_000
_START_SECONDS = 30
_FAILOVER_SECONDS = 6


class ClusterNode(RedisNode):
    """arguments, options: see ``RedisNode``"""

    def __init__(self, *arguments: str, node_timeout_ms: int, **options) -> None:
        super().__init__(
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms)),
            # A replica whose link was cut by the tests may take over, too.
            *("--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no"),
            *arguments,
            is_in_cluster=True,
            **options,
        )
        self.id = secrets.token_hex(20)

    @property
    def thinks_all_is_well(self) -> bool:
        """Whether it reaches all nodes that are to be there, and serves."""
        info = _info(self)
        return info["cluster_state"] == "ok" and info["cluster_slots_fail"] == "0"

    def line(self, flags: str, master: "ClusterNode | None", epoch: int, slots: str) -> str:
        """Return what nodes.conf says of this node."""
        address = f"{self.address}@{self.port + _BUS_OFFSET}"
        master_id = master.id if master else "-"
        return f"{self.id} {address} {flags} {master_id} 0 0 {epoch} connected {slots}".rstrip()


class RedisCluster:
    """Begins formed: each node finds in its nodes.conf what it would have learnt from the others.

    It takes two seconds to start, since Redis lets a master wait so long before it serves.

    masters, replicas_each: how many nodes of each kind
    node_timeout_ms: after so long without an answer a node takes another for dead
    arguments, options: for each node; see ``RedisNode``
    """

    def __init__(
        self,
        *arguments: str,
        masters: int = 3,
        replicas_each: int = 0,
        node_timeout_ms: int = 1500,
        program: str = REDIS,
        **options,
    ) -> None:
        self.nodes = [
            ClusterNode(*arguments, node_timeout_ms=node_timeout_ms, program=program, **options)
            for _ in range(masters * (1 + replicas_each))
        ]
        self._first_masters = self.nodes[:masters]
        self._write_nodes_conf()
        scheme, _, rest = self.nodes[0].url.partition("://")
        login, at, _ = rest.rpartition("@")
        query = rest.partition("?")[2]
        addresses = ",".join(node.address for node in self.nodes)
        self.url = f"{scheme}+cluster://{login}{at}{addresses}" + (f"?{query}" if query else "")

    def __enter__(self) -> "RedisCluster":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.__exit__)

    def start(self) -> None:
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_it_answers()
        self.wait_until_well()

    def wait_until_well(self) -> None:
        """Wait until all slots are served and all running replicas have their copies."""
        wait_until(self._is_well, _START_SECONDS, lambda: self.nodes[0].log)

    def _is_well(self) -> bool:
        return self.is_served and all(
            node.role == "master" or node.is_in_sync for node in self.running
        )

    @property
    def is_served(self) -> bool:
        """Whether every running node says that the cluster works."""
        return all(_info(node)["cluster_state"] == "ok" for node in self.running)

    @property
    def running(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.is_running]

    @property
    def masters(self) -> list[ClusterNode]:
        """The running ones that serve slots."""
        return [node for node in self.running if _serves(node)]

    def node_of(self, key: str) -> ClusterNode:
        """Return the running master that says that it serves the key's slot; wait while another takes it over."""
        return self.node_of_slot(slot_of(key))

    def node_of_slot(self, slot: int) -> ClusterNode:
        return wait_until(
            lambda: self._claimant_of(slot), _START_SECONDS, lambda: f"no master has slot {slot}"
        )

    def _claimant_of(self, slot: int) -> ClusterNode | None:
        """Return None where a master that was asked first got the slot just before another gave it away."""
        return next(
            (
                node
                for node in self.masters
                if any(first <= slot <= last for first, last in _slots_of(node))
            ),
            None,
        )

    def replica_of(self, master: ClusterNode) -> ClusterNode:
        """Return a running replica that gets this master's data."""
        return wait_until(
            lambda: self._link_to(master), _START_SECONDS, lambda: f"no replica of {master.address}"
        )

    def _link_to(self, master: ClusterNode) -> ClusterNode | None:
        """Return None while a replica still turns to this master, as after another's end."""
        return next(
            (
                node
                for node in self.running
                if node.client.info("replication").get("master_port") == master.port
            ),
            None,
        )

    def kill(self, master: ClusterNode) -> None:
        """Kill it by SIGKILL, and return when its replica serves in its place and all others say that all is well."""
        replica = self.replica_of(master)
        master.kill()
        wait_until(lambda: _serves(replica) and self.is_served, _START_SECONDS, lambda: replica.log)

    def failover(self, master: ClusterNode, *how: str) -> ClusterNode:
        """Have a replica take the place of a master that lives, by CLUSTER FAILOVER. Return that replica.

        how: FORCE or TAKEOVER
        """
        replica = self.replica_of(master)
        ends_at = time.monotonic() + _START_SECONDS
        while not (_serves(replica) and not _serves(master)):
            assert time.monotonic() < ends_at, replica.log
            # A node gives a manual failover up after five seconds, as when the others have just voted for another one.
            with contextlib.suppress(
                redis.ResponseError
            ):  # It is a master, but the old one has not heard of that yet.
                replica.client.execute_command("CLUSTER", "FAILOVER", *how)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: _serves(replica) and not _serves(master), _FAILOVER_SECONDS)
        return replica

    def move(self, slot: int, to: ClusterNode) -> SlotMove:
        """Begin to move a slot to another master; see ``SlotMove``."""
        return SlotMove(slot, self.node_of_slot(slot), to, self.masters)

    def _write_nodes_conf(self) -> None:
        masters = self._first_masters
        bounds = [SLOTS * number // len(masters) for number in range(len(masters) + 1)]
        for reader in self.nodes:
            lines = []
            for number, node in enumerate(self.nodes):
                place = number % len(masters)
                is_master = number < len(masters)
                role = "master" if is_master else "slave"
                lines.append(
                    node.line(
                        f"myself,{role}" if node is reader else role,
                        None if is_master else masters[place],
                        place + 1,
                        f"{bounds[place]}-{bounds[place + 1] - 1}" if is_master else "",
                    )
                )
            lines.append(f"vars currentEpoch {len(masters)} lastVoteEpoch 0")
            (reader.folder / "nodes.conf").write_text("\n".join(lines) + "\n")


def slot_of(key: str) -> int:
    return key_slot(key.encode())


def key_in(slots: range, prefix: str = "key") -> str:
    """Return a key, such as the id of a stream, whose slot is one of these."""
    number = 0
    while slot_of(f"{prefix}-{number}") not in slots:
        number += 1
    return f"{prefix}-{number}"


def _info(node: ClusterNode) -> dict[str, str]:
    lines = node.client.execute_command("CLUSTER", "INFO").decode().split()
    return dict(line.split(":", 1) for line in lines)


def _myself(node: ClusterNode) -> list[str]:
    """Return the words in which the node describes itself."""
    # In two words, so that redis-py does not make dictionaries of the reply.
    reply = node.client.execute_command("CLUSTER", "NODES")
    lines = [line.split() for line in reply.decode().splitlines()]
    return next(words for words in lines if "myself" in words[2])


def _slots_of(node: ClusterNode) -> list[tuple[int, int]]:
    ranges = [word.split("-") for word in _myself(node)[8:] if not word.startswith("[")]
    return [(int(words[0]), int(words[-1])) for words in ranges]


def _serves(node: ClusterNode) -> bool:
    return "master" in _myself(node)[2] and bool(_slots_of(node))
