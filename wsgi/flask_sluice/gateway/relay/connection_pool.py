"""The idle connections to one upstream."""

import select
import time
from collections.abc import Callable, Iterable
from typing import Any

from gevent import get_hub, monkey

from flask_sluice.gateway.relay.connection import UpstreamConnection

MAX_IDLE_CONNECTIONS = 256
IDLE_SECONDS = 30.0
"""Shorter than most servers keep an idle connection."""
MAX_AGE_SECONDS = 600.0
"""An upstream's name may point to other machines by then."""
SWEEP_SECONDS = 1.0

# gevent's own poll switches greenlets, which the event loop's callbacks must not do.
_poll = monkey.get_original("select", "poll")


class ConnectionPool:
    """Keeps idle connections for the next requests, and closes those that are too old or that the upstream has closed.

    The newest is taken first, so that those that a burst has left behind grow old. A timer of the event loop looks after
    them once a second, and stands still while there are none: an answer costs no watcher of its own.

    now: the clock, in monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._idle: list[UpstreamConnection] = []
        """The one that has been idle for longest comes first."""
        self._sweep_timer: Any = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """Return an open connection for the next request, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            is_fresh = self._now() - connection.idle_since <= IDLE_SECONDS
            if is_fresh and connection.read_leftover() and connection.unread is None:
                connection.is_reused = True
                return connection
            connection.close()
        return None

    def put(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose response is finished; closes it where it is old, or where there are enough."""
        now = self._now()
        if len(self._idle) >= MAX_IDLE_CONNECTIONS or now - connection.opened_at > MAX_AGE_SECONDS:
            connection.close()
            return
        connection.idle_since = now
        self._idle.append(connection)
        if self._sweep_timer is None:
            # ref: the timer does not keep a loop alive that has nothing else to wait for.
            self._sweep_timer = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)
            self._sweep_timer.start(self.sweep)

    def sweep(self) -> None:
        """Close the connections that have been idle for too long or that the upstream has closed. Never blocks."""
        oldest = self._now() - IDLE_SECONDS
        readable = _readable(self._idle)
        kept = []
        for connection in self._idle:
            is_readable = connection.sock.fileno() in readable
            if connection.idle_since >= oldest and (not is_readable or connection.read_leftover()):
                kept.append(connection)
            else:
                connection.close()
        self._idle = kept
        if not kept and self._sweep_timer is not None:
            self._sweep_timer.close()
            self._sweep_timer = None


def _readable(connections: Iterable[UpstreamConnection]) -> set[int]:
    """Return the file numbers of those that have bytes or their end to be read: one system call for all."""
    poll = _poll()
    for connection in connections:
        poll.register(connection.sock.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll(0)}
