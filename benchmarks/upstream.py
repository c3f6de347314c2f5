"""An upstream that streams as told: what a relay has to pass on, and cheap enough not to be what is measured.

Takes any POST whose JSON body has ``"model": "EVENTSxMILLISECONDS"``: so many events, one each so many
milliseconds; 0 sends them as fast as they are taken. Connections are kept. Run: python -m benchmarks.upstream PORT
"""

import heapq
import itertools
import json
import re
import select
import socket
import sys
import time

from benchmarks.event import DONE, event

_EVENTS_PER_TURN = 16
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_END = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection:
    """One client's: reads requests, answers one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.interval_seconds = 0.0
        self.unsent = b""
        self._received = b""
        self._left = 0
        self._is_ended = True

    def receive(self) -> bool:
        """Returns whether a request has come; raises ConnectionError at the end of the connection."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *([0-9]+)", head)
        if not end or length is None or len(body) < int(length[1]):
            return False
        self._received = b""
        events, milliseconds = json.loads(body)["model"].split("x")
        self._left = int(events)
        self.interval_seconds = int(milliseconds) / 1000
        self._is_ended = False
        self.unsent = _HEAD
        return True

    def send_event(self) -> bool:
        """Sends one event more, or the end; returns whether there is more to come.

        What the socket does not take at once is sent before the next.
        """
        if not self.unsent:
            if self._is_ended:
                return False
            self._left -= 1
            self._is_ended = self._left < 0
            self.unsent = _chunk(DONE) + _END if self._is_ended else _chunk(event(self._left))
        try:
            sent = self.sock.send(self.unsent)
        except BlockingIOError:
            sent = 0
        self.unsent = self.unsent[sent:]
        return bool(self.unsent) or not self._is_ended

    def send_events(self) -> bool:
        """Like ``send_event``, several: each by itself, as servers send them."""
        for _ in range(_EVENTS_PER_TURN):
            if not self.send_event():
                return False
            if self.unsent:
                break
        return True


class Upstream:
    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=8192)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection]] = []
        self._order = itertools.count()

    def run(self) -> None:
        while True:
            wait = max(self._due[0][0] - time.monotonic(), 0) if self._due else -1
            for fd, ready in self._epoll.poll(wait):
                if fd == self._listener.fileno():
                    self._accept()
                    continue
                connection = self._connections[fd]
                try:
                    self._serve(connection, ready)
                except ConnectionError:
                    self._drop(connection)
            self._send_due_events()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self._connections[sock.fileno()] = Connection(sock)
        self._epoll.register(sock, select.EPOLLIN)

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.sock.fileno()]
        connection.sock.close()

    def _serve(self, connection: Connection, ready: int) -> None:
        if ready & select.EPOLLIN and connection.receive():
            if connection.interval_seconds:
                self._schedule(connection, time.monotonic())
            else:
                self._epoll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)
        if ready & select.EPOLLOUT and not connection.send_events():
            self._epoll.modify(connection.sock, select.EPOLLIN)

    def _schedule(self, connection: Connection, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._order), connection))

    def _send_due_events(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, connection = heapq.heappop(self._due)
            if connection.sock.fileno() < 0:
                continue
            try:
                has_more = connection.send_event()
            except ConnectionError:
                self._drop(connection)
                continue
            if has_more:
                self._schedule(connection, due + connection.interval_seconds)


if __name__ == "__main__":
    Upstream(int(sys.argv[1])).run()
