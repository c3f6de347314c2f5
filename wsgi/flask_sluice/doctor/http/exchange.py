"""A request that has been sent, and its answer as it comes."""

import contextlib
import ssl
import time
from collections.abc import Callable
from types import TracebackType

from flask_sluice.doctor.http.dialing import Dialed, close_with_fin, close_with_reset
from flask_sluice.doctor.http.protocol import Protocol
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.http.request import HttpRequest

_READ_BYTES = 65_536


def _never(_: Recording) -> bool:
    return False


class Exchange:
    """One request on a connection of its own.

    A context manager: at its end the connection is closed with a FIN, if it was not closed before.
    """

    def __init__(self, request: HttpRequest, dialed: Dialed) -> None:
        self.recording = Recording(request, connect_seconds=dialed.seconds)
        self._sock = dialed.sock
        self._protocol = _protocol(dialed, request, self.recording)
        self._is_closed = False
        self._send(self._protocol.opening_bytes())
        self._started = time.monotonic()
        self.recording.sent_at = time.time()

    @property
    def seconds(self) -> float:
        """Since the request was sent."""
        return time.monotonic() - self._started

    def read(
        self,
        seconds: float,
        enough: Callable[[Recording], bool] = _never,
        *,
        idle_seconds: float = 0,
    ) -> Recording:
        """Read until the answer has ended, ``enough`` says so, or the time is over.

        seconds: how long from now
        enough: is asked after each read
        idle_seconds: stop also if this long nothing comes after the first byte of the body; 0: do not

        An answer of which nothing has come in the time ends as Ending.SILENT. One of more than MOST_BYTES is not read on.
        """
        until = time.monotonic() + seconds
        self.read_on(seconds, enough, idle_seconds=idle_seconds)
        is_silent = self.recording.status is None and not self.recording.has_ended
        if is_silent and time.monotonic() >= until:
            self.recording.end(Ending.SILENT, self.seconds)
        return self.recording

    def read_on(
        self,
        seconds: float,
        enough: Callable[[Recording], bool] = _never,
        *,
        idle_seconds: float = 0,
    ) -> Recording:
        """Read like ``read``, for a part of the time: an answer that has not come yet may still come."""
        until = time.monotonic() + seconds
        while not (self.recording.has_ended or self.recording.is_full or enough(self.recording)):
            left = until - time.monotonic()
            if idle_seconds and self.recording.arrivals:
                left = min(left, idle_seconds)
            if left <= 0 or not self._read_once(left):
                break
        self.recording.read_seconds = self.seconds
        return self.recording

    def leave(self) -> None:
        """Close the connection with a FIN, as a program does that has read enough."""
        if not self._is_closed:
            self._is_closed = True
            if not isinstance(self._sock, ssl.SSLSocket):
                close_with_fin(self._sock)
            with contextlib.suppress(OSError):
                self._sock.close()

    def reset(self) -> None:
        """Close the connection with a RST."""
        if not self._is_closed:
            self._is_closed = True
            close_with_reset(self._sock)

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def _read_once(self, seconds: float) -> bool:
        """Wait for bytes and take them; return whether any came, or the end, in time."""
        self._sock.settimeout(seconds)
        try:
            data = self._sock.recv(_READ_BYTES)
        except TimeoutError:
            return False
        except ssl.SSLError as error:
            # A peer that closes without TLS's close_notify: the body decides whether anything is missing.
            self._protocol.take_end(self.seconds, f"without TLS's close_notify: {error.reason}")
            return True
        except OSError as error:
            self.recording.end(Ending.RESET, self.seconds, error.strerror or str(error))
            return True
        if data:
            self._send(self._protocol.take(data, self.seconds))
        else:
            self._protocol.take_end(self.seconds, "")
        return True

    def _send(self, data: bytes) -> None:
        if data:
            # A server that has closed tells its reason, or the reset, to the next read.
            with contextlib.suppress(OSError):
                self._sock.settimeout(10)
                self._sock.sendall(data)


def _protocol(dialed: Dialed, request: HttpRequest, recording: Recording) -> Protocol:
    # h11 and h2 are of an extra, without which the command's --help and its errors work.
    if dialed.protocol == "h2":
        from flask_sluice.doctor.http.http2 import Http2Protocol  # noqa: PLC0415

        return Http2Protocol(request, recording)
    from flask_sluice.doctor.http.http1 import Http1Protocol  # noqa: PLC0415

    return Http1Protocol(request, recording)
