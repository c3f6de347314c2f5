"""The idle connections to one upstream."""

import time
from collections.abc import Callable
from typing import Any

from gevent import get_hub

from flask_sluice.gateway.relay.connection import UpstreamConnection

MAX_IDLE_CONNECTIONS = 256
IDLE_SECONDS = 4.0
"""Shorter than the 5 s for which uvicorn (so vLLM), llama.cpp and Node keep an idle connection. If the upstream closed one
while a POST is on its way to it, that request could not be sent again."""
KEEP_ALIVE_MARGIN_SECONDS = 1.0
MAX_AGE_SECONDS = 30.0
"""An upstream's name may point to other machines by then, or its service to more of them: constant traffic would keep a
connection to the old one for ever. It is the time for which CoreDNS lets answers be kept in most clusters, and a new connection
every 30 s costs nothing that can be measured."""
SWEEP_SECONDS = 1.0

_READ = 1


class ConnectionPool:
    """Keeps idle connections for the next requests, and closes those that are too old or that the upstream has closed.

    The one that was used last is taken first, so that those that a burst has left behind grow old. The event loop watches
    each for its end; the watcher is made once for a connection, and starting it costs no system call of its own. A timer
    looks once a second which of them are too old, and stands still while there are none.

    now: the clock, in monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._idle: dict[UpstreamConnection, None] = {}
        """The one that has been idle for longest comes first."""
        self._sweep_timer: Any = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """Return an open connection for the next request, None if there is none."""
        while self._idle:
            connection, _ = self._idle.popitem()
            connection.idle_watcher.stop()
            is_fresh = self._now() < connection.idle_until
            # The loop may not have seen yet that the upstream has closed it.
            if is_fresh and connection.read_leftover() and connection.unread is None:
                return connection
            connection.close()
        return None

    def put(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose response is finished; closes it where it is old, or where there are enough."""
        now = self._now()
        connection.idle_until = min(
            now + _idle_seconds(connection), connection.opened_at + MAX_AGE_SECONDS
        )
        if len(self._idle) >= MAX_IDLE_CONNECTIONS or connection.idle_until <= now:
            connection.close()
            return
        self._idle[connection] = None
        if connection.idle_watcher is None:
            connection.idle_watcher = get_hub().loop.io(connection.sock.fileno(), _READ, ref=False)
        connection.idle_watcher.start(self._on_readable, connection)
        if self._sweep_timer is None:
            # ref: the timer does not keep a loop alive that has nothing else to wait for.
            self._sweep_timer = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)
            self._sweep_timer.start(self.sweep)

    def sweep(self) -> None:
        """Close the connections that have been idle for too long, or are too old. Never blocks."""
        now = self._now()
        for connection in [each for each in self._idle if each.idle_until <= now]:
            self._drop(connection)
        if not self._idle and self._sweep_timer is not None:
            self._sweep_timer.close()
            self._sweep_timer = None

    def _on_readable(self, connection: UpstreamConnection) -> None:
        """Close a connection that the upstream has closed, or on which it says what belongs to no request."""
        if not connection.read_leftover():
            self._drop(connection)

    def _drop(self, connection: UpstreamConnection) -> None:
        del self._idle[connection]
        connection.close()


def _idle_seconds(connection: UpstreamConnection) -> float:
    said = connection.keep_alive_seconds
    return IDLE_SECONDS if said is None else said - KEEP_ALIVE_MARGIN_SECONDS
