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
"""When it is due (time.monotonic()), how many seconds it was set to, and what is raised then."""
_NEVER: Limit = (math.inf, math.inf, StreamTimeoutError)


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds; None means none. Each raises an exception of its own.

    Raises ValueError for a limit that is not above 0.
    """

    connect_seconds: float | None = 5
    """For TCP and TLS, all addresses of the host together. The look-up of its name is the system's and keeps
    to the resolver's own limits."""
    first_event_seconds: float | None = 300
    """From the start of each connection. A long prefill is silent on most servers, therefore the idle limits
    begin with the first event only."""
    idle_seconds: float | None = 60
    """Without any byte. nginx, in front of most servers, has the same default."""
    idle_event_seconds: float | None = 120
    """Without an event, while the client waits for one: keep-alives do not hide a server that has stalled."""
    total_seconds: float | None = 360
    """For everything, connecting again included."""

    def __post_init__(self) -> None:
        for field in fields(self):
            seconds = getattr(self, field.name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{field.name} takes seconds above 0 or None, got {seconds!r}")


class Deadlines:
    """The limits of one stream, as moments. What waits asks here how long it may.

    Moments, because a limit for each read does not hold: a body that trickles in byte by byte never reaches it.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._total = _limit(timeouts.total_seconds, TotalTimeoutError)
        self._connect = _NEVER
        self._event = _NEVER
        self._has_events = False
        self._due = self._total

    def connection_begins(self) -> None:
        self._has_events = False
        self._event = _limit(self._timeouts.first_event_seconds, FirstEventTimeoutError)

    def connecting(self) -> None:
        self._connect = _limit(self._timeouts.connect_seconds, ConnectTimeoutError)
        self._update()

    def connected(self) -> None:
        self._connect = _NEVER
        self._update()

    def awaiting_next_event(self) -> None:
        """Events have come, and been taken: what the caller does with them does not count as the server's time."""
        self._has_events = True
        self._event = _limit(self._timeouts.idle_event_seconds, IdleEventTimeoutError)
        self._update()

    def check(self) -> None:
        """Raises the StreamTimeoutError of a limit that is over, whether or not there is anything to read."""
        at, seconds, error = self._due
        if time.monotonic() >= at:
            raise error(seconds)

    def next_limit(self) -> Limit:
        """For a wait that begins now."""
        if self._has_events and self._timeouts.idle_seconds is not None:
            return min(
                self._due, _limit(self._timeouts.idle_seconds, IdleTimeoutError), key=_moment
            )
        return self._due

    @property
    def seconds_left(self) -> float:
        """Until the limit for everything."""
        return self._total[0] - time.monotonic()

    def _update(self) -> None:
        self._due = min(self._total, self._connect, self._event, key=_moment)


def _limit(seconds: float | None, error: type[StreamTimeoutError]) -> Limit:
    return _NEVER if seconds is None else (time.monotonic() + seconds, seconds, error)


def _moment(limit: Limit) -> float:
    return limit[0]
