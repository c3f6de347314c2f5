"""A primary and its replicas, watched by three sentinels."""

import contextlib
import secrets
from contextlib import ExitStack

import redis

from benchmarks.ports import free_port
from tests.support.redis_servers.node import RedisNode
from tests.support.redis_servers.process import REDIS, RedisProcess, new_client
from tests.support.server import wait_until

SERVICE = "sluice"
_FAILOVER_SECONDS = 40
_INFO_MS = 500


class Sentinel(RedisProcess):
    """Asks for no password itself; knows its fellows and the replicas from the beginning, which else takes ten seconds."""

    def __init__(self, program: str) -> None:
        super().__init__(program)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.id = secrets.token_hex(20)
        self.url = f"redis://{self.address}"
        self.client = new_client(self.url)
        self._arguments = (str(self.folder / "sentinel.conf"), "--sentinel")

    def configure(self, servers: "SentinelServers") -> None:
        fellows = [other for other in servers.sentinels if other is not self]
        lines = [
            *(f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}"),
            f"sentinel myid {self.id}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {servers.nodes[0].port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {servers.down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 10000",
            *([f"sentinel auth-pass {SERVICE} {servers.password}"] if servers.password else []),
            *(
                f"sentinel known-replica {SERVICE} 127.0.0.1 {replica.port}"
                for replica in servers.nodes[1:]
            ),
            *(
                f"sentinel known-sentinel {SERVICE} 127.0.0.1 {other.port} {other.id}"
                for other in fellows
            ),
        ]
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def look_often(self) -> None:
        """Have it see twice a second what has become of the nodes, not every ten seconds; 6.2 cannot."""
        with contextlib.suppress(redis.ResponseError):
            self.client.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", _INFO_MS)

    def knows_all(self, replicas: int) -> bool:
        """Whether a failover that begins now would have its choice among so many replicas."""
        seen = self.client.execute_command("SENTINEL", "REPLICAS", SERVICE)
        # Before 7.0 redis-py does not make dictionaries of these.
        texts = [str(replica) for replica in seen]
        linked = [text for text in texts if "master-link-status" in text and "err" not in text]
        return len(linked) == replicas and _has_quorum(self.client)

    def primary_port(self) -> int:
        _, port = self.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(port)


class SentinelServers:
    """Nodes that run from the beginning, of which ``primary`` is the one that the sentinels name.

    password: of the nodes
    down_after_ms: after so long without an answer a sentinel takes a node for dead
    arguments: for each node's redis-server
    """

    def __init__(
        self,
        *arguments: str,
        replicas: int = 2,
        program: str = REDIS,
        password: str = "",
        down_after_ms: int = 1500,
    ) -> None:
        self.password = password
        self.down_after_ms = down_after_ms
        options = {"program": program, "password": password}
        primary = RedisNode(*arguments, **options)
        self.nodes = [
            primary,
            *(RedisNode(*arguments, replica_of=primary.port, **options) for _ in range(replicas)),
        ]
        self.sentinels = [Sentinel(program) for _ in range(3)]
        for sentinel in self.sentinels:
            sentinel.configure(self)
        addresses = ",".join(sentinel.address for sentinel in self.sentinels)
        login = f":{password}@" if password else ""
        self.url = f"redis+sentinel://{login}{addresses}/{SERVICE}"

    def __enter__(self) -> "SentinelServers":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for process in (*self.nodes, *self.sentinels):
                stack.callback(process.__exit__)

    def start(self) -> None:
        processes = (*self.nodes, *self.sentinels)
        for process in processes:
            process.launch()
        for process in processes:
            process.wait_until_it_answers()
        for sentinel in self.sentinels:
            sentinel.look_often()
        self.wait_until_well()

    def wait_until_well(self) -> None:
        """Wait until all running replicas have their copies and all sentinels know them."""
        replicas = len([node for node in self.nodes if node.is_running]) - 1
        wait_until(
            lambda: all(
                node.is_in_sync
                for node in self.nodes
                if node.is_running and node is not self.primary
            ),
            _FAILOVER_SECONDS,
        )
        wait_until(
            lambda: all(sentinel.knows_all(replicas) for sentinel in self.sentinels),
            _FAILOVER_SECONDS,
            lambda: self.sentinels[0].log,
        )

    @property
    def primary(self) -> RedisNode:
        """The node that the first running sentinel names."""
        sentinel = next(each for each in self.sentinels if each.is_running)
        port = sentinel.primary_port()
        return next(node for node in self.nodes if node.port == port)

    @property
    def replicas(self) -> list[RedisNode]:
        primary = self.primary
        return [node for node in self.nodes if node is not primary]

    def kill_primary(self) -> RedisNode:
        """Kill it by SIGKILL; return the node that has taken its place, as soon as all sentinels say so."""
        return self._replaced(lambda old: old.kill())

    def suspend_primary(self) -> RedisNode:
        """Stop it by SIGSTOP; return the node that has taken its place. The old one may be resumed then."""
        return self._replaced(lambda old: old.suspend())

    def failover(self) -> RedisNode:
        """Have the sentinels replace the primary while it works, by SENTINEL FAILOVER. Return the new one.

        The old one goes on as a primary for about eight seconds, until the sentinels make it a replica: what is
        written there in this time is lost.
        """
        return self._replaced(
            lambda _: self.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", SERVICE)
        )

    def _replaced(self, disturb) -> RedisNode:
        old = self.primary
        disturb(old)
        wait_until(
            lambda: self._has_replaced(old), _FAILOVER_SECONDS, lambda: self.sentinels[0].log
        )
        return self.primary

    def _has_replaced(self, old: RedisNode) -> bool:
        ports = {sentinel.primary_port() for sentinel in self.sentinels if sentinel.is_running}
        return len(ports) == 1 and old.port not in ports and self.primary.role == "master"


def _has_quorum(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.ResponseError):
        return b"OK" in bytes(client.execute_command("SENTINEL", "CKQUORUM", SERVICE))
    return False
