"""What gunicorn answers by itself: to a head that it refuses, and where a view fails before its answer begins."""

from socket import SHUT_WR

import gevent
import msgspec
from gevent.socket import socket
from gunicorn.util import write_nonblock

from flask_sluice.stream import registry
from flask_sluice.stream.errors import ApiError, internal_error
from flask_sluice.stream.loop.give_way import give_way

_REST_SECONDS = 1.0
_READ_BYTES = 65536


def write_refusal(sock: socket, status: int, reason: str, message: str) -> None:
    """In place of ``gunicorn.util.write_error``: not a page, but what all errors here look like.

    gunicorn closes the connection behind it. Raises OSError if the client has left, which gunicorn expects.

    message: what gunicorn has against the request; of a failure of the server's own nothing is told
    """
    error = internal_error() if status == 500 else ApiError(status, "invalid_request", message)
    registry.stats().refused[str(status), error.code] += 1
    body = msgspec.json.encode({"error": error.body()})
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    write_nonblock(sock, head.encode("latin-1") + body)
    # To close with something unread would be a reset, which may overtake the answer (RFC 9112, section 9.6).
    sock.shutdown(SHUT_WR)
    gevent.with_timeout(_REST_SECONDS, _read_to_the_end, sock, timeout_value=None)


def _read_to_the_end(sock: socket) -> None:
    while sock.recv(_READ_BYTES):
        give_way()
