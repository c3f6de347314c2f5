"""gunicorn's gevent worker, with an end in good order."""

import contextlib
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from wsgi.stream import worker
from wsgi.stream.fair_socket import FairSocket

_POLL_SECONDS = 0.1
_NOTIFY_SECONDS = 1.0
_END_SECONDS = 10.0
"""For the streams that are told to end: for reading their last event, too."""
_DISCARDED_AT_ONCE = 64 * 1024
_MAX_DISCARDED_BYTES = 64 * 1024 * 1024
"""So that who sends a body that is far too large still gets to read that it is."""


class Worker(GeventWorker):  # type: ignore[misc]
    """Drains: when it is to end (SIGTERM, a reload, ``max_requests``), its streams go on for a while.

    gunicorn's own goes on accepting for up to a second, then waits for all connections, idle ones too, and
    cuts what is left. This one accepts no more, closes idle connections, has new requests refused,
    and when the time is over has the streams end themselves.

    drain_seconds: how long streams may go on
    """

    drain_seconds = 120.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[gevent_socket.socket] = set()

    def run(self) -> None:
        servers = [self._serve(sock) for sock in self.sockets]
        self._wait(lambda: not self.alive)
        worker.inflight().drain()
        for server in servers:
            server.close()
        for sock in self._idle:
            _stop_reading(sock)

        def are_all_gone() -> bool:
            return not any(server.pool for server in servers)

        if not self._wait(are_all_gone, self.drain_seconds):
            worker.inflight().end_streams()
            if not self._wait(are_all_gone, _END_SECONDS):
                self.log.warning("connections are cut that would not end (pid:%s)", self.pid)

    def handle(self, listener: Any, client: gevent_socket.socket, addr: Any) -> None:
        if type(client) is gevent_socket.socket:  # Not TLS.
            client = FairSocket.take_over(client)
        self._idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)

    def handle_request(
        self, listener_name: Any, req: Any, sock: gevent_socket.socket, addr: Any
    ) -> None:
        self._idle.discard(sock)
        if isinstance(sock, FairSocket):
            sock.begin_request()
        super().handle_request(listener_name, req, sock, addr)
        _discard_body(req)
        self._idle.add(sock)
        if not self.alive:
            _stop_reading(sock)

    def _serve(self, sock: gevent_socket.socket) -> StreamServer:
        sock.setblocking(True)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        pool = Pool(self.worker_connections)
        server = StreamServer(sock, handle=partial(self.handle, sock), spawn=pool, **tls)
        if self.cfg.workers > 1:
            # As gunicorn does: one that took all that wait would leave nothing for the others.
            server.max_accept = 1
        server.start()
        return server

    def _wait(self, is_over: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Whether it was over in time. Tells gunicorn meanwhile that this worker lives."""
        ends_at = time.monotonic() + seconds
        notify_at = 0.0
        while not is_over():
            now = time.monotonic()
            if now >= ends_at:
                return False
            if now >= notify_at:
                self.notify()
                notify_at = now + _NOTIFY_SECONDS
            gevent.sleep(_POLL_SECONDS)
        return True


def _discard_body(request: Any) -> None:
    """What the application has not read of it. The connection is closed if there is too much.

    gunicorn would do it itself, without a bound and 1 KiB at a time, for each of which it copies all that has come:
    seconds for a MiB.
    """
    for _ in range(_MAX_DISCARDED_BYTES // _DISCARDED_AT_ONCE):
        if not request.body.read(_DISCARDED_AT_ONCE):
            return
    request.force_close()


def _stop_reading(sock: gevent_socket.socket) -> None:
    """What has come is still read, and answered; then comes the end."""
    # The inner socket's: gevent's own would wake who waits with an error. It may be closed already.
    with contextlib.suppress(OSError):
        sock._sock.shutdown(socket.SHUT_RD)  # type: ignore[attr-defined]
