"""The responses that gunicorn makes by itself: to a head that it refuses, and where a view fails before its response begins."""

from socket import SHUT_WR

import gevent
import msgspec
from gevent.socket import socket

from flask_sluice.server.gunicorn_adapter import MAX_HEAD_BYTES, write_nonblock
from flask_sluice.stream import registry
from flask_sluice.stream.errors import ApiError, internal_error
from flask_sluice.stream.loop.give_way import give_way

_REST_SECONDS = 1.0
_READ_BYTES = 65536
_LIMITS = {
    414: "gunicorn's limit_request_line",
    431: f"gunicorn's limit_request_fields and limit_request_field_size, and {MAX_HEAD_BYTES // 1024} KiB in all",
}


def write_refusal(sock: socket, status: int, reason: str, message: str) -> None:
    """Write an error in the shape of all errors here, in place of gunicorn's HTML page.

    gunicorn closes the connection afterwards. Raises OSError if the client has left, which gunicorn expects.

    message: what gunicorn has against the request. The client is told nothing of a failure of the server itself
    """
    if status in _LIMITS:
        message = f"{message}; the server's limit is {_LIMITS[status]}"
    error = internal_error() if status == 500 else ApiError(status, "invalid_request", message)
    registry.stats().refuse(status, error.code)
    body = msgspec.json.encode({"error": error.body()})
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    write_nonblock(sock, head.encode("latin-1") + body)
    # To close with something unread would send a reset, which may overtake the response (RFC 9112, section 9.6).
    sock.shutdown(SHUT_WR)
    gevent.with_timeout(_REST_SECONDS, _read_to_the_end, sock, timeout_value=None)


def _read_to_the_end(sock: socket) -> None:
    while sock.recv(_READ_BYTES):
        give_way()
