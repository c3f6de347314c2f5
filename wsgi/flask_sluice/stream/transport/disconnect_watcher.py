"""Sees at once that a client has left, for all the streams of a worker."""

import contextlib
import select
from typing import Protocol

import gevent
from gevent import monkey

# gevent takes epoll out of the patched select module because its own wait would block the loop. Here it is
# only asked, never waited for.
_epoll = monkey.get_original("select", "epoll")
_READ = 1


class Connected(Protocol):
    def on_disconnect(self) -> None:
        """The client has left. Runs in the hub: must not block or switch."""

    def on_replaced(self) -> None:
        """Its request is over, or another stream uses the connection; must call ``forget``."""


class DisconnectWatcher:
    """Watches sockets for the peer's FIN or RST, while nothing reads them.

    One epoll for all, itself watched by the event loop. EPOLLRDHUP and not readability: bytes of a
    pipelined request do not wake it, and a FIN behind such bytes is still seen. It reports half-closed
    connections, too: on TCP they cannot be told from closed ones, and nginx and HAProxy take them for
    closed as well. One-shot, because a closed socket stays closed and epoll is level-triggered.
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
        """Until ``forget``, which must come before ``fd`` is closed or read again."""
        self.close_stream(fd)
        self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)
        self._streams[fd] = stream

    def forget(self, fd: int, stream: Connected) -> None:
        if self._streams.get(fd) is stream:
            del self._streams[fd]
            # If the socket was closed before, the kernel has dropped it already.
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def close_stream(self, fd: int) -> None:
        """The request is over: so is its stream, if it is still there."""
        stream = self._streams.get(fd)
        if stream is not None:
            stream.on_replaced()

    def _on_ready(self) -> None:
        for fd, _ in self._epoll.poll(0):
            stream = self._streams.get(fd)
            if stream is not None:
                stream.on_disconnect()
