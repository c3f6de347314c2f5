"""Many readers that cost little."""

import select
import socket
import time

from tests.support.server import Server, wait_until

EVENT = b"data: "


class Readers:
    """Connections that count what comes, in one process that does nothing else.

    count: how many; sources: how many of ``path/0``, ``path/1`` and so on they ask for in turn
    """

    def __init__(self, server: Server, path: str, count: int, sources: int) -> None:
        self._count = count
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._have_begun: set[int] = set()
        for number in range(count):
            sock = server.connect()
            sock.sendall(
                f"GET {path}/{number % sources} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._epoll.register(sock, select.EPOLLIN)
            if number % 20 == 0:
                self.read(0.01)
        wait_until(self._all_have_begun, 60)

    def _all_have_begun(self) -> bool:
        self.read(0.1)
        return len(self._have_begun) == self._count

    def read(self, seconds: float) -> int:
        """Return how many events come in this time."""
        count, ends_at = 0, time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            for fd, _ in self._epoll.poll(left):
                count += self._sockets[fd].recv(65536).count(EVENT)
                self._have_begun.add(fd)
        return count

    def close(self) -> None:
        self._epoll.close()
        for sock in self._sockets.values():
            sock.close()
