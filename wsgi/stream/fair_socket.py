"""A client's connection that cannot keep its worker to itself."""

from typing import Any

import gevent
from gevent import socket as gevent_socket

_BYTES_AT_ONCE = 16 * 1024


class FairSocket(gevent_socket.socket):
    """gevent's socket, but that reading gives way to other greenlets now and then.

    gevent's own waits only where nothing has come. A client that sends faster than it is read (a body that
    nobody wants, requests without waiting for answers, a body in chunks of one byte) held up all streams of the
    worker for as long as it liked.
    """

    _read_at_once = 0

    @classmethod
    def take_over(cls, sock: gevent_socket.socket) -> "FairSocket":
        """``sock`` is closed by this, its connection goes on."""
        return cls(sock.family, sock.type, sock.proto, fileno=sock.detach())

    def recv(self, *args: Any) -> bytes:
        data: bytes = super().recv(*args)
        self._read_at_once += len(data)
        if self._read_at_once > _BYTES_AT_ONCE:
            self._read_at_once = 0
            gevent.sleep(0)
        return data
