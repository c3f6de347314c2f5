"""Writes a response past gevent's slow path, and a stream's events past gunicorn."""

from typing import Any, Protocol

from gevent import socket as gevent_socket

from flask_sluice.stream.transport.chunk_sizes import CHUNK_STARTS, SIZES


class ServerResponse(Protocol):
    """gunicorn's response for HTTP/1, as far as it is used here.

    sock: what it writes to
    headers_sent: whether the headers are written
    chunked: whether the body is chunked
    """

    sock: Any
    headers_sent: bool
    chunked: bool


class DirectWriter:
    """Stands for the socket that gunicorn's Response writes to, for a stream that only gunicorn iterates.

    The bytes that gunicorn writes (headers, chunks, the last chunk) are kept until ``flush``, so that they go out
    together. Events that come while the request greenlet waits are sent by ``write_now``, on the loop: that saves two
    switches, and gevent's ``sendall``, which asks for the socket's buffer size before each ``send``. A relayed event
    cost 59 us before and costs 38 (nginx in the same runs: 18). There is still one writer at any time, since the
    request greenlet waits.

    response: gunicorn's, on a socket of gevent's without TLS
    """

    __slots__ = ("_response", "_send_now", "_socket", "_unsent")

    def __init__(self, response: ServerResponse) -> None:
        self._response = response
        self._socket: gevent_socket.socket = response.sock
        # The inner socket never blocks; gevent's own ``send`` would wait, which the loop must not.
        self._send_now = self._socket._sock.send
        self._unsent: list[bytes] = []
        response.sock = self

    def let_go(self) -> None:
        """Give the response its socket back; nothing will be written any more.

        Otherwise the two would hold each other, and all that the stream holds, until the next full garbage collection: with
        ten thousand streams, minutes later.
        """
        self._response.sock = self._socket

    @property
    def may_write_now(self) -> bool:
        """Whether the headers are sent and the body is chunked."""
        return bool(self._response.headers_sent and self._response.chunked)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def sendall(self, data: bytes) -> None:
        """Keep the bytes until ``flush``. gunicorn calls this."""
        self._unsent.append(data)

    def flush(self) -> None:
        """Wait until the socket has taken all kept bytes. Raises OSError. Not to be called on the loop."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        sent = self._try_to_send(data)
        if sent < len(data):
            self._socket.sendall(memoryview(data)[sent:])

    def write_now(self, data: bytes) -> bool:
        """Write ``data`` as a chunk. Returns whether the socket took all of it; the rest, if any, is kept.

        Raises OSError.
        """
        size = len(data)
        start = CHUNK_STARTS[size] if size < SIZES else b"%x\r\n" % size
        chunk = b"".join((start, data, b"\r\n"))
        try:
            sent = self._send_now(chunk)
        except BlockingIOError:
            sent = 0
        if sent == len(chunk):
            return True
        self._unsent.append(chunk[sent:])
        return False

    def _try_to_send(self, data: bytes) -> int:
        try:
            return int(self._send_now(data))
        except BlockingIOError:
            return 0
