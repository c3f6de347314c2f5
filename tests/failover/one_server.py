"""One Redis, with or without what lies between it and its users, and with or without a replica."""

import shutil
from contextlib import ExitStack

from tests.failover.redis_proxy import RedisProxy
from tests.support.redis_servers import RedisNode
from tests.support.server import wait_until

_IN_SYNC_SECONDS = 20


class OneServer(RedisNode):
    """See ``RedisNode``."""

    @property
    def nodes(self) -> list[RedisNode]:
        return [self]


class StoringServer(OneServer):
    """Logs each change before it answers, so that it has all its data after ``kill`` and ``start``."""

    def __init__(self, *arguments: str) -> None:
        super().__init__("--appendonly", "yes", *arguments)
        self._copy = self.folder / "copy"

    def remember(self) -> None:
        """Copy its data as they are now, for ``start_as_remembered``."""
        shutil.copytree(self.folder / "appendonlydir", self._copy)

    def start_as_remembered(self) -> None:
        """Start it with the data that it had at ``remember``, as from an old file."""
        shutil.rmtree(self.folder / "appendonlydir")
        shutil.move(self._copy, self.folder / "appendonlydir")
        self.start()


class _Proxied:
    """Servers that are reached by way of ``proxy``."""

    def __init__(self, *nodes: RedisNode) -> None:
        self.nodes = list(nodes)
        self.proxy = RedisProxy(nodes[0].port)
        self.url = self.proxy.url
        self._stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            stack.enter_context(self.proxy)
            for node in self.nodes:
                stack.enter_context(node)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class ProxiedServer(_Proxied):
    """One that is reached over a network, whose faults are those of ``proxy``."""

    def __init__(self) -> None:
        super().__init__(RedisNode())


class ManagedPair(_Proxied):
    """A primary and its replica, of which users know one name, as that of a managed service.

    What the name leads to is ``proxy.target``. Connections that are open stay with the server that they have.
    """

    def __init__(self) -> None:
        self.first = RedisNode()
        self.second = RedisNode(replica_of=self.first.port)
        super().__init__(self.first, self.second)

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: self.second.is_in_sync, _IN_SYNC_SECONDS)
        return self

    def fail_over(self) -> None:
        """Let the replica become the primary, by FAILOVER: it has everything by then."""
        self.first.client.execute_command("FAILOVER", "TO", "127.0.0.1", self.second.port)
        wait_until(lambda: self.second.role == "master", _IN_SYNC_SECONDS, lambda: self.first.log)

    def promote(self) -> None:
        """Let the replica become a primary, by REPLICAOF: it gets nothing from the other one from now on."""
        self.second.client.replicaof("NO", "ONE")

    def demote(self) -> None:
        """Let the name lead to the new primary, and the old one become its replica."""
        self.proxy.target = self.second.port
        self.first.client.replicaof("127.0.0.1", self.second.port)
        wait_until(lambda: self.first.is_in_sync, _IN_SYNC_SECONDS, lambda: self.first.log)
