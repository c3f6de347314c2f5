"""Whether a stream connects again after it broke, and when."""

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

# Refusals that pass: too many requests; a gateway without, overloaded by, or out of patience with its upstream.
_TRANSIENT_STATUSES = (429, 502, 503, 504)
_LEAST_WINDOW_SECONDS = 0.1
"""``retry: 0`` must not make a loop without a pause."""
_MAX_DOUBLINGS = 30


@dataclass(frozen=True)
class Reconnect:
    """Connecting again, with the id of the last event as ``Last-Event-ID``.

    It follows on a connection that could not be made, broke, stood still, or ended without the terminal event, on
    statuses 429, 502, 503 and 504, and on an error event with a ``retry`` (the server asks to come back).

    max_tries: in a row, without an event between them
    first_window_seconds: the wait before the first try is anything up to this ("full jitter", so that the
        clients of a server that restarted do not come back together) and doubles with each try; the stream's own
        ``retry`` takes its place
    longest_window_seconds: where the doubling ends
    without_ids: also if the stream has sent events but no ids, and begins anew therefore: right for a feed
        of news, wrong for an answer, which would be repeated

    What the server asks for by ``retry`` or ``Retry-After`` is waited in any case, before that window.
    """

    max_tries: int = 5
    first_window_seconds: float = 1.0
    longest_window_seconds: float = 30.0
    without_ids: bool = False

    def covers(self, error: StreamError) -> bool:
        """Whether another try may end better."""
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
        """attempt: 1 for the first try; retry_ms: the stream's; asked_seconds: by Retry-After"""
        retry_seconds = None if retry_ms is None else retry_ms / 1000
        window = self.first_window_seconds if retry_seconds is None else retry_seconds
        window = max(window, _LEAST_WINDOW_SECONDS) * 2 ** min(attempt - 1, _MAX_DOUBLINGS)
        window = min(window, self.longest_window_seconds)
        return max(retry_seconds or 0.0, asked_seconds or 0.0) + random.uniform(0, window)


NEVER = Reconnect(max_tries=0)
