"""Opens connections, with and without TLS."""

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from flask_sluice.doctor.http.request import HttpRequest

CONNECT_SECONDS = 10.0


class CannotConnectError(Exception):
    """No connection to the server could be opened."""


class CertificateFileError(ValueError):
    """The file with certificate authorities cannot be used."""


@dataclass(frozen=True)
class Dialed:
    """An open connection.

    protocol: what TLS has agreed on: "h2" or "http/1.1"; "" without TLS
    """

    sock: socket.socket
    protocol: str
    seconds: float


def tls_context(cacert: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those of the file. Raises CertificateFileError."""
    context = ssl.create_default_context()
    if cacert is not None:
        try:
            context.load_verify_locations(cacert)
        except (OSError, ssl.SSLError) as error:
            raise CertificateFileError(f"--cacert {cacert}: {error.strerror or error}") from error
    return context


def dial(
    request: HttpRequest,
    context: ssl.SSLContext | None,
    *,
    http2: bool,
    receive_buffer_bytes: int | None,
) -> Dialed:
    """Connect to the server of the request.

    context: for TLS; None: without
    http2: offer HTTP/2 in the TLS handshake
    receive_buffer_bytes: a small one makes a slow reader be felt early; None: the system's

    Raises CannotConnectError.
    """
    started = time.monotonic()
    where = f"{request.host}:{request.port}"
    try:
        sock = _connect(request, receive_buffer_bytes)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CannotConnectError(f"no connection to {where}: {reason}") from error
    protocol = ""
    if context is not None:
        try:
            context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
            secure = context.wrap_socket(sock, server_hostname=request.host)
        except (OSError, ValueError) as error:
            sock.close()
            raise CannotConnectError(f"no TLS with {where}: {_tls_problem(error)}") from error
        protocol, sock = secure.selected_alpn_protocol() or "http/1.1", secure
    return Dialed(sock, protocol, time.monotonic() - started)


def _connect(request: HttpRequest, receive_buffer_bytes: int | None) -> socket.socket:
    """Connect to the first address that answers. A small buffer has to be set before the connection is opened."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        request.host, request.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure or OSError("the name has no address")


def _tls_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not valid ({error.verify_message}); "
            "give its authority with --cacert FILE"
        )
    return getattr(error, "reason", None) or str(error) or type(error).__name__


def close_with_reset(sock: socket.socket) -> None:
    """Close the connection with a RST, as a phone does that loses its network or a browser that is killed."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    _close(sock)


def close_with_fin(sock: socket.socket) -> None:
    """Close the connection with a FIN. Unread bytes would make the system send a RST, so they are read first."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)
        sock.setblocking(False)
        while sock.recv(65_536):
            pass
    _close(sock)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.close()
