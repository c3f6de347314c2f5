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

_READ_BYTES = 16 * 1024
"""No more lies in a worker of a body that nobody reads."""
_BYTES_AT_ONCE = 8192
"""How much is read without giving way. In the worst case, chunks of one byte, that takes some 10 ms."""
MIN_BYTES_PER_SECOND = 4096
"""What a client has to take of a response, on the average of a write timeout."""

_GRACE_SECONDS = 0.1
"""A connection that waits for less time does not make room: its request is on its way, or its response is being taken."""
_LOOKS = 4
"""How often the responses are looked at in a write timeout."""

_FIRST_REQUEST_SECONDS = 1.0
"""For clients that have connected before the worker was told to end: their request is on its way."""
_NEXT_REQUEST_SECONDS = 5.0
"""For idle connections of a worker that others replace. A proxy sends its next request on one of them at any moment, and would
lose it to a connection that is being closed; the response to it says ``Connection: close``."""


class Connections:
    """Ends connections that wait too long for their client, and those that wait longest where there are too many.

    A connection waits for its client when it has no request, or a part of one. Streams limit their own writes; those of the
    other responses are limited by ``UntakenResponses``.

    max_connections: from so many connections on, each new one ends one that has waited long, so that clients that send
        nothing, or take nothing, do not keep out others
    keep_alive_seconds: from a response to the end of the next request's head
    write_timeout_seconds: see ``UntakenResponses``
    """

    def __init__(
        self, max_connections: int, keep_alive_seconds: float, write_timeout_seconds: float
    ) -> None:
        self._max_connections = max_connections
        self._keep_alive_seconds = keep_alive_seconds
        self._count = 0
        self._waiting: dict[gevent_socket.socket, tuple[float, float]] = {}
        """Until when each may wait, and since when it does, in monotonic seconds; the one that has waited longest comes first."""
        self._idle: set[gevent_socket.socket] = set()
        """The waiting connections that have had a response."""
        self._answering = UntakenResponses(write_timeout_seconds)

    def opened(self, sock: gevent_socket.socket) -> None:
        self._count += 1
        now = time.monotonic()
        is_short = self._count >= self._max_connections
        if is_short and not self._make_room(now) and self._waiting:
            self._stop_waiting(next(iter(self._waiting)))
        self._waiting[sock] = (now + HEAD_SECONDS, now)

    def mark_answering(self, sock: gevent_socket.socket) -> None:
        """Note that the connection has a request, and no more waits for its client."""
        self._waiting.pop(sock, None)
        self._idle.discard(sock)
        self._answering.begin(sock)

    def mark_idle(self, sock: gevent_socket.socket) -> None:
        """Note that the connection's request has been answered."""
        self._answering.end(sock)
        now = time.monotonic()
        self._waiting[sock] = (now + self._keep_alive_seconds, now)
        self._idle.add(sock)
        if not self._keep_alive_seconds:
            self._stop_waiting(sock)

    def closed(self, sock: gevent_socket.socket) -> None:
        self._count -= 1
        self._waiting.pop(sock, None)
        self._idle.discard(sock)
        self._answering.end(sock)

    @property
    def busy_count(self) -> int:
        """How many connections have a request, or are to send their first."""
        return self._count - len(self._idle)

    def receive(self, sock: gevent_socket.socket, size: int, until: float) -> bytes:
        """Return a part of a request's body, b"" at the connection's end.

        until: in monotonic seconds

        Raises werkzeug's RequestTimeout, which every Flask app answers with 408, when the body takes longer.
        """
        self._waiting[sock] = (until, time.monotonic())
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
            may_wait_until, since = self._waiting[sock]
            self._waiting[sock] = (min(may_wait_until, until), since)
        self.end_overdue()

    def end_overdue(self) -> None:
        """End the connections whose time is over. To be called every second or so."""
        now = time.monotonic()
        for sock in [sock for sock, (until, _) in self._waiting.items() if until <= now]:
            self._stop_waiting(sock)
        self._answering.drop_overdue(now)

    def make_room(self) -> None:
        """End connections that have waited long, while there are too many. To be called ten times a second or so.

        A worker that has as many connections as it takes accepts no more, so that no new one could end them.
        """
        now = time.monotonic()
        for _ in range(self._count - self._max_connections + 1):
            if not self._make_room(now):
                break

    def _make_room(self, now: float) -> bool:
        """End a connection that has waited long. Returns whether there was one."""
        for sock, (_, since) in self._waiting.items():
            if since <= now - _GRACE_SECONDS:
                self._stop_waiting(sock)
                return True
            break
        return self._answering.drop_longest(now)

    def _stop_waiting(self, sock: gevent_socket.socket) -> None:
        del self._waiting[sock]
        stop_reading(sock)


