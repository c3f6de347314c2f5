"""Finds the times at which a stream's events say that they were made."""

import datetime
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from flask_sluice.doctor.events import EventLog, TimedEvent
from flask_sluice.doctor.http.recording import Recording

_UNITS = (1.0, 1e3, 1e6, 1e9)
"""A Unix time in seconds, and in milli-, micro- and nanoseconds."""
_EARLIEST, _LATEST = 1.0e9, 4.1e9
_LEAST_EVENTS = 3
_LEAST_SPAN_SECONDS = 0.15
_CLOCK_TOLERANCE_SECONDS = 1.5


@dataclass(frozen=True)
class Stamps:
    """When events were made and when they came.

    name: where in the event the time stands, such as "sent_at" or "id"
    held_seconds: for each stamped event how much longer it took than the fastest one
    span_seconds: between the first stamp and the last
    resolution_seconds: how exact the stamps are: 1 for whole seconds
    """

    name: str
    held_seconds: tuple[float, ...]
    span_seconds: float
    resolution_seconds: float


def stamps_of(log: EventLog) -> Stamps | None:
    """Return what the events say about when they were made; None if they do not.

    A value counts if nearly all events have it, it never falls, and it lies within the time of this request: a history that
    is sent again was made before.
    """
    found: dict[str, list[tuple[TimedEvent, float]]] = {}
    for event in log.events:
        for name, value in _times_in(event):
            found.setdefault(name, []).append((event, value))
    for name, stamped in found.items():
        is_in_most = len(stamped) >= max(_LEAST_EVENTS, 0.8 * len(log.events) - 1)
        if is_in_most and (stamps := _checked(name, stamped, log.recording)):
            return stamps
    return None


def _checked(
    name: str, stamped: Sequence[tuple[TimedEvent, float]], recording: Recording
) -> Stamps | None:
    values = [value for _, value in stamped]
    span = values[-1] - values[0]
    resolution = 1.0 if all(value == int(value) for value in values) else 0.001
    is_falling = any(after < before for before, after in itertools.pairwise(values))
    if is_falling or span < max(_LEAST_SPAN_SECONDS, 2 * resolution if resolution == 1 else 0):
        return None
    earliest = recording.sent_at + _clock_difference(recording) - _CLOCK_TOLERANCE_SECONDS
    if values[0] < earliest or span > stamped[-1][0].seconds + _CLOCK_TOLERANCE_SECONDS:
        return None
    delays = [event.seconds - value for event, value in stamped]
    fastest = min(delays)
    return Stamps(name, tuple(delay - fastest for delay in delays), span, resolution)


def _clock_difference(recording: Recording) -> float:
    """How far the server's clock is ahead of ours, in seconds; 0 if it cannot be told from the Date header."""
    try:
        server = parsedate_to_datetime(recording.header("Date") or "").timestamp()
    except ValueError:
        return 0.0
    difference = server - (recording.sent_at + (recording.head_seconds or 0))
    # A head that was held back has an old date, and whole seconds hide up to one.
    is_explained = -(recording.head_seconds or 0) - 2 < difference < 2
    return 0.0 if is_explained else difference


def _times_in(event: TimedEvent) -> Iterator[tuple[str, float]]:
    """Yield each value of the event that can be a time, in seconds since 1970, with its name."""
    if time := _time(event.event.id.partition("-")[0]):
        yield "id", time
    try:
        data = json.loads(event.event.data)
    except ValueError:
        data = event.event.data
    if isinstance(data, dict):
        yield from _times_in_object(data, "")
    elif time := _time(data):
        yield "data", time


def _times_in_object(document: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in document.items():
        if isinstance(value, dict) and not prefix:
            yield from _times_in_object(value, f"{key}.")
        elif time := _time(value):
            yield f"{prefix}{key}", time


def _time(value: object) -> float | None:
    """The value as seconds since 1970, if it can be a time: a number or digits in any unit, or ISO 8601 text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _time_in_text(value.strip())
    if isinstance(value, int | float):
        return next((value / unit for unit in _UNITS if _EARLIEST < value / unit < _LATEST), None)
    return None


def _time_in_text(text: str) -> float | None:
    if not 10 <= len(text) <= 40 or not text[0].isdigit():
        return None
    try:
        return _time(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp()
