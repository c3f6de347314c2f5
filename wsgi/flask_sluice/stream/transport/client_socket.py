"""The client's connection, beside what gunicorn writes to it."""

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any

from gevent import socket as gevent_socket

from flask_sluice.stream.serving import GEVENT_NEEDED, require_gevent_in_view
from flask_sluice.stream.transport.send_queue import taken_bytes, unsent_bytes


class ClientSocket:
    """The connection that the server writes the body to.

    sock: gevent's, or a socket of the standard library
    is_framed: whether the body shows its end by itself; False where it ends with the connection (HTTP/1.0)
    """

    __slots__ = ("_is_copy", "_socket", "fd", "is_framed")

    def __init__(
        self, sock: gevent_socket.socket | socket.socket, is_framed: bool, *, is_copy: bool = False
    ) -> None:
        self.is_framed = is_framed
        self.fd: int = sock.fileno()
        # gevent's own ``shutdown`` makes blocked writes fail with EBADF, which gunicorn logs as an error of the server.
        self._socket: socket.socket = getattr(sock, "_sock", sock)
        self._is_copy = is_copy

    def unsent_bytes(self) -> int:
        return unsent_bytes(self.fd)

    def taken_bytes(self) -> int | None:
        return taken_bytes(self._socket)

    def shut_down(self) -> None:
        """End the connection; a write that is blocked on it fails with EPIPE. The loop may call this."""
        # ENOTCONN: a reset has ended the connection already, and failed the write.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset_on_close(self) -> None:
        """Have the socket send RST instead of FIN when it is closed (SO_LINGER with a time of zero, socket(7))."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def release(self) -> None:
        """Give back the copy of the connection, if it is one: the server's own close would not end a connection that it holds."""
        if self._is_copy:
            self._socket.close()


def socket_of(environ: Mapping[str, Any]) -> ClientSocket | None:
    """Return a request's connection on any server with gevent; None where the server keeps it to itself.

    environ: the request's WSGI environ
    """
    for name in ("gunicorn.socket", "gunicorn.sock", "werkzeug.socket"):
        if name in environ:
            return ClientSocket(environ[name], is_framed=environ["SERVER_PROTOCOL"] != "HTTP/1.0")
    if (uwsgi := sys.modules.get("uwsgi")) is not None:
        # It sends no chunks: the body ends with the connection.
        return _copy_of(uwsgi.connection_fd(), is_framed=False)
    if (stream := getattr(environ["wsgi.input"], "rfile", None)) is not None:
        # gevent.pywsgi
        return _copy_of(stream.fileno(), is_framed=environ["SERVER_PROTOCOL"] != "HTTP/1.0")
    return None


def _copy_of(fd: int, *, is_framed: bool) -> ClientSocket:
    return ClientSocket(socket.socket(fileno=os.dup(fd)), is_framed, is_copy=True)


def client_of(environ: Mapping[str, Any]) -> ClientSocket | None:
    """Return a request's connection; None under a test client, which has none.

    environ: the request's WSGI environ

    Raises RuntimeError if this process cannot stream, saying how to start the server.
    """
    sock = environ.get("gunicorn.socket")
    if sock is None:
        if "gunicorn.sock" in environ:
            # gunicorn's gevent_pywsgi worker, which cannot tell a stream that its client has left.
            raise RuntimeError(GEVENT_NEEDED)
        require_gevent_in_view(environ)
        return None
    # The process may be patched, but its worker class is another one: of these, sync answers one request at a time.
    if not isinstance(sock, gevent_socket.socket) or not environ["wsgi.multithread"]:
        raise RuntimeError(GEVENT_NEEDED)
    return ClientSocket(sock, is_framed=environ["SERVER_PROTOCOL"] != "HTTP/1.0")
