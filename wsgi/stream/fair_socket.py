"""A client's connection that cannot keep its worker to itself."""

from typing import Any

import gevent
from gevent import socket as gevent_socket

_BYTES_AT_ONCE = 8 * 1024
"""As many as gunicorn reads at once. In the worst case, a body in chunks of one byte, they take it 10 ms."""


class FairSocket(gevent_socket.socket):
    """gevent's socket, but that reading gives way to other greenlets now and then.

    gevent's own waits only where nothing has come. A client that sends faster than it is read (a body that
    nobody wants, requests without waiting for their answers) held up all streams of the worker for as long as
    it liked.
    """

    _read_at_once = 0
    _has_read = False

    @classmethod
    def take_over(cls, sock: gevent_socket.socket) -> "FairSocket":
        """``sock`` is closed by this, its connection goes on."""
        return cls(sock.family, sock.type, sock.proto, fileno=sock.detach())

    def recv(self, *args: Any) -> bytes:
        data: bytes = super().recv(*args)
        self._has_read = True
        self._read_at_once += len(data)
        if self._read_at_once >= _BYTES_AT_ONCE:
            self._read_at_once = 0
            gevent.sleep(0)
        return data

    def begin_request(self) -> None:
        """Gives way if the request had come with the one before it."""
        if not self._has_read:
            gevent.sleep(0)
        self._has_read = False
