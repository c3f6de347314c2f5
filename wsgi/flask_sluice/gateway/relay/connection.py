"""One connection to an upstream."""

import errno
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import gevent
import urllib3

from flask_sluice.gateway.relay.address import UpstreamAddress
from flask_sluice.gateway.relay.http1_parser import Body
from flask_sluice.stream.errors import ApiError

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError)
_NO_FILES_LEFT = (errno.EMFILE, errno.ENFILE)


class UnreadRequestError(ApiError):
    """The upstream has certainly read nothing of the request, which may therefore go to another one."""


class NoFilesLeftError(UnreadRequestError):
    """This process may open no more files; the upstream is not at fault."""

    def __init__(self) -> None:
        message = "the server can open no further connection; try again later"
        super().__init__(503, "overloaded", message, headers={"Retry-After": "1"})


class UpstreamConnection:
    """A connected socket that never blocks.

    opened_at: in monotonic seconds
    keep_alive_seconds: how long the upstream keeps it while it is idle, if the last response said so
    unread: the body of the last response, if the end of its framing had not come when the response was finished
    idle_watcher, idle_until: the pool's
    """

    __slots__ = (
        "idle_until",
        "idle_watcher",
        "keep_alive_seconds",
        "opened_at",
        "receive_now",
        "sock",
        "unread",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self.sock = sock
        self.receive_now: Callable[[int], bytes]
        if isinstance(sock, ssl.SSLSocket):
            # Anyone on the network can forge a FIN, so an end without close_notify is an error (RFC 8446, section 6.1).
            sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
            self.receive_now = self._receive_decrypted
        else:
            # gevent's socket wraps one that never blocks; gevent's own recv costs two calls more.
            self.receive_now = getattr(sock, "_sock", sock).recv
        self.opened_at = time.monotonic()
        self.keep_alive_seconds: float | None = None
        self.unread: Body | None = None
        self.idle_watcher: Any = None
        self.idle_until = 0.0

    def close(self) -> None:
        # Before the socket: the next one may get its file descriptor.
        if self.idle_watcher is not None:
            self.idle_watcher.close()
            self.idle_watcher = None
        self.sock.close()

    def _receive_decrypted(self, size: int) -> bytes:
        """Return all that is decrypted: the socket does not become readable again for what stays in the TLS layer."""
        data = self.sock.recv(size)
        while data and self.sock.pending():  # type: ignore[attr-defined]
            data += self.sock.recv(size)
        return data

    def read_leftover(self) -> bool:
        """Read what the upstream has sent since the last response was finished.

        Returns whether the connection is still good: open, with nothing on it but the end of that response. Where that
        is yet to come, ``unread`` stays set.
        """
        try:
            data = self.sock.recv(4096)
        except WOULD_BLOCK:
            return True
        except OSError:
            return False
        body = self.unread
        if body is None or not data:
            return False
        body.feed(data)
        if body.is_complete:
            self.unread = None
        return not body.is_broken


def connect(address: UpstreamAddress, timeout_seconds: float) -> UpstreamConnection:
    """Open a connection. Blocks its greenlet: on names, the proxy and TLS, in all for ``timeout_seconds``.

    Raises UnreadRequestError ``upstream_unreachable``, or NoFilesLeftError.
    """
    too_late = TimeoutError(f"it was not there within {timeout_seconds:g} seconds")
    try:
        # An upstream could take its time for each step on the way, or for each byte.
        with gevent.Timeout(timeout_seconds, too_late):
            return UpstreamConnection(address.open_socket(timeout_seconds))
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        if getattr(error.__cause__ or error, "errno", None) in _NO_FILES_LEFT:
            raise NoFilesLeftError from error
        raise UnreadRequestError(
            502,
            "upstream_unreachable",
            f"there is no connection to the upstream: {_reason(error)}",
        ) from error


def _reason(error: Exception) -> str:
    """Return the message without the connection object that urllib3 puts in front of it."""
    message = error.args[-1] if error.args else error
    return re.sub(r"^\w+\(.*?\): ", "", str(message)) or type(error).__name__
