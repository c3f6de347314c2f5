"""The client of a request, as far as its server shows it."""

import contextlib
import logging
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from flask_sluice.stream.threads.departures import can_watch, departures
from flask_sluice.stream.timers import Timers

logger = logging.getLogger("sluice.stream")

_LOOK_SECONDS = 0.2
"""Between two looks for a client whose leaving nothing tells."""


class Client:
    """Tells whether a client has left, and ends the connection of one that does not read any more.

    sock: the connection; None where the server keeps it to itself
    ask: returns whether it has left, where the server tells; None: nothing does but a failing write
    look_seconds: how often ``has_left`` is to be asked; None: never
    """

    def __init__(
        self, sock: socket.socket | None = None, ask: Callable[[], bool] | None = None
    ) -> None:
        self._sock = sock
        self.left_because = "the client disconnected"
        """For the log, if it has left."""
        self._ask = ask
        self._watched: tuple[int, Callable[[], object]] | None = None
        if ask is None and sock is not None and not can_watch():
            self._ask = lambda: _is_at_end(sock)
        self.look_seconds = None if self._ask is None else _LOOK_SECONDS

    def watch(self, on_left: Callable[[], object], timers: Timers) -> None:
        """Have ``on_left`` called by another thread when the client leaves, or stops reading, if the system can tell."""
        if self._sock is not None and can_watch():
            # The socket may be closed before ``forget``, and has no file descriptor then.
            self._watched = (self._sock.fileno(), on_left)
            departures().watch(*self._watched, partial(self._look, self._sock, timers))

    def forget(self) -> None:
        if self._watched is not None:
            departures().forget(*self._watched)
            self._watched = None

    def _look(self, sock: socket.socket, timers: Timers, now: float) -> None:
        """End the connection of a client that does not read, so that the write fails in which the request's thread waits."""
        # Not above: Windows has no fcntl.
        from flask_sluice.stream.transport.send_queue import (  # noqa: PLC0415
            taken_bytes,
            unsent_bytes,
        )

        # The server may close the connection before it closes the stream, and at any moment.
        fd = sock.fileno()
        if fd < 0 or not timers.is_writing:
            return
        with contextlib.suppress(OSError):
            if timers.check_write(now, unsent_bytes(fd), taken_bytes(sock)):
                self.left_because = "the client stopped reading"
            elif timers.deadline_is_over(now) and timers.write_is_slow(now):
                self.left_because = (
                    "the deadline is over and the client reads too slowly to be told"
                )
            else:
                return
            sock.shutdown(socket.SHUT_RDWR)

    def has_left(self) -> bool:
        return self._ask is not None and self._ask()

    def cut(self) -> None:
        """End the connection, so that a client that has closed only its own side does not take what it has for the whole."""
        if self._sock is not None:
            # It may have been closed, or reset, already.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give back what was taken to watch it."""


class _ClientOfUwsgi(Client):
    """A client of which the server shows the file descriptor. uWSGI sends no chunks: the body ends with the connection."""

    def __init__(self, descriptor: int) -> None:
        self._copy = socket.socket(fileno=os.dup(descriptor))
        super().__init__(self._copy)

    def cut(self) -> None:
        # uWSGI's close then sends RST instead of FIN (SO_LINGER with a time of zero, socket(7)).
        with contextlib.suppress(OSError):
            self._copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        self._copy.close()


def client_of(environ: Mapping[str, Any]) -> Client:
    """Return the client of a request. environ: the request's WSGI environ"""
    # gunicorn, and Werkzeug's development server.
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if sock is not None:
        return Client(sock)
    if (ask := environ.get("waitress.client_disconnected")) is not None:
        if not _looks_ahead(ask):
            _warn_of_lookahead()
        return Client(ask=ask)
    if (uwsgi := sys.modules.get("uwsgi")) is not None:
        return _ClientOfUwsgi(uwsgi.connection_fd())
    if "gunicorn.workers.gtornado" in sys.modules:
        _warn_of_tornado()
    return Client()


def _looks_ahead(ask: Callable[[], bool]) -> bool:
    """Whether waitress reads on while it answers a request, and so notices that a client leaves."""
    channel = getattr(ask, "__self__", None)
    adjustments = getattr(channel, "adj", None)
    return bool(getattr(adjustments, "channel_request_lookahead", True))


@cache
def _warn_of_lookahead() -> None:
    logger.warning(
        "waitress does not tell when a client leaves, so a stream goes on until a write fails: start it with "
        "channel_request_lookahead=1"
    )


@cache
def _warn_of_tornado() -> None:
    logger.warning(
        "gunicorn's tornado worker holds a response back until its end, so that nothing streams: use another worker class"
    )


def _is_at_end(sock: socket.socket) -> bool:
    try:
        if not _is_readable(sock):
            return False
        # A TLS socket's own recv() refuses to peek. The connection's end is below TLS.
        recv = socket.socket.recv if isinstance(sock, socket.socket) else type(sock).recv
        return not recv(sock, 1, socket.MSG_PEEK)
    except OSError:
        return True


def _is_readable(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    # Where there is poll(), select() takes no file descriptor above 1023.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