class _Progress:
    """How far a client has come with a response.

    begun_at: when its request was there, in monotonic seconds
    slow_since: from when on something has been untaken at each look; None: nothing was at the last one
    taken_bytes: how much of all that was ever sent to the client it had taken then; None where the system does not tell
    untaken_bytes: how much it had yet to take then
    """

    __slots__ = ("begun_at", "slow_since", "taken_bytes", "untaken_bytes")

    def __init__(self, now: float) -> None:
        self.begun_at = now
        self.slow_since: float | None = None
        self.taken_bytes: int | None = None
        self.untaken_bytes = 0


class UntakenResponses:
    """The connections that have a request, and have not been given their whole response.

    write_timeout_seconds: a client that takes less than 4 KiB/s for so long is dropped; one over a unix socket, where the
        system does not tell how much was taken, if it takes nothing
    """

    def __init__(self, write_timeout_seconds: float) -> None:
        self._write_timeout_seconds = write_timeout_seconds
        self._progress: dict[gevent_socket.socket, _Progress] = {}
        """The one whose request came first is the first."""
        self._look_at = 0.0

    def __contains__(self, sock: gevent_socket.socket) -> bool:
        return sock in self._progress

    def begin(self, sock: gevent_socket.socket) -> None:
        self._progress[sock] = _Progress(time.monotonic())

    def end(self, sock: gevent_socket.socket) -> None:
        self._progress.pop(sock, None)

    def drop_longest(self, now: float) -> bool:
        """Drop the client that has kept a response waiting longest. Returns whether there was one."""
        for sock, progress in self._others_than_streams():
            if progress.begun_at > now - _GRACE_SECONDS:
                return False
            client = ClientSocket(sock, is_framed=True)
            with contextlib.suppress(OSError):
                if client.unsent_bytes():
                    self._drop(sock, client)
                    return True
        return False

    def drop_overdue(self, now: float) -> None:
        """Drop clients that have been too slow for a write timeout. To be called every second or so."""
        if now < self._look_at:
            return
        self._look_at = now + self._write_timeout_seconds / _LOOKS
        for sock, progress in self._others_than_streams():
            client = ClientSocket(sock, is_framed=True)
            with contextlib.suppress(OSError):
                if self._is_overdue(progress, client, now):
                    self._drop(sock, client)

    def _others_than_streams(self) -> list[tuple[gevent_socket.socket, _Progress]]:
        """Return all but streams, which are not looked at again."""
        streams = registry.disconnect_watcher()
        for sock in [sock for sock in self._progress if sock.fileno() in streams]:
            del self._progress[sock]
        return list(self._progress.items())

    def _is_overdue(self, progress: _Progress, client: ClientSocket, now: float) -> bool:
        untaken, taken = client.unsent_bytes(), client.taken_bytes()
        if not untaken:
            progress.slow_since = None
            return False
        if progress.slow_since is not None:
            seconds = now - progress.slow_since
            if taken is None or progress.taken_bytes is None:
                is_slow = untaken == progress.untaken_bytes
            else:
                is_slow = taken - progress.taken_bytes < MIN_BYTES_PER_SECOND * seconds
            if is_slow:
                return seconds >= self._write_timeout_seconds
        progress.slow_since, progress.taken_bytes, progress.untaken_bytes = now, taken, untaken
        return False

    def _drop(self, sock: gevent_socket.socket, client: ClientSocket) -> None:
        self.end(sock)
        # What the client does not take would stay in the kernel behind a FIN, for minutes.
        client.reset_on_close()
        client.shut_down()


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
    """Accept no more connections, and wait for the end of what is there, and until it is stored. Returns whether it has ended.

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

    def is_all_stored() -> bool:
        return are_all_gone() and not admission.unstored_count

    if wait(is_all_stored, ends_at - time.monotonic()):
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
