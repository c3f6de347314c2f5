"""Whether a reader that says the last id it had gets exactly the next event."""

import enum
from collections import Counter
from dataclasses import dataclass

from flask_sluice.doctor.checks.reconnecting import (
    Return,
    begins_as,
    come_back,
    is_same,
    say_the_same,
)
from flask_sluice.doctor.checks.resuming.ids import number_of, own_id
from flask_sluice.doctor.checks.resuming.making import make
from flask_sluice.doctor.checks.wording import counted, shortened, span
from flask_sluice.doctor.events import EventLog, TimedEvent
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending
from flask_sluice.doctor.options import Depth
from flask_sluice.doctor.remedies.resuming import LAST_EVENT_ID_IGNORED
from flask_sluice.doctor.report import Check

_NAME = "last-event-id"
_CUTS = {Depth.QUICK: 1, Depth.USUAL: 3, Depth.THOROUGH: 5}
_EVENTS_AHEAD = 3


class _Outcome(enum.IntEnum):
    """What a cut did to a reader, the worst last."""

    EXACT = 0
    UNKNOWN = 1
    DOUBTFUL = 2
    WRONG = 3


@dataclass(frozen=True)
class _Cut:
    """A reader was cut off after an event, and came back.

    number: of that event, from 1 on
    """

    number: int
    outcome: _Outcome
    what: str


def last_event_id(examination: Examination) -> Check:
    """Come back after several events of the first stream, and compare with what followed them there."""
    log = examination.log
    places = _places(log, _CUTS[examination.depth])
    if not places:
        return make.skipped(_NAME, "Fewer than two events have ids that tell them apart.")
    examination.tell(f"coming back after {counted(len(places), 'cut')}")
    cuts = []
    for place in places:
        event_id = log.events[place].event.id
        outcome, what = _Comparison(log, place).judge(
            come_back(examination, event_id, _EVENTS_AHEAD)
        )
        cuts.append(_Cut(place + 1, outcome, f"Last-Event-ID {shortened(event_id, 30)}: {what}"))
    return _verdict(cuts, len(log.events))


