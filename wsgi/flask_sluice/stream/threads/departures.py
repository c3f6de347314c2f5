"""Notices at once that a client has left, for all streams of a process that have threads."""

import contextlib
import os
import select
import threading
from collections.abc import Callable


def can_watch() -> bool:
    """Whether the system has epoll, to which sockets can be added while another thread waits (epoll_wait(2))."""
    return hasattr(select, "epoll")


class Departures:
    """Waits in one thread for the peers' FIN or RST. See ``DisconnectWatcher``, which does so on gevent's loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], object]] = {}
        threading.Thread(target=self._run, name="sluice-departures", daemon=True).start()

    def watch(self, fd: int, on_left: Callable[[], object]) -> None:
        """Call ``on_left``, which must not block, once when the peer of ``fd`` has left; until ``forget``."""
        self.forget(fd)
        self._watched[fd] = on_left
        self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def forget(self, fd: int) -> None:
        """Stop watching ``fd``. To be called before it is closed; does nothing if it is not watched."""
        if self._watched.pop(fd, None) is not None:
            # The kernel has dropped a socket that is closed already.
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def _run(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                on_left = self._watched.get(fd)
                # Since the wait was over another connection may have got the number.
                if on_left is not None and _has_left(fd):
                    on_left()


def _has_left(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))


class _PerProcess:
    """The one of this process. Threads do not survive a fork, and a server may fork workers after it has streamed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._departures: Departures | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def get(self) -> Departures:
        with self._lock:
            if self._departures is None:
                self._departures = Departures()
            return self._departures

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._departures = None


departures = _PerProcess().get
