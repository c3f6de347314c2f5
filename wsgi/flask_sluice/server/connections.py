"""The connections of a worker: how long each may make it wait, and which of them make room for others."""

import contextlib
import socket
import time
from collections.abc import Callable, Collection

from gevent import socket as gevent_socket
from gevent.server import StreamServer
from gunicorn.http.body import Body
from werkzeug.exceptions import RequestTimeout

from flask_sluice.server import gunicorn_adapter
from flask_sluice.server.drain_time import END_SECONDS
from flask_sluice.stream import registry
from flask_sluice.stream.loop.give_way import give_way
from flask_sluice.stream.transport.client_socket import ClientSocket

HEAD_SECONDS = 20.0
"""From the connection to the end of the first request's head. Browsers open some connections that they never use."""

REST_OF_BODY_SECONDS = 5.0
"""For the rest of a body whose response has been sent. To close at once would send a reset, which may overtake the
response."""

_READ_BYTES = 65536
_BYTES_AT_ONCE = 8192
"""How much is read without giving way. In the worst case, chunks of one byte, that takes some 10 ms."""
_WRITE_LOOKS = 4
"""How often writes are looked at in a write timeout."""

_FIRST_REQUEST_SECONDS = 1.0
"""For clients that have connected before the worker was told to end: their request is on its way."""
_NEXT_REQUEST_SECONDS = 5.0
"""For idle connections of a worker that others replace. A proxy sends its next request on one of them at any moment, and would
lose it to a connection that is being closed; the response to it says ``Connection: close``."""


