"""Ports for servers, of which several processes start some at the same time."""

import random
import socket
from collections import deque

# Below the kernel's ephemeral ports (from 32768 on): one of those may become some client's before the server has it.
_PORTS = range(20_000, 32_000)
_PROMISES_KEPT = 50

_promises: deque[socket.socket] = deque()
"""The latest, until their servers listen."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that no process here has been given by this function just now."""
    while True:
        port = random.choice(_PORTS)
        # A name in Linux's abstract namespace is one process's, and gone with its socket.
        promise = socket.socket(socket.AF_UNIX)
        try:
            promise.bind(f"\0sluice-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            promise.close()
            continue
        _promises.append(promise)
        if len(_promises) > _PROMISES_KEPT:
            _promises.popleft().close()
        return port
