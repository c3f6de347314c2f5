"""A connection of which every wait has a deadline and can be ended from outside."""

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
from flask_sluice.client.timeouts import Deadlines

Result = TypeVar("Result")
Wait = Callable[[socket.socket, float], bool]

_LONGEST_WAIT_SECONDS = 86_400
"""poll() takes no more than 24 days."""


class Connection:
    """One connection to a server.

    The socket does not block; what cannot go on waits in ``_wait``, and only there. So the deadlines hold over
    all that http.client reads, line by line, through a buffered file; and they hold in gevent, too, whose TLS
    sockets grant the whole timeout to every part of a record.

    ``close`` may be called from any thread or greenlet. Another one that waits here wakes, raises
    StreamClosedError, and has to call it, too: only then is the socket let go of.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        # Reentrant: a signal handler may call close() while its own thread is in here.
        self._lock = threading.RLock()
        self._sock: socket.socket | None = None
        self._is_in_use = False
        self._is_closed = False

    def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Raises ConnectError, StreamTimeoutError, StreamClosedError."""
        self._deadlines.connecting()
        try:
            self._connect(host, port)
            if tls is not None:
                self._start_tls(tls, host)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA cannot encode.
            if self._is_closed:
                raise StreamClosedError from None
            raise ConnectError(f"no connection to {host}:{port}: {_reason(error)}") from error
        self._deadlines.connected()

    def receive_into(self, buffer: memoryview) -> int:
        """Waits until there is something; returns 0 at the end of the connection."""
        return self._patiently(wait_for_read, lambda sock: sock.recv_into(buffer))

    def send_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            sent = self._patiently(wait_for_write, lambda sock: sock.send(rest))  # noqa: B023 - not kept
            rest = rest[sent:]

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._sock is None:
                return
            with contextlib.suppress(OSError):
                # Not SSLSocket's, which takes the TLS object away from the one who reads with it.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            # Not under one who waits: its number may be somebody else's by the time that it is looked at again.
            # The reader, woken, comes here as well.
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
            # Under the lock: a shutdown between the two would be without effect, and the connection go on.
            code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            code = self._patiently(wait_for_write, _result_of_connecting)
        if code:
            raise OSError(code, os.strerror(code))

    def _start_tls(self, context: ssl.SSLContext, host: str) -> None:
        with self._lock:
            assert self._sock is not None
            self._adopt(
                context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
            )
        self._patiently(wait_for_read, _shake_hands)

    def _adopt(self, sock: socket.socket) -> None:
        """Takes the place of the socket before, if there was one. With the lock held."""
        if self._sock is not None:
            self._sock.close()
        self._sock = sock
        if self._is_closed:
            sock.close()
            raise StreamClosedError

    def _patiently(self, wait: Wait, operation: Callable[[socket.socket], Result]) -> Result:
        """Does it as soon as it does not block.

        wait: for what, if the operation does not say
        """
        sock = self._enter()
        try:
            while True:
                self._deadlines.check()
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
            # Its end, if it is one, is our own doing.
            raise StreamClosedError
        return result

    def _wait(self, wait: Wait, sock: socket.socket) -> None:
        at, seconds, error = self._deadlines.next_limit()
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
