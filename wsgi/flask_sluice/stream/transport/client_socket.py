"""The client's connection, beside what gunicorn writes to it."""

import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Mapping
from typing import Any

from gevent import socket as gevent_socket

from flask_sluice.stream.gevent_check import GEVENT_NEEDED, require_gevent_in_view


class ClientSocket:
    """The connection that gunicorn writes the body to (``environ["gunicorn.socket"]``).

    is_framed: whether the body shows its end by itself; False where it ends with the connection (HTTP/1.0)
    """

    __slots__ = ("_socket", "fd", "is_framed")

    def __init__(self, sock: gevent_socket.socket, is_framed: bool) -> None:
        self.is_framed = is_framed
        self._socket = sock
        self.fd: int = sock.fileno()

    def unsent_bytes(self) -> int:
        """Return how many written bytes the peer's kernel has not taken yet (SIOCOUTQ, unix(7) and tcp(7))."""
        answer = fcntl.ioctl(self.fd, termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("i", answer)[0])

    def shut_down(self) -> None:
        """End the connection; a write that is blocked on it fails with EPIPE. The loop may call this.

        The inner socket is shut down: gevent's own ``shutdown`` makes blocked writes fail with EBADF, which gunicorn
        logs as an error of the server.
        """
        # ENOTCONN: a reset has ended the connection already, and failed the write.
        with contextlib.suppress(OSError):
            self._socket._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]

    def reset_on_close(self) -> None:
        """Have the socket send RST instead of FIN when it is closed (SO_LINGER with a time of zero, socket(7))."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


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
