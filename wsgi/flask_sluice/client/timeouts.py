"""The time limits of a stream, and which of them is due next."""

import math
import time
from dataclasses import dataclass, fields

from flask_sluice.client.errors import (
    ConnectTimeoutError,
    FirstEventTimeoutError,
    IdleEventTimeoutError,
    IdleTimeoutError,
    StreamTimeoutError,
    TotalTimeoutError,
)

Limit = tuple[float, float, type[StreamTimeoutError]]
"""When the limit is due (time.monotonic()), its length in seconds, and the exception to raise then."""
_NEVER: Limit = (math.inf, math.inf, StreamTimeoutError)


@dataclass(frozen=True)
class Timeouts:
    """Time limits in seconds; None means no limit. Each limit raises its own exception.

    Raises ValueError for a limit that is not above 0.
    """

    connect_seconds: float | None = 5
    """For TCP and TLS, with all addresses of the host. The look-up of the host's name is not included: it has the
    limits of the system's resolver."""
    first_event_seconds: float | None = 300
    """From the start of each connection. Most servers send nothing during a long prefill, so the two idle limits
    apply only after the first event."""
    idle_seconds: float | None = 60
    """Without any byte. The default is that of nginx, which stands in front of most servers."""
    idle_event_seconds: float | None = 120
    """Without an event while the client waits for one. Keep-alives do not reset it, so it finds a stalled server."""
    total_seconds: float | None = 360
    """For the whole stream, including reconnections."""

    def __post_init__(self) -> None:
        for field in fields(self):
            seconds = getattr(self, field.name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{field.name} takes seconds above 0 or None, got {seconds!r}")


class TimeLimits:
    """The running limits of one stream. Every wait asks here how long it may take.

    The limits are points in time: a limit for each read would never be reached by a body that arrives byte by byte.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._total = _limit(timeouts.total_seconds, TotalTimeoutError)
        self._connect = _NEVER
        self._event = _NEVER
        self._has_events = False
        self._due = self._total

    def start_connection(self) -> None:
        """Start the limit for the first event."""
        self._has_events = False
        self._event = _limit(self._timeouts.first_event_seconds, FirstEventTimeoutError)

    def start_connecting(self) -> None:
        self._connect = _limit(self._timeouts.connect_seconds, ConnectTimeoutError)
        self._update()

    def end_connecting(self) -> None:
        self._connect = _NEVER
        self._update()

    def await_next_event(self) -> None:
        """Restart the limit for the next event. The time that the caller spends on an event does not count."""
        self._has_events = True
        self._event = _limit(self._timeouts.idle_event_seconds, IdleEventTimeoutError)
        self._update()

    def check(self) -> None:
        """Raise the StreamTimeoutError of a limit that is over, even if there is something to read."""
        at, seconds, error = self._due
        if time.monotonic() >= at:
            raise error(seconds)

    def next_limit(self) -> Limit:
        """Return the limit for a wait that begins now."""
        if self._has_events and self._timeouts.idle_seconds is not None:
            return min(
                self._due, _limit(self._timeouts.idle_seconds, IdleTimeoutError), key=_due_at
            )
        return self._due

    @property
    def seconds_left(self) -> float:
        """Seconds until the limit for the whole stream."""
        return self._total[0] - time.monotonic()

    def _update(self) -> None:
        self._due = min(self._total, self._connect, self._event, key=_due_at)


def _limit(seconds: float | None, error: type[StreamTimeoutError]) -> Limit:
    return _NEVER if seconds is None else (time.monotonic() + seconds, seconds, error)


def _due_at(limit: Limit) -> float:
    return limit[0]
