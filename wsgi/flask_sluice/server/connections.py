"""The connections of a worker: how long each may make it wait, and which of them make room for others."""

import contextlib
import socket
import time

from gevent import socket as gevent_socket
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException

from flask_sluice.stream import registry
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way
from flask_sluice.stream.transport.client_socket import ClientSocket

HEAD_SECONDS = 20.0
"""From the connection to the end of the first request's head; browsers open some that they never use."""

REST_OF_BODY_SECONDS = 5.0
"""For the rest of a body whose answer is there. To close at once would be a reset, which may overtake the answer."""

_READ_BYTES = 65536
_BYTES_AT_ONCE = 8192
"""Without giving way. In the worst case, chunks of one byte, they take some 10 ms."""
_WRITE_LOOKS = 4
"""In a write timeout."""


class Connections:
    """Ends those that wait too long for their client, and the longest of those where there are too many.

    A connection waits for its client when it has no request, or a part of one. Streams look after their
    own writing; the other responses are looked after here.

    keepalive_seconds: from an answer to the end of the next request's head
    room_at: from so many connections on, each new one ends the one that has waited longest, so that clients
        that send nothing do not keep out others
    write_timeout_seconds: a client that takes nothing of a response for so long is dropped
    """

    def __init__(
        self, room_at: int, keepalive_seconds: float, write_timeout_seconds: float
    ) -> None:
        self._room_at = room_at
        self._keepalive_seconds = keepalive_seconds
        self._write_timeout_seconds = write_timeout_seconds
        self._count = 0
        self._waiting: dict[gevent_socket.socket, float] = {}
        """Until when, in monotonic seconds; the longest first."""
        self._idle: set[gevent_socket.socket] = set()
        """Those of them that have had an answer."""
        self._answering: dict[gevent_socket.socket, tuple[int, float]] = {}
        """How many bytes the client had not taken at the last look, and since when it is so many."""
        self._look_at_writes_at = 0.0

    def opened(self, sock: gevent_socket.socket) -> None:
        self._count += 1
        if self._count >= self._room_at and self._waiting:
            self._stop_waiting(next(iter(self._waiting)))
        self._waiting[sock] = time.monotonic() + HEAD_SECONDS

    def has_request(self, sock: gevent_socket.socket) -> None:
        self._waiting.pop(sock, None)
        self._idle.discard(sock)
        self._answering[sock] = (0, 0.0)

    def is_idle(self, sock: gevent_socket.socket) -> None:
        """Its request has been answered."""
        self._answering.pop(sock, None)
        self._waiting[sock] = time.monotonic() + self._keepalive_seconds
        self._idle.add(sock)

    def closed(self, sock: gevent_socket.socket) -> None:
        self._count -= 1
        self._waiting.pop(sock, None)
        self._idle.discard(sock)
        self._answering.pop(sock, None)

    def receive(self, sock: gevent_socket.socket, size: int, until: float) -> bytes:
        """A part of a request's body, b"" at the connection's end. Raises ApiError 408 when it took too long."""
        self._waiting[sock] = until
        try:
            data = bytes(sock.recv(size))
        finally:
            was_ended = self._waiting.pop(sock, None) is None
        if was_ended or time.monotonic() >= until:
            raise ApiError(408, "request_timeout", "the request's body took too long to come")
        return data

    @property
    def have_new(self) -> bool:
        """Whether the first request of one is still to come."""
        return any(sock not in self._idle and sock not in self._answering for sock in self._waiting)

    def end_idle(self) -> None:
        """Those without a request are answered no more."""
        for sock in [sock for sock in self._waiting if sock not in self._answering]:
            self._stop_waiting(sock)

    def look(self) -> None:
        """Ends those whose time is over. To be called every second or so."""
        now = time.monotonic()
        for sock in [sock for sock, until in self._waiting.items() if until <= now]:
            self._stop_waiting(sock)
        if now >= self._look_at_writes_at:
            self._look_at_writes_at = now + self._write_timeout_seconds / _WRITE_LOOKS
            self._look_at_writes(now)

    def _look_at_writes(self, now: float) -> None:
        streams = registry.disconnect_watcher()
        for sock, (seen_bytes, since) in list(self._answering.items()):
            if sock.fileno() in streams:
                continue
            client = ClientSocket(sock, is_framed=True)
            with contextlib.suppress(OSError):
                unsent_bytes = client.unsent_bytes()
                if not unsent_bytes or unsent_bytes != seen_bytes:
                    self._answering[sock] = (unsent_bytes, now)
                elif now - since >= self._write_timeout_seconds:
                    client.shut_down()

    def _stop_waiting(self, sock: gevent_socket.socket) -> None:
        del self._waiting[sock]
        stop_reading(sock)


class BodySource:
    """What gunicorn reads a request's body from, in place of the socket: in time, or not at all.

    until: in monotonic seconds
    """

    __slots__ = ("_connections", "_read_at_once", "_sock", "_until")

    def __init__(self, sock: gevent_socket.socket, connections: Connections, until: float) -> None:
        self._sock = sock
        self._connections = connections
        self._until = until
        self._read_at_once = 0

    def recv(self, size: int) -> bytes:
        # gunicorn asks for up to 1 MiB, and copies what it holds for each piece that is taken of it.
        data = self._connections.receive(self._sock, min(size, _READ_BYTES), self._until)
        self._read_at_once += len(data)
        if self._read_at_once >= _BYTES_AT_ONCE:
            # gevent waits only where nothing has come: who sends faster than it is read would hold up all others.
            self._read_at_once = 0
            give_way()
        return data

    def discard_rest(self, body: Body) -> bool:
        """Reads what the application has left of the body. Whether another request may follow it."""
        if isinstance(body.reader, LengthReader) and not body.reader.length:
            return True  # All of it has come.
        self._until = time.monotonic() + REST_OF_BODY_SECONDS
        try:
            while not body.failed and body.read(_READ_BYTES):
                pass
        except (OSError, ParseException, ApiError):
            return False
        return not body.failed


def stop_reading(sock: gevent_socket.socket) -> None:
    """What has come is still read, and answered; then comes the end."""
    # The inner socket's: gevent's own would wake who waits with an error. It may be closed already.
    with contextlib.suppress(OSError):
        sock._sock.shutdown(socket.SHUT_RD)  # type: ignore[attr-defined]
