"""A second connection, to ask a server about its streams while they run."""

import json

from tests.support.server import Server, wait_until
from tests.support.stream import Response, get


class Observer:
    def __init__(self, server: Server) -> None:
        self._sock = server.connect()

    def close(self) -> None:
        self._sock.close()

    def ask(self, path: str) -> dict:
        self._sock.sendall(get(path))
        return json.loads(Response(self._sock).body())

    def ended_at(self, key: str) -> float:
        """When the generator of that stream of the foreign app ended; waits for it."""
        return wait_until(lambda: self.ask(f"/ended/{key}")["at"])

    def until_write_blocks(self, key: str) -> int:
        """Waits until that generator makes no progress while the loop turns five times: the buffers and the
        channel are full. Returns how many events it has made."""
        counts: list[int] = []
        while not (counts[-1:] > [0] and counts[-5:] == counts[-1:] * 5):
            counts.append(self.ask(f"/produced/{key}")["events"])
        return counts[-1]

    def until_idle(self) -> dict:
        """Waits until the worker has no stream; returns what /inspect says then."""
        return wait_until(lambda: (seen := self.ask("/inspect"))["inflight"] == 0 and seen)
