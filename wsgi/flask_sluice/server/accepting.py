"""A listening socket that several workers share, so that each takes its part of the connections.

The kernel gives a new connection to whichever worker asks first, and that is often the one that has just been at work: of
1,000 streams on four workers one had 520 and another 98.
"""

from collections.abc import Callable
from typing import Any

from gevent import socket as gevent_socket
from gevent import spawn_later
from gevent.server import StreamServer

from flask_sluice.server.worker_board import Row, WorkerBoard

_WAIT_SECONDS = 0.005
_MAX_WAITS = 5
"""The other workers have this many waits to take a connection; then the fuller one does, so that it is not lost in between."""
_MAX_WAITS_WHEN_FULL = 40
_ALLOWED_LEAD = 4
_ALLOWED_LEAD_SHARE = 20
"""A worker may have 4 connections, and one in 20, more than the emptiest before it lets the others go first: without a lead the
workers would wait for each other in a crowd."""


class SharedListener(StreamServer):
    """Accepts connections, and leaves them to emptier workers for up to 25 ms, or for 200 ms if this one is full.

    board: what the workers tell each other
    row: this worker's own
    show: has the worker write its present load there
    """

    def __init__(
        self,
        sock: gevent_socket.socket,
        board: WorkerBoard,
        row: Row,
        show: Callable[[], None],
        **options: Any,
    ) -> None:
        super().__init__(sock, **options)
        self._board = board
        self._row = row
        self._show = show
        self._waits = 0

    def do_read(self) -> Any:
        """Accept a connection. gevent calls it when there is one, and takes None for "not now"."""
        if self._should_wait():
            self._waits += 1
            self.stop_accepting()
            spawn_later(_WAIT_SECONDS, self._go_on)
            return None
        self._waits = 0
        return super().do_read()

    def _go_on(self) -> None:
        if self.started:
            self.start_accepting()

    def _should_wait(self) -> bool:
        """Return whether another worker is to take the connection."""
        self._show()
        row = self._row
        if self._waits >= (_MAX_WAITS_WHEN_FULL if row.is_full else _MAX_WAITS):
            return False
        others = [other for other in self._board.serving_rows() if other.number != row.number]
        loads = [other.load for other in others if not other.is_full]
        if not loads:
            return False
        least = min(loads)
        return row.is_full or row.load > least + _ALLOWED_LEAD + least // _ALLOWED_LEAD_SHARE
