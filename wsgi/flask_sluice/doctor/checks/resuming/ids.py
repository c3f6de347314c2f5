"""The ids of the events, and the time after which a reader comes back."""

import re
from collections import Counter
from itertools import pairwise

from flask_sluice.doctor.checks.meaning import has_content
from flask_sluice.doctor.checks.resuming.making import make
from flask_sluice.doctor.checks.wording import counted, shortened, span
from flask_sluice.doctor.events import EventLog, TimedEvent
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies import resuming as remedies
from flask_sluice.doctor.report import Check

_LEAST_RETRY_MS, _MOST_RETRY_MS = 500, 60_000
_NUMBER = re.compile(r"([0-9]{1,30})(?:-([0-9]{1,30}))?")


def own_id(log: EventLog, event: TimedEvent) -> str | None:
    """The id that the event itself carries; None if it has that of an event before."""
    has_one = any(line.field == "id" and b"\0" not in line.value for line in log.lines_of(event))
    return event.event.id if has_one else None


def number_of(event_id: str) -> tuple[int, int] | None:
    """The id as a number, or as Redis's two numbers; None if it is neither."""
    match = _NUMBER.fullmatch(event_id)
    return (int(match[1]), int(match[2] or 0)) if match else None


def ids(log: EventLog, preset: Preset) -> Check:
    """Each event has an id of its own, and if ids are numbers, they ascend."""
    name = "ids"
    with_ids = [(number, own_id(log, event)) for number, event in enumerate(log.events, 1)]
    given = [(number, event_id) for number, event_id in with_ids if event_id]
    total = counted(len(log.events), "event")
    if not given:
        return make.warning(
            name,
            f"None of {total} has an id, so a reader that has lost its connection cannot say where it was: it gets everything "
            "again, or misses what was sent meanwhile.",
            remedies.IDS_MISSING,
            events=len(log.events),
        )
    counts = Counter(event_id for _, event_id in given)
    if repeated := {event_id: count for event_id, count in counts.items() if count > 1}:
        event_id = next(iter(repeated))
        places = ", ".join(str(number) for number, other in given if other == event_id)
        return make.fault(
            name,
            f"Several events have the same id, for {counted(len(repeated), 'id')} in {total}: {shortened(event_id)} at events "
            f"{shortened(places)[1:-1]}. The server cannot know after which of them a reader comes back.",
            remedies.IDS_REPEATED,
            repeated_ids=len(repeated),
        )
    missing = [
        number
        for number, event_id in with_ids
        if not event_id and has_content(log.events[number - 1], preset)
    ]
    if missing:
        return make.warning(
            name,
            f"{len(missing)} of {total} have no id, the first is event {missing[0]}: a reader that comes back after one says the "
            "id before it, and gets it again.",
            remedies.IDS_MISSING,
            events_without_id=len(missing),
        )
    return _order(given, total)


def _order(given: list[tuple[int, str]], total: str) -> Check:
    numbers = [number_of(event_id) for _, event_id in given]
    shown = f"from {shortened(given[0][1], 30)} to {shortened(given[-1][1], 30)}"
    if all(numbers):
        for (place, _), (one, other) in zip(given[1:], pairwise(numbers), strict=True):
            if one and other and other < one:
                return make.warning(
                    "ids",
                    f"The ids of {total} are numbers ({shown}), but do not ascend: event {place} has {given[place - 1][1]!r} "
                    f"after {given[place - 2][1]!r}. A server that looks for greater ones skips events.",
                    remedies.IDS_REPEATED,
                )
        return make.ok(
            "ids", f"{counted(len(given), 'id')} in {total}, unique and ascending {shown}."
        )
    return make.ok("ids", f"{counted(len(given), 'id')} in {total}, unique ({shown}).")


def retry(log: EventLog) -> Check:
    """The time after which a reader comes back, if the stream sets one."""
    name = "retry"
    values = [line.value for line in log.whole_lines if line.field == "retry"]
    values = [value for value in values if re.fullmatch(rb"[0-9]+", value)]
    if not values:
        return make.ok(
            name,
            "The stream sets no reconnection time: Chrome and Safari come back after 3 s, Firefox after 5 s.",
        )
    milliseconds = int(values[-1][:12])
    shown = span(milliseconds / 1000)
    if milliseconds < _LEAST_RETRY_MS:
        return make.warning(
            name,
            f"Readers are told to come back after {shown}: when the server restarts, all of them ask it again and again.",
            remedies.RETRY_EXTREME,
            retry_ms=milliseconds,
        )
    if milliseconds > _MOST_RETRY_MS:
        return make.warning(
            name,
            f"Readers are told to come back after {shown} only: for so long a page shows nothing after each cut.",
            remedies.RETRY_EXTREME,
            retry_ms=milliseconds,
        )
    return make.ok(name, f"Readers are told to come back after {shown}.", retry_ms=milliseconds)
