"""Connections over TLS that share what they need for it.

Redis-py reads the certificates of all authorities that the system knows for each connection. That takes 30 ms of CPU, for which a
worker's streams stand still, and after a failover a worker makes a dozen connections.

``SSLConnection``, its arguments and attributes, and ``Connection._connect`` are as in redis-py 4.5 to 8.1.
"""

import os
import socket
import ssl
import threading
from typing import Any

from redis.connection import Connection, SSLConnection


class SharedContext:
    """The context of all TLS connections of a client. It is made anew when a file of certificates has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._files: list[tuple[int, int]] = []

    def of(self, connection: Any) -> ssl.SSLContext:
        """Return the context. Raises OSError or ValueError.

        connection: any of these connections: they have the same options
        """
        paths = (connection.certfile, connection.keyfile, connection.ca_certs)
        stats = [os.stat(path) for path in paths if path]
        files = [(each.st_mtime_ns, each.st_ino) for each in stats]
        with self._lock:
            if self._context is None or files != self._files:
                self._context = _context_for(connection)
                self._files = files
            return self._context


class TlsConnection(SSLConnection):
    """Redis-py's, with a context that others have, too. It has no OCSP."""

    def __init__(self, *, shared_context: SharedContext, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._shared_context = shared_context

    def _connect(self) -> socket.socket:
        sock: socket.socket = Connection._connect(self)  # type: ignore[no-untyped-call]
        try:
            return self._shared_context.of(self).wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise


def _context_for(connection: Any) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = connection.check_hostname and connection.cert_reqs != ssl.CERT_NONE
    context.verify_mode = connection.cert_reqs
    if connection.certfile:
        # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
        password = connection.certificate_password or ""
        context.load_cert_chain(connection.certfile, connection.keyfile, password)
    if connection.ca_certs or connection.ca_path or connection.ca_data:
        context.load_verify_locations(connection.ca_certs, connection.ca_path, connection.ca_data)
    # Since redis-py 5.0.
    if (version := getattr(connection, "ssl_min_version", None)) is not None:
        context.minimum_version = version
    if ciphers := getattr(connection, "ssl_ciphers", None):
        context.set_ciphers(ciphers)
    return context
