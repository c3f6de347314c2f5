"""A connection whose waits have time limits and can be ended by another thread or greenlet."""

import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from urllib3.util import wait_for_read, wait_for_write

from flask_sluice.client.errors import ConnectError, StreamClosedError
from flask_sluice.client.timeouts import TimeLimits

Result = TypeVar("Result")
Wait = Callable[[socket.socket, float], bool]

_LONGEST_WAIT_SECONDS = 86_400
"""Below the limit of poll(): 24 days."""


class ClientConnection:
    """One connection to a server.

    The socket does not block, and every wait happens in ``_wait``. So the time limits include everything that
    http.client reads through a buffered file, line by line. They also hold under gevent, whose TLS sockets would apply
    a timeout to each part of a record.

    ``close`` may be called from any thread or greenlet. A reader that waits then wakes, raises StreamClosedError, and
    must call ``close`` as well: only its call closes the socket.
    """

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        # The lock is reentrant because a signal handler may call close() while its own thread holds the lock.
        self._lock = threading.RLock()
        self._sock: socket.socket | None = None
        self._is_in_use = False
        self._is_closed = False

    def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Connect. Raises ConnectError, StreamTimeoutError, StreamClosedError."""
        self._limits.start_connecting()
        try:
            self._connect(host, port)
            if tls is not None:
                self._start_tls(tls, host)
        except (
            OSError,
            UnicodeError,
        ) as error:  # UnicodeError: IDNA cannot encode the host's name.
            if self._is_closed:
                raise StreamClosedError from None
            raise ConnectError(f"no connection to {host}:{port}: {_reason(error)}") from error
        self._limits.end_connecting()

    def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes, and return how many were received; 0 at the end of the connection."""
        return self._run(wait_for_read, lambda sock: sock.recv_into(buffer))

    def send_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            sent = self._run(wait_for_write, lambda sock: sock.send(rest))  # noqa: B023 - runs at once
            rest = rest[sent:]

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._sock is None:
                return
            with contextlib.suppress(OSError):
                # SSLSocket.shutdown() would remove the TLS object that the reader is using.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            # While a reader waits on the socket, it must not be closed: its file descriptor could be reused before the
            # reader looks at it again. The shutdown wakes the reader, which then calls close() itself.
            if not self._is_in_use:
                self._sock.close()

    def _connect(self, host: str, port: int) -> None:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            try:
                return self._connect_to(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        raise failure or OSError("the name has no address")

    def _connect_to(self, sock: socket.socket, address: Any) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._adopt(sock)
            # The lock covers both steps, because a shutdown between them would have no effect on the connection.
            code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            code = self._run(wait_for_write, _result_of_connecting)
        if code:
            raise OSError(code, os.strerror(code))

    def _start_tls(self, context: ssl.SSLContext, host: str) -> None:
        with self._lock:
            assert self._sock is not None
            self._adopt(
                context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
            )
        self._run(wait_for_read, _shake_hands)

    def _adopt(self, sock: socket.socket) -> None:
        """Replace the socket. The caller holds the lock."""
        if self._sock is not None:
            self._sock.close()
        self._sock = sock
        if self._is_closed:
            sock.close()
            raise StreamClosedError

    def _run(self, wait: Wait, operation: Callable[[socket.socket], Result]) -> Result:
        """Run the operation, and wait whenever it would block.

        wait: how to wait after BlockingIOError; TLS says itself what it waits for
        """
        sock = self._enter()
        try:
            while True:
                self._limits.check()
                try:
                    result = operation(sock)
                except ssl.SSLWantReadError:
                    self._wait(wait_for_read, sock)
                except ssl.SSLWantWriteError:
                    self._wait(wait_for_write, sock)
                except BlockingIOError:
                    self._wait(wait, sock)
                else:
                    break
        except OSError:
            if not self._is_closed:
                raise
            raise StreamClosedError from None
        finally:
            with self._lock:
                self._is_in_use = False
        if self._is_closed:
            # The operation may have seen the end of the connection, but close() caused it.
            raise StreamClosedError
        return result

    def _wait(self, wait: Wait, sock: socket.socket) -> None:
        at, seconds, error = self._limits.next_limit()
        while (left := at - time.monotonic()) > 0:
            if wait(sock, min(left, _LONGEST_WAIT_SECONDS)):
                return
        raise error(seconds)

    def _enter(self) -> socket.socket:
        with self._lock:
            if self._is_closed or self._sock is None:
                raise StreamClosedError
            self._is_in_use = True
            return self._sock


def _result_of_connecting(sock: socket.socket) -> int:
    if not wait_for_write(sock, 0):
        raise BlockingIOError
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _shake_hands(sock: socket.socket) -> None:
    assert isinstance(sock, ssl.SSLSocket)
    sock.do_handshake()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error)