class Connections:
    """Ends connections that wait too long for their client, and those that wait longest where there are too many.

    A connection waits for its client when it has no request, or a part of one. Streams limit their own writes; those of the
    other responses are limited here.

    max_connections: from so many connections on, each new one ends the one that has waited longest, so that clients that
        send nothing do not keep out others
    keep_alive_seconds: from a response to the end of the next request's head
    write_timeout_seconds: a client that takes nothing of a response for so long is dropped
    """

    def __init__(
        self, max_connections: int, keep_alive_seconds: float, write_timeout_seconds: float
    ) -> None:
        self._max_connections = max_connections
        self._keep_alive_seconds = keep_alive_seconds
        self._write_timeout_seconds = write_timeout_seconds
        self._count = 0
        self._waiting: dict[gevent_socket.socket, float] = {}
        """Until when each may wait, in monotonic seconds; the one that has waited longest comes first."""
        self._idle: set[gevent_socket.socket] = set()
        """The waiting connections that have had a response."""
        self._answering: dict[gevent_socket.socket, tuple[int, float]] = {}
        """How many bytes the client had not taken at the last look, and since when it is so many."""
        self._look_at_writes_at = 0.0

    def opened(self, sock: gevent_socket.socket) -> None:
        self._count += 1
        if self._count >= self._max_connections and self._waiting:
            self._stop_waiting(next(iter(self._waiting)))
        self._waiting[sock] = time.monotonic() + HEAD_SECONDS

    def mark_answering(self, sock: gevent_socket.socket) -> None:
        """Note that the connection has a request, and no more waits for its client."""
        self._waiting.pop(sock, None)
        self._idle.discard(sock)
        self._answering[sock] = (0, 0.0)

    def mark_idle(self, sock: gevent_socket.socket) -> None:
        """Note that the connection's request has been answered."""
        self._answering.pop(sock, None)
        self._waiting[sock] = time.monotonic() + self._keep_alive_seconds
        self._idle.add(sock)
        if not self._keep_alive_seconds:
            self._stop_waiting(sock)

    def closed(self, sock: gevent_socket.socket) -> None:
        self._count -= 1
        self._waiting.pop(sock, None)
        self._idle.discard(sock)
        self._answering.pop(sock, None)

    @property
    def busy_count(self) -> int:
        """How many connections have a request, or are to send their first."""
        return self._count - len(self._idle)

    def receive(self, sock: gevent_socket.socket, size: int, until: float) -> bytes:
        """Return a part of a request's body, b"" at the connection's end.

        until: in monotonic seconds

        Raises werkzeug's RequestTimeout, which every Flask app answers with 408, when the body takes longer.
        """
        self._waiting[sock] = until
        try:
            data = bytes(sock.recv(size))
        finally:
            was_ended = self._waiting.pop(sock, None) is None
        if was_ended or time.monotonic() >= until:
            raise RequestTimeout("the request's body took too long to come")
        return data

    @property
    def have_new(self) -> bool:
        """Whether the first request of a connection is still to come."""
        return any(sock not in self._idle and sock not in self._answering for sock in self._waiting)

    def limit_idle(self, seconds: float) -> None:
        """Let connections wait for their next request no longer than this, those that are idle now and those that will be."""
        self._keep_alive_seconds = min(self._keep_alive_seconds, seconds)
        until = time.monotonic() + seconds
        for sock in [sock for sock in self._waiting if sock not in self._answering]:
            self._waiting[sock] = min(self._waiting[sock], until)
        self.end_overdue()

    def end_overdue(self) -> None:
        """End the connections whose time is over. To be called every second or so."""
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
    """What gunicorn reads a request's body from, in place of the socket, so that the wait for it has an end.

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
            # gevent waits only where nothing has come: a client that sends faster than it is read would hold up all others.
            self._read_at_once = 0
            give_way()
        return data

    def discard_rest(self, body: Body) -> bool:
        """Read what the application has left of the body. Returns whether another request may follow it."""
        if gunicorn_adapter.is_body_read(body):
            return True
        self._until = time.monotonic() + REST_OF_BODY_SECONDS
        try:
            while not gunicorn_adapter.has_lost_framing(body) and body.read(_READ_BYTES):
                pass
        except (OSError, gunicorn_adapter.ParseException, RequestTimeout):
            return False
        return not gunicorn_adapter.has_lost_framing(body)


def drain(
    connections: Connections,
    servers: Collection[StreamServer],
    wait: Callable[[Callable[[], bool], float], bool],
    ends_at: float,
    *,
    is_replaced: bool,
) -> bool:
    """Accept no more connections, and wait for the end of what is there. Returns whether it has ended.

    wait: waits until a condition is true, for so many seconds at most, and returns whether it is
    ends_at: when streams are told to end, in monotonic seconds
    is_replaced: whether other workers serve from now on, so that no request has to be refused
    """
    admission = registry.admission()
    for server in servers:
        server.close()
    give_way()  # Connections that have just been accepted are known then.
    wait(lambda: not connections.have_new, _FIRST_REQUEST_SECONDS)
    admission.drain(refuses_requests=not is_replaced)
    connections.limit_idle(_NEXT_REQUEST_SECONDS if is_replaced else 0.0)

    def are_all_gone() -> bool:
        # A stream that is kept goes on without a connection.
        return not (admission.count or any(server.pool for server in servers))

    if wait(are_all_gone, ends_at - time.monotonic()):
        return True
    connections.limit_idle(0.0)
    admission.end_streams()
    return wait(are_all_gone, END_SECONDS)


def most_connections(worker_connections: int) -> int:
    """Return how many connections may be there before new ones end idle ones.

    Half of what gunicorn accepts beyond the streams stays free for requests.
    """
    streams = registry.admission().limit
    if streams is None or streams > worker_connections:
        streams = worker_connections * 9 // 10
    return (worker_connections + streams) // 2


def stop_reading(sock: gevent_socket.socket) -> None:
    """End the reading side: what has come is still read and answered, then the connection is at its end."""
    # The inner socket's, since gevent's own would raise an error where a greenlet waits. It may be closed already.
    with contextlib.suppress(OSError):
        sock._sock.shutdown(socket.SHUT_RD)  # type: ignore[attr-defined]
