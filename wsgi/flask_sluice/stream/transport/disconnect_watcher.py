"""Notices at once that a client has left, for all streams of a worker."""

import contextlib
import select
from typing import Protocol

import gevent
from gevent import monkey

# gevent removes epoll from the patched select module, because its wait would block the loop. Here epoll is only
# polled with a timeout of zero.
_epoll = monkey.get_original("select", "epoll")
_READ = 1


class Connected(Protocol):
    """A stream with a client."""

    def on_disconnect(self) -> None:
        """The client has left. Runs on the loop: must not block or switch."""

    def on_replaced(self) -> None:
        """The request is over, or another stream uses the connection; must call ``forget``."""


class DisconnectWatcher:
    """Watches sockets for the peer's FIN or RST, while nothing reads them.

    One epoll serves all, and the event loop watches it. EPOLLRDHUP instead of readability: the bytes of a pipelined
    request do not wake it, and a FIN behind such bytes is still seen. It reports half-closed connections, too: on TCP
    they look like closed ones, and nginx and HAProxy take them for closed as well. One-shot, because a closed
    socket stays closed and epoll is level-triggered.
    """

    def __init__(self) -> None:
        self._epoll = _epoll()
        self._streams: dict[int, Connected] = {}
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), _READ)
        self._watcher.start(self._on_ready)

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, fd: int) -> bool:
        return fd in self._streams

    def watch(self, fd: int, stream: Connected) -> None:
        """Watch ``fd`` until ``forget``, which must be called before ``fd`` is closed or read again."""
        self.close_stream(fd)
        self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)
        self._streams[fd] = stream

    def forget(self, fd: int, stream: Connected) -> None:
        """Stop watching ``fd`` for this stream; does nothing if another stream has taken its place."""
        if self._streams.get(fd) is stream:
            del self._streams[fd]
            # The kernel has dropped a socket that is closed already.
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def close_stream(self, fd: int) -> None:
        """End the stream that is still watched on ``fd``, if there is one: its request is over."""
        stream = self._streams.get(fd)
        if stream is not None:
            stream.on_replaced()

    def _on_ready(self) -> None:
        for fd, _ in self._epoll.poll(0):
            stream = self._streams.get(fd)
            if stream is not None:
                stream.on_disconnect()
