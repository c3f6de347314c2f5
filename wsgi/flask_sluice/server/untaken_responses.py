"""The responses that their clients are slow to take. Streams limit their own writes; this is about all others."""

import contextlib
import time

from gevent import socket as gevent_socket

from flask_sluice.stream import registry
from flask_sluice.stream.transport.client_socket import ClientSocket

MIN_BYTES_PER_SECOND = 4096
"""What a client has to take of a response, on the average of a write timeout."""

_GRACE_SECONDS = 0.25
"""Before a response makes room for another connection: most are taken long before."""
_LOOKS = 4
"""How often the responses are looked at in a write timeout."""


class _Progress:
    """How far a client has come with a response.

    begun_at: when its request was there, in monotonic seconds
    slow_since: from when on something has been untaken at each look; None: nothing was at the last one
    taken_bytes: how much of all that was ever sent to the client it had taken then; None where the system does not tell
    untaken_bytes: how much it had yet to take then
    """

    __slots__ = ("begun_at", "slow_since", "taken_bytes", "untaken_bytes")

    def __init__(self, now: float) -> None:
        self.begun_at = now
        self.slow_since: float | None = None
        self.taken_bytes: int | None = None
        self.untaken_bytes = 0


class UntakenResponses:
    """The connections that have a request, and have not been given their whole response.

    write_timeout_seconds: a client that takes less than 4 KiB/s for so long is dropped; one over a unix socket, where the
        system does not tell how much was taken, if it takes nothing
    """

    def __init__(self, write_timeout_seconds: float) -> None:
        self._write_timeout_seconds = write_timeout_seconds
        self._progress: dict[gevent_socket.socket, _Progress] = {}
        """The one whose request came first is the first."""
        self._look_at = 0.0

    def __contains__(self, sock: gevent_socket.socket) -> bool:
        return sock in self._progress

    def begin(self, sock: gevent_socket.socket) -> None:
        self._progress[sock] = _Progress(time.monotonic())

    def end(self, sock: gevent_socket.socket) -> None:
        self._progress.pop(sock, None)

    def drop_longest(self, now: float) -> bool:
        """Drop the client that has kept a response waiting longest. Returns whether there was one."""
        for sock, progress in self._others_than_streams():
            if progress.begun_at > now - _GRACE_SECONDS:
                return False
            client = ClientSocket(sock, is_framed=True)
            with contextlib.suppress(OSError):
                if client.unsent_bytes():
                    self._drop(sock, client)
                    return True
        return False

    def drop_overdue(self, now: float) -> None:
        """Drop clients that have been too slow for a write timeout. To be called every second or so."""
        if now < self._look_at:
            return
        self._look_at = now + self._write_timeout_seconds / _LOOKS
        for sock, progress in self._others_than_streams():
            client = ClientSocket(sock, is_framed=True)
            with contextlib.suppress(OSError):
                if self._is_overdue(progress, client, now):
                    self._drop(sock, client)

    def _others_than_streams(self) -> list[tuple[gevent_socket.socket, _Progress]]:
        """Return all but streams, which are not looked at again."""
        streams = registry.disconnect_watcher()
        for sock in [sock for sock in self._progress if sock.fileno() in streams]:
            del self._progress[sock]
        return list(self._progress.items())

    def _is_overdue(self, progress: _Progress, client: ClientSocket, now: float) -> bool:
        untaken, taken = client.unsent_bytes(), client.taken_bytes()
        if not untaken:
            progress.slow_since = None
            return False
        if progress.slow_since is not None:
            seconds = now - progress.slow_since
            if taken is None or progress.taken_bytes is None:
                is_slow = untaken == progress.untaken_bytes
            else:
                is_slow = taken - progress.taken_bytes < MIN_BYTES_PER_SECOND * seconds
            if is_slow:
                return seconds >= self._write_timeout_seconds
        progress.slow_since, progress.taken_bytes, progress.untaken_bytes = now, taken, untaken
        return False

    def _drop(self, sock: gevent_socket.socket, client: ClientSocket) -> None:
        self.end(sock)
        # What the client does not take would stay in the kernel behind a FIN, for minutes.
        client.reset_on_close()
        client.shut_down()
