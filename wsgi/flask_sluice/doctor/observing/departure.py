"""A reader that leaves a stream before its end, and what the server makes of it."""

import enum
import time
from dataclasses import dataclass

from flask_sluice.doctor.events import has_events
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.exchange import Exchange
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.observing.witness import (
    CannotTellError,
    Seen,
    Witness,
    wait_until_closed,
    wait_until_running,
)

MANY_WRITES = 3
"""A kernel takes the first write after the reader has left, and refuses the next one."""
LONG_SECONDS = 4.0
"""A server that has not noticed for so long, and writes nothing, does not look."""
_LEAST_SECONDS = 2.5
_MARGIN_SECONDS = 0.5
_MID_STREAM_SECONDS = 0.2


class Stage(enum.Enum):
    """Where in a stream its reader leaves."""

    PREFILL = "prefill"
    MID_STREAM = "mid-stream"


class Manner(enum.Enum):
    """How it closes the connection."""

    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True)
class Pace:
    """What is known of a stream before it is left.

    events: when they come, in seconds after the request
    gap_seconds: between those that follow; None: it is not known when they follow
    end_seconds: when it ends by itself; None: later than can matter here, or never
    """

    events: tuple[float, ...]
    gap_seconds: float | None
    end_seconds: float | None

    @property
    def first_seconds(self) -> float:
        return self.events[0] if self.events else 0.0

    def due(self, after: float, count: int) -> list[float]:
        """Return when the next events come, at most ``count``: fewer if it is not known of more."""
        times = [seconds for seconds in self.events if seconds > after][:count]
        last = max(self.events, default=0.0)
        while self.gap_seconds and len(times) < count:
            last += self.gap_seconds
            if self.end_seconds is not None and last > self.end_seconds:
                break
            if last > after:
                times.append(last)
        return times


@dataclass(frozen=True)
class Departure:
    """One reader's leaving.

    seen: when the server closed the stream; None: not in the time
    left_after: seconds from the request to the leaving
    waited_seconds: how long the doctor asked the server
    """

    seen: Seen | None
    left_after: float
    waited_seconds: float


def depart(
    examination: Examination,
    request: HttpRequest,
    witness: Witness,
    *,
    stage: Stage,
    manner: Manner,
    pace: Pace,
) -> Departure:
    """Ask for a stream, leave it, and wait until the server is seen to have closed it, or long enough.

    Raises CannotTellError with the reason if that shows nothing, CannotConnectError.
    """
    watch = witness.watch()
    with examination.open(watch.asking(request)) as exchange:
        if stage is Stage.MID_STREAM:
            _read_into(exchange, examination)
        if not wait_until_running(watch):
            raise CannotTellError(
                f"{witness.name} does not show this stream while it runs: "
                "it counts others, or the stream was over too soon"
            )
        _check_still_there(exchange, stage)
        left_at, left_after = time.time(), exchange.seconds
        if manner is Manner.FIN:
            exchange.leave()
        else:
            exchange.reset()
    wait_seconds = _wait_seconds(pace, left_after) + witness.slack_seconds
    seen = wait_until_closed(watch, left_at, wait_seconds)
    return Departure(seen, left_after, time.time() - left_at)


def _wait_seconds(pace: Pace, left_after: float) -> float:
    """Return after how long a server that has not noticed will not: it has written several events, or it is silent."""
    writes = pace.due(left_after, MANY_WRITES)
    if len(writes) < MANY_WRITES:
        return LONG_SECONDS
    return min(max(_LEAST_SECONDS, writes[-1] - left_after + _MARGIN_SECONDS), LONG_SECONDS)


def _read_into(exchange: Exchange, examination: Examination) -> None:
    """Read the first event, and a little more."""
    exchange.read(examination.options.head_seconds, has_events(1))
    exchange.read_on(_MID_STREAM_SECONDS, has_events(2))


def _check_still_there(exchange: Exchange, stage: Stage) -> None:
    """Raise CannotTellError unless the stream is where its reader is to leave it."""
    events = has_events(1)
    recording = exchange.read_on(0.01, events)
    if recording.status is not None and not recording.is_success:
        raise CannotTellError(f"the server answered {recording.status} to this request")
    if recording.has_ended:
        raise CannotTellError("the stream was over before the reader could leave it")
    if stage is Stage.PREFILL and events(recording):
        raise CannotTellError("the first event came before the reader could leave")
