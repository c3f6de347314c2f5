"""Decides whether a stream reconnects after a failure, and when."""

import random
from dataclasses import dataclass

from flask_sluice.client.errors import (
    ErrorEventError,
    RefusedError,
    StreamError,
    StreamTimeoutError,
    TotalTimeoutError,
    TransportError,
    TruncatedError,
)

# Too Many Requests, Bad Gateway, Service Unavailable, Gateway Timeout: a later request may succeed.
_TRANSIENT_STATUSES = (429, 502, 503, 504)
_MIN_WINDOW_SECONDS = 0.1
"""With ``retry: 0`` the client must not reconnect in a busy loop."""
_MAX_DOUBLINGS = 30
MAX_ASKED_SECONDS = 86_400.0
"""The longest wait that a server can ask for: a day, however large its number is."""


@dataclass(frozen=True)
class Reconnect:
    """A policy for reconnecting, with the id of the last event as ``Last-Event-ID``.

    A stream reconnects when its connection could not be opened, broke, was silent for too long, or ended without the
    terminal event; after the statuses 429, 502, 503 and 504; and after an error event with a ``retry``, with which
    the server asks the client to come back.

    max_tries: how many reconnections may follow each other without an event between them
    first_window_seconds: the wait before the first try is a random part of this window ("full jitter"), so that the
        clients of a server that was restarted do not reconnect all at once. The window doubles with each try. The
        stream's own ``retry`` replaces this value
    longest_window_seconds: the upper limit of the window
    without_ids: whether to reconnect even if the stream has sent events without ids, so that it starts again from the
        beginning. This suits a news feed; it would repeat an answer

    The client first waits for the time that the server asks for by ``retry`` or ``Retry-After`` (at most a day), then
    for the window.
    """

    max_tries: int = 5
    first_window_seconds: float = 1.0
    longest_window_seconds: float = 30.0
    without_ids: bool = False

    def covers(self, error: StreamError) -> bool:
        """Return whether another try may succeed."""
        match error:
            case RefusedError():
                return error.status in _TRANSIENT_STATUSES
            case ErrorEventError():
                return error.event.retry is not None
            case TotalTimeoutError():
                return False
        return isinstance(error, TransportError | TruncatedError | StreamTimeoutError)

    def delay_seconds(
        self, attempt: int, retry_ms: int | None, asked_seconds: float | None
    ) -> float:
        """Return the wait before a try. attempt: from 1 on; retry_ms: the stream's; asked_seconds: by Retry-After"""
        # The comparison comes first: a number of 400 digits cannot be divided.
        retry_seconds = None if retry_ms is None else min(retry_ms, MAX_ASKED_SECONDS * 1000) / 1000
        window = self.first_window_seconds if retry_seconds is None else retry_seconds
        window = max(window, _MIN_WINDOW_SECONDS) * 2 ** min(attempt - 1, _MAX_DOUBLINGS)
        window = min(window, self.longest_window_seconds)
        asked_seconds = min(asked_seconds or 0.0, MAX_ASKED_SECONDS)
        return max(retry_seconds or 0.0, asked_seconds) + random.uniform(0, window)


NEVER = Reconnect(max_tries=0)
