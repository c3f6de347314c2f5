"""An upstream that streams as told: what a relay has to pass on, and cheap enough not to be what is measured.

Takes any POST whose JSON body has ``"model": "EVENTSxMILLISECONDS"``: so many events, one each so many
milliseconds; 0 sends them as fast as they are taken, each by itself, as servers do, or with a third number,
``"2000x0x16"``, so many together. The first comes at once, the others spread the streams evenly over the interval:
at no time do many have to be sent together, however fast the streams were opened. Connections are kept. Run: python -m benchmarks.upstream PORT
"""

import heapq
import json
import math
import re
import select
import socket
import sys
import time

from benchmarks.event import DONE, chunk, event_chunk

_SENDS_PER_TURN = 16
_MAX_UNSENT_BYTES = 1024
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_END = chunk(DONE) + b"0\r\n\r\n"
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class Connection:
    """One client's: reads requests, answers one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.interval_seconds = 0.0
        self._send = sock.send
        self._unsent = b""
        self._received = b""
        self._left = 0
        self._together = 1
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
        events, milliseconds, *together = map(int, json.loads(body)["model"].split("x"))
        self._left = events
        self._together = together[0] if together else 1
        self.interval_seconds = milliseconds / 1000
        self._is_ended = False
        self._unsent = _HEAD
        return True

    def send_in_turn(self) -> bool:
        """Sends what one stream may, before it is the next one's turn; returns whether there is more to come."""
        for _ in range(_SENDS_PER_TURN):
            if not self.send():
                return False
            if self._unsent:
                break
        return True

    def send(self) -> bool:
        """Sends one event more, or the last and the end; returns whether there is more to come.

        What the socket does not take at once is sent before the next.
        """
        data = self._unsent
        if len(data) < _MAX_UNSENT_BYTES and not self._is_ended:
            count = min(self._together, self._left)
            data += event_chunk(time.monotonic_ns()) * count
            self._left -= count
            if self._left == 0:
                self._is_ended = True
                data += _END
        try:
            self._unsent = data[self._send(data) :]
        except BlockingIOError:
            self._unsent = data
        return bool(self._unsent) or not self._is_ended


class Upstream:
    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=8192)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection]] = []
        self._streams = 0

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
                self._start_pacing(connection)
            else:
                self._epoll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)
        if ready & select.EPOLLOUT and not connection.send_in_turn():
            self._epoll.modify(connection.sock, select.EPOLLIN)

    def _start_pacing(self, connection: Connection) -> None:
        self._streams += 1
        if connection.send():
            # Multiples of the golden ratio fill the interval evenly, however many they are.
            interval = connection.interval_seconds
            place = self._streams * _GOLDEN_RATIO % 1 * interval
            periods = (time.monotonic() - place) // interval + 1
            self._schedule(connection, place + periods * interval)

    def _schedule(self, connection: Connection, due: float) -> None:
        heapq.heappush(self._due, (due, id(connection), connection))

    def _send_due_events(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, connection = heapq.heappop(self._due)
            if connection.sock.fileno() < 0:
                continue
            try:
                has_more = connection.send()
            except ConnectionError:
                self._drop(connection)
                continue
            if has_more:
                self._schedule(connection, due + connection.interval_seconds)


if __name__ == "__main__":
    Upstream(int(sys.argv[1])).run()
