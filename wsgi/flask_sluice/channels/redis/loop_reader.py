"""Reads a socket on gevent's event loop.

A greenlet that waits for each message costs two switches, and two changes of what epoll watches: half of what a message costs.
"""

import os
import time
from collections.abc import Callable

from gevent import get_hub
from gevent.event import AsyncResult

GATHER_SECONDS = 0.002
"""The least time from one read to the next. What comes after a pause is read at once; what comes all the time is gathered, since to
be woken costs as much as two messages."""

_READABLE = 1
_READ_BYTES = 64 * 1024


class LoopReader:
    """Gives what comes to a function, on the loop.

    fd: of a socket that does not block. A copy of it is read, which nothing else closes
    take: must not block. What it raises ends the reading
    """

    def __init__(self, fd: int, take: Callable[[bytes], None]) -> None:
        self._fd = os.dup(fd)
        self._take = take
        self._pid = os.getpid()
        self._end: AsyncResult[None] = AsyncResult()
        loop = get_hub().loop
        self._watcher = loop.io(self._fd, _READABLE)
        self._pause = loop.timer(GATHER_SECONDS)
        self._next_read_at = 0.0

    def run(self) -> None:
        """Read until the connection ends. Raises OSError, or what ``take`` raises."""
        self._watcher.start(self._on_readable)
        try:
            self._end.get()
        finally:
            for watcher in (self._watcher, self._pause):
                watcher.stop()
                watcher.close()
            os.close(self._fd)

    def stop(self, error: BaseException) -> None:
        """Have ``run`` raise this error."""
        self._watcher.stop()
        self._pause.stop()
        if not self._end.ready():
            self._end.set_exception(error)

    def _on_readable(self) -> None:
        if time.monotonic() < self._next_read_at:
            self._watcher.stop()
            self._pause.start(self._end_pause)
        else:
            self._read()

    def _end_pause(self) -> None:
        self._watcher.start(self._on_readable)
        self._read()

    def _read(self) -> None:
        if os.getpid() != self._pid:
            # In a child, which must not take what its parent waits for.
            self._watcher.stop()
            return
        self._next_read_at = time.monotonic() + GATHER_SECONDS
        try:
            data = os.read(self._fd, _READ_BYTES)
            if not data:
                raise ConnectionResetError("Redis has closed the connection")
            self._take(data)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - run() raises it
            self.stop(error)
