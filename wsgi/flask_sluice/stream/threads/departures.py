"""Notices at once that a client has left, and looks whether it reads, for all streams of a process that have threads."""

import contextlib
import select
import threading
import time
from collections.abc import Callable

from flask_sluice.stream.threads.per_process import PerProcess

_LOOK_SECONDS = 1

Look = Callable[[float], object]
"""Looks after a client; called with the time, in monotonic seconds."""


def can_watch() -> bool:
    """Whether the system has epoll, to which sockets can be added while another thread waits (epoll_wait(2))."""
    return hasattr(select, "epoll")


class Departures:
    """Waits in one thread for the peers' FIN or RST. See ``DisconnectWatcher``, which does so on gevent's loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], object]] = {}
        self._looks: dict[int, Look] = {}
        # Reentrant: the garbage collector may close a stream while the lock is held.
        self._change = threading.RLock()
        threading.Thread(target=self._run, name="sluice-departures", daemon=True).start()

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, fd: int, on_left: Callable[[], object], look: Look | None = None) -> None:
        """Call ``on_left`` once when the peer of ``fd`` has left, and ``look`` each second; until ``forget``.

        Neither may block.
        """
        with self._change:
            self._unwatch(fd)
            self._watched[fd] = on_left
            try:
                self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)
            except OSError:
                del self._watched[fd]
                raise
            if look is not None:
                self._looks[fd] = look

    def forget(self, fd: int, on_left: Callable[[], object]) -> None:
        """Stop watching ``fd`` for ``on_left``; do nothing if it is watched for another, which has got the number since."""
        with self._change:
            if self._watched.get(fd) == on_left:
                self._unwatch(fd)

    def _unwatch(self, fd: int) -> None:
        self._looks.pop(fd, None)
        if self._watched.pop(fd, None) is not None:
            # The kernel has dropped a socket that is closed already.
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def _run(self) -> None:
        look_at = 0.0
        while True:
            for fd, _ in self._epoll.poll(_LOOK_SECONDS):
                self._tell(fd)
            now = time.monotonic()
            if now >= look_at:
                look_at = now + _LOOK_SECONDS
                self._look_after_all(now)

    def _look_after_all(self, now: float) -> None:
        # Not after a client that is forgotten meanwhile: its connection may serve the next request.
        with self._change:
            for fd in list(self._looks):
                look = self._looks.get(fd)
                if look is not None:
                    look(now)

    def _tell(self, fd: int) -> None:
        on_left = self._watched.get(fd)
        # Since the wait was over another connection may have got the number.
        if on_left is not None and _has_left(fd):
            on_left()


def _has_left(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))


departures = PerProcess(Departures)