def _places(log: EventLog, most: int) -> list[int]:
    """Where to cut: events with an id of their own, and another event behind, from the first to the last of these."""
    ids = [own_id(log, event) for event in log.events]
    counts = Counter(ids)
    places = [n for n, event_id in enumerate(ids[:-1]) if event_id and counts[event_id] == 1]
    if len(places) <= most:
        return places
    if most == 1:
        return [places[len(places) // 2]]
    return [places[round(n * (len(places) - 1) / (most - 1))] for n in range(most)]


def _verdict(cuts: list[_Cut], total: int) -> Check:
    worst = max(cut.outcome for cut in cuts)
    hit = [cut for cut in cuts if cut.outcome is worst]
    after = ", ".join(str(cut.number) for cut in cuts)
    numbers = {"cuts": len(cuts), "exact_cuts": sum(cut.outcome is _Outcome.EXACT for cut in cuts)}
    where = f"{counted(len(cuts), 'cut')} (after event {after} of {total})"
    if worst is _Outcome.EXACT:
        return make.ok(_NAME, f"{where}: each time exactly the next event came.", **numbers)
    evidence = f"{where}, {len(hit)} of them thus: {hit[0].what}."
    if worst is _Outcome.WRONG:
        return make.fault(_NAME, evidence, LAST_EVENT_ID_IGNORED, **numbers)
    if worst is _Outcome.DOUBTFUL:
        return make.warning(_NAME, evidence, LAST_EVENT_ID_IGNORED, **numbers)
    return make.skipped(_NAME, f"Not known: {evidence}")


class _Comparison:
    """Compares what a reader got that came back with what followed in the first stream.

    place: the index of the last event that it had
    """

    def __init__(self, log: EventLog, place: int) -> None:
        self._log = log
        self._place = place
        self._ids = [own_id(log, event) for event in log.events]

    def judge(self, got: Return) -> tuple[_Outcome, str]:
        if not got.is_stream or not got.events:
            return self._nothing(got)
        if got.events[0].event.event == "reset":
            return (
                _Outcome.DOUBTFUL,
                "the server said by an event `reset` that its history does not go back so far",
            )
        ahead = next((n for n, event in enumerate(got.events) if own_id(got.log, event)), None)
        if ahead is None:
            return self._without_ids(got.events)
        event_id = own_id(got.log, got.events[ahead])
        if event_id not in self._ids:
            return self._elsewhere(got, got.events[ahead])
        index = self._ids.index(event_id)
        if 0 < ahead <= index and say_the_same(
            got.events[:ahead], self._log.events[index - ahead :]
        ):
            # Events without ids that the first stream had in the same place. Others are greetings.
            index, ahead = index - ahead, 0
        return self._at(index, got, ahead)

    def _nothing(self, got: Return) -> tuple[_Outcome, str]:
        rest = f"though {counted(len(self._log.events) - self._place - 1, 'event')} were to come"
        if got.status is not None and not got.is_stream:
            return _Outcome.WRONG, f"the server answered {got.status}, {rest}"
        if got.is_waiting:
            return _Outcome.UNKNOWN, "nothing came while the doctor waited"
        seconds = span(got.recording.ended_seconds or 0)
        return (
            _Outcome.WRONG,
            f"no event came, {rest}: after {seconds} {got.recording.ending.value}",
        )

    def _at(self, index: int, got: Return, ahead: int) -> tuple[_Outcome, str]:
        """Judge a reader whose first event was there before.

        index: of that event in the first stream
        ahead: its index among those that the reader got
        """
        place, number = self._place, index + 1
        if index == place + 1:
            return self._next(got, got.events[ahead:])
        if index <= place:
            repeated = counted(place - index + 1, "event")
            again = (
                "the stream starts over" if index == 0 and place else f"event {number} comes again"
            )
            return _Outcome.WRONG, f"{again}, so {repeated} are had twice"
        lost = counted(index - place - 1, "event")
        if self._is_live and index == len(self._ids) - 1:
            return (
                _Outcome.DOUBTFUL,
                f"only the newest event comes ({number}), and {lost} before it are lost",
            )
        return _Outcome.WRONG, f"event {number} comes next, so {lost} are lost"

    def _next(self, got: Return, events: tuple[TimedEvent, ...]) -> tuple[_Outcome, str]:
        """Compare the events that follow the right one, as far as the first stream had them."""
        expected = self._log.events[self._place + 1 :]
        for event, other in zip(events, expected, strict=False):
            event_id, other_id = own_id(got.log, event), own_id(self._log, other)
            if event_id != other_id:
                what = (
                    f"behind the next event, {_shown(event_id)} came in place of {_shown(other_id)}"
                )
                return _Outcome.WRONG, what
            if not is_same(event, other):
                data = shortened(event.event.data, 40)
                return (
                    _Outcome.DOUBTFUL,
                    f"{_shown(event_id)} came with other data than before ({data})",
                )
        return _Outcome.EXACT, "exactly the next event came"

    def _elsewhere(self, got: Return, first: TimedEvent) -> tuple[_Outcome, str]:
        """Judge a reader whose first event has an id that the first stream did not have."""
        number, last = number_of(first.event.id), number_of(self._log.events[-1].event.id)
        here = number_of(self._log.events[self._place].event.id)
        if begins_as(got.events, self._log.events):
            return (
                _Outcome.WRONG,
                "the stream starts over with other ids, so all that was had comes again",
            )
        if self._is_live and number and last and here and number > last:
            gap = number[0] - here[0] - 1
            lost = (
                f"{counted(gap, 'event')} between are lost"
                if gap > 0
                else "what was sent between is lost"
            )
            return (
                _Outcome.DOUBTFUL,
                f"the live stream goes on with {first.event.id!r}, without a history: {lost}",
            )
        return self._by_data(
            got.events, f"with the id {shortened(first.event.id, 30)}, which was not there before"
        )

    def _without_ids(self, events: tuple[TimedEvent, ...]) -> tuple[_Outcome, str]:
        following = slice(self._place + 1, self._place + 1 + len(events))
        if not any(self._ids[following]) and say_the_same(events, self._log.events[following]):
            return _Outcome.EXACT, "exactly the next event came"
        return self._by_data(events, "without an id")

    def _by_data(self, events: tuple[TimedEvent, ...], how: str) -> tuple[_Outcome, str]:
        if say_the_same(events, self._log.events[self._place + 1 :]):
            return _Outcome.DOUBTFUL, f"the right event comes, but {how}"
        if begins_as(events, self._log.events):
            return _Outcome.WRONG, "the stream starts over, so all that was had comes again"
        return _Outcome.DOUBTFUL, f"an event comes {how}; whether others are lost is not known"

    @property
    def _is_live(self) -> bool:
        return self._log.recording.ending is Ending.OPEN


def _shown(event_id: str | None) -> str:
    return "an event without an id" if not event_id else f"the id {shortened(event_id, 30)}"
