"""Throw-away certificates, made with the openssl program, and an upstream that shows them."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.raw_upstream import Connection, Handler, RawUpstream, hang_up, sends

StartTls = Callable[[socket.socket], socket.socket]
"""What is done with a connection first: gets the socket, and gives the one to go on with."""

_OURS = "IP:127.0.0.1,DNS:upstream.test"
_HOSTS = {"good": _OURS, "untrusted": _OURS, "for-another-host": "DNS:elsewhere.test"}


def make_certificates(folder: Path) -> dict[str, Path]:
    """Files in ``folder``, each with a key and its certificate, and ``trusted`` with all that are to be trusted."""
    if shutil.which("openssl") is None and "CI" not in os.environ:
        pytest.skip("openssl is not installed")
    made = {name: _make(folder / name, hosts) for name, hosts in _HOSTS.items()}
    trusted = made["good"].read_bytes() + made["for-another-host"].read_bytes()
    made["trusted"] = folder / "trusted"
    made["trusted"].write_bytes(trusted)
    return made


def _make(path: Path, hosts: str) -> Path:
    """Signed by itself: who trusts it has it as a CA."""
    command = [
        *("openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=Sluice's tests"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-addext", f"subjectAltName={hosts}"),
        # From Python 3.13 on a CA must say that it signs (ssl.VERIFY_X509_STRICT).
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
        *("-keyout", path, "-out", path),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=50)
    return path


def shows(certificate: Path) -> StartTls:
    """A server's side of TLS, with a file of ``make_certificates``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return lambda sock: context.wrap_socket(sock, server_side=True)


class TlsUpstream(RawUpstream):
    """A connection whose TLS could not be started counts as closed by the peer.

    Handlers alone may send: a TLS socket is not for two threads at a time.
    """

    def __init__(self, certificate: Path) -> None:
        self.start_tls: StartTls = shows(certificate)
        super().__init__()
        self.url = f"https://{self.host}/v1"

    def close_connections(self) -> None:
        """Shuts them down only; the thread of each closes it. OpenSSL keeps the number of the socket, and would
        read on from whatever has that number next."""
        connections, self.connections = self.connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def _serve(self, connection: Connection) -> None:
        try:
            connection.sock = self.start_tls(connection.sock)
        except OSError:
            connection.closed_at = time.monotonic()
        else:
            super()._serve(connection)


# Handlers.


def ends_properly(*pieces: bytes) -> Handler:
    """With close_notify (RFC 8446, section 6.1)."""

    def handler(sock: socket.socket, request: bytes) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        sends(*pieces)(sock, request)
        with contextlib.suppress(OSError):  # The peer may close without its own.
            sock.unwrap()
        hang_up(sock)

    return handler


def is_cut(*pieces: bytes, behind_tls: bytes = b"") -> Handler:
    """Without close_notify. behind_tls: is sent last, as it is."""

    def handler(sock: socket.socket, request: bytes) -> None:
        sends(*pieces)(sock, request)
        socket.socket.sendall(sock, behind_tls)
        hang_up(sock)

    return handler
