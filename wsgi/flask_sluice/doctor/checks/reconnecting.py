"""Comes back to a stream as a reader does that has lost its connection."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flask_sluice.doctor.events import EventLog, TimedEvent, has_events, take_apart
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending, Recording

_LEAST_SECONDS, _MOST_SECONDS = 2.0, 8.0
_MORE_SECONDS = 0.5
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+|\d{9,}(\.\d+)?")
"""ISO times, and seconds or milliseconds since 1970: they differ in each answer."""


@dataclass(frozen=True)
class Return:
    """What a reader got that came back.

    events: the first of them, as many as were waited for
    """

    recording: Recording
    log: EventLog

    @property
    def status(self) -> int | None:
        return self.recording.status

    @property
    def events(self) -> tuple[TimedEvent, ...]:
        return self.log.events

    @property
    def is_stream(self) -> bool:
        return self.recording.status == 200 and self.recording.is_event_stream

    @property
    def has_ended_empty(self) -> bool:
        return self.is_stream and not self.events and self.recording.has_proper_end

    @property
    def is_waiting(self) -> bool:
        """Whether nothing came, and more may."""
        ending = self.recording.ending
        return not self.events and ending in (Ending.OPEN, Ending.SILENT)


def come_back(examination: Examination, last_event_id: str, count: int) -> Return:
    """Ask for the stream again, and read so many events: the first for as long as the first stream's longest pause, and
    more only if they come soon.

    last_event_id: is sent as Last-Event-ID, as browsers do; "" sends none

    Raises CannotConnectError.
    """
    request = examination.preset.resume_request() or examination.preset.request()
    if last_event_id:
        # Browsers send it as UTF-8 (WHATWG HTML, section 9.2.3).
        value = last_event_id.encode().decode("latin-1")
        request = request.with_headers(Last_Event_ID=value)
    with examination.open(request) as exchange:
        exchange.read(_patience(examination.log), has_events(1))
        recording = exchange.read(_MORE_SECONDS, has_events(count))
    return Return(recording, take_apart(recording))


def _patience(log: EventLog) -> float:
    """How long an event may take: twice the longest pause of the first stream, within bounds."""
    times = [0.0, *(event.seconds for event in log.events)]
    pause = max((later - sooner for sooner, later in itertools.pairwise(times)), default=0.0)
    return min(max(2 * pause, _LEAST_SECONDS), _MOST_SECONDS)


def is_same(one: TimedEvent, other: TimedEvent) -> bool:
    """Whether two events say the same, whatever times stand in them."""
    left, right = one.event, other.event
    return left.event == right.event and without_times(left.data) == without_times(right.data)


def without_times(data: str) -> str:
    return _TIMES.sub("#", data)


def say_the_same(events: Sequence[TimedEvent], other: Sequence[TimedEvent]) -> bool:
    """Whether events were got that are the first of the others, but perhaps for their ids."""
    pairs = zip(events, other, strict=False)
    return bool(events) and bool(other) and all(is_same(one, two) for one, two in pairs)


def begins_as(events: Sequence[TimedEvent], other: Sequence[TimedEvent]) -> bool:
    """The same for a whole stream. Where all its data is alike, the ids decide."""
    if not say_the_same(events, other):
        return False
    differ = len({event.event.data for event in other}) > 1
    pairs = zip(events, other, strict=False)
    return differ or all(one.event.id == two.event.id for one, two in pairs)
