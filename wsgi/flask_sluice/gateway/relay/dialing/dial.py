"""Opens a connection to the first of several addresses that takes one."""

import errno
import os
import select
import socket
import time
from collections.abc import Iterable
from typing import Any

from gevent.select import poll

from flask_sluice.gateway.relay.dialing.resolver import SocketAddress

ATTEMPT_DELAY_SECONDS = 0.25
"""How long an address is waited for alone before the next one is tried beside it (RFC 8305, section 8)."""


def dial(addresses: Iterable[SocketAddress], timeout_seconds: float) -> socket.socket:
    """Return a connected socket. Where an address refuses, or is slow, the next one is tried. Blocks.

    timeout_seconds: for all addresses together; it is the socket's timeout, too

    Raises TimeoutError, or the OSError of the last address that failed.
    """
    deadline = time.monotonic() + timeout_seconds
    untried = list(addresses)[::-1]
    attempts: dict[int, socket.socket] = {}
    code = 0
    try:
        while untried or attempts:
            if untried:
                code = _begin(*untried.pop(), attempts) or code
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                raise TimeoutError(f"no connection within {timeout_seconds:g} seconds")
            if untried:
                left_seconds = min(left_seconds, ATTEMPT_DELAY_SECONDS)
            for descriptor in _ended(attempts, left_seconds):
                sock = attempts.pop(descriptor)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    sock.settimeout(timeout_seconds)
                    return sock
                sock.close()
        raise OSError(code, os.strerror(code))
    finally:
        for sock in attempts.values():
            sock.close()


def _begin(family: socket.AddressFamily, address: Any, attempts: dict[int, socket.socket]) -> int:
    """Begin to connect to an address. Returns the error's number where that fails at once.

    Raises OSError where there can be no socket: that is the fault of none of the addresses.
    """
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return errno.EAFNOSUPPORT
        raise
    sock.settimeout(0)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        return code
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    attempts[sock.fileno()] = sock
    return 0


def _ended(attempts: Iterable[int], timeout_seconds: float) -> list[int]:
    """Return the sockets whose attempt has ended; none where that takes longer than ``timeout_seconds``."""
    descriptors = list(attempts)
    if not descriptors:
        return []
    poller = poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLOUT)
    return [descriptor for descriptor, _ in poller.poll(timeout_seconds * 1000)]
