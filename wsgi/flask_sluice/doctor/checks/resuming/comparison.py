"""Compares what a reader got that came back with what followed in the first stream."""

import enum
from dataclasses import dataclass

from flask_sluice.doctor.checks.reconnecting import Return, begins_as, is_same, say_the_same
from flask_sluice.doctor.checks.resuming.ids import number_of, own_id
from flask_sluice.doctor.checks.wording import counted, shortened, span
from flask_sluice.doctor.events import EventLog, TimedEvent
from flask_sluice.doctor.http.recording import Ending
from flask_sluice.doctor.remedies import resuming as remedies
from flask_sluice.doctor.remedies.remedy import Remedy


class Outcome(enum.IntEnum):
    """What a cut did to a reader, the worst last."""

    EXACT = 0
    UNKNOWN = 1
    DOUBTFUL = 2
    WRONG = 3


@dataclass(frozen=True)
class Finding:
    """What a reader got after a cut, in words, and what mends it."""

    outcome: Outcome
    what: str
    remedies: tuple[Remedy, ...] = ()


EXACT = Finding(Outcome.EXACT, "exactly the next event came")
_IGNORED, _REPEATED, _GAP = remedies.LAST_EVENT_ID_IGNORED, remedies.REPEATED, remedies.GAP


class Comparison:
    """Judges one reader.

    log: the first stream
    place: the index of the last event of it that the reader had
    """

    def __init__(self, log: EventLog, place: int) -> None:
        self._log = log
        self._place = place
        self._ids = [own_id(log, event) for event in log.events]

    def judge(self, got: Return) -> Finding:
        if not got.is_stream or not got.events:
            return self._nothing(got)
        if got.events[0].event.event == "reset":
            what = "the server said by an event `reset` that its history does not go back so far"
            return Finding(Outcome.DOUBTFUL, what, _GAP)
        ahead = next((n for n, event in enumerate(got.events) if own_id(got.log, event)), None)
        if ahead is None:
            return self._without_ids(got.events)
        event_id = own_id(got.log, got.events[ahead])
        if event_id not in self._ids:
            return self._elsewhere(got, got.events[ahead])
        index = self._ids.index(event_id)
        before = self._log.events[index - ahead : index] if ahead <= index else ()
        if ahead and say_the_same(got.events[:ahead], before):
            # Events without ids that the first stream had in the same place. Others are greetings.
            return self._at(index - ahead, got, got.events)
        return self._at(index, got, got.events[ahead:])

    def _nothing(self, got: Return) -> Finding:
        followed = counted(len(self._log.events) - self._place - 1, "event")
        before = f"before {followed} that had followed"
        if got.status is not None and not got.is_stream:
            what = f"the server answered {got.status} {before}"
            return Finding(Outcome.WRONG, what, _IGNORED)
        if got.is_waiting:
            return Finding(Outcome.UNKNOWN, "nothing came while the doctor waited")
        ending = f"after {span(got.recording.ended_seconds or 0)} {got.recording.ending.value}"
        return Finding(Outcome.WRONG, f"no event came {before}: {ending}", _GAP)

    def _at(self, index: int, got: Return, events: tuple[TimedEvent, ...]) -> Finding:
        """Judge a reader whose first event was there before. index: of that event in the first stream"""
        place, number = self._place, index + 1
        if self._ids[index] and self._ids.count(self._ids[index]) > 1:
            what = f"{_shown(self._ids[index])} came next, which several events have"
            return Finding(Outcome.UNKNOWN, what)
        if index == place + 1:
            return self._next(got, events)
        if index <= place:
            twice = f"so the reader has {counted(place - index + 1, 'event')} twice"
            if index == 0 and place:
                return Finding(Outcome.WRONG, f"the stream starts over, {twice}", _IGNORED)
            return Finding(Outcome.WRONG, f"event {number} comes again, {twice}", _REPEATED)
        lost = f"the reader loses {counted(index - place - 1, 'event')}"
        if self._is_live and index == len(self._ids) - 1:
            what = f"only the newest event comes ({number}), and {lost} before it"
            return Finding(Outcome.DOUBTFUL, what, _GAP)
        return Finding(Outcome.WRONG, f"event {number} comes next, so {lost}", _GAP)

    def _next(self, got: Return, events: tuple[TimedEvent, ...]) -> Finding:
        """Compare the events that follow the right one, as far as the first stream had them."""
        expected = self._log.events[self._place + 1 :]
        for event, other in zip(events, expected, strict=False):
            event_id, other_id = own_id(got.log, event), own_id(self._log, other)
            if event_id != other_id:
                what = (
                    f"behind the next event, {_shown(event_id)} came in place of {_shown(other_id)}"
                )
                return Finding(Outcome.WRONG, what, _GAP)
            if not is_same(event, other):
                data = shortened(event.event.data, 40)
                what = f"{_shown(event_id)} came with other data than before ({data})"
                return Finding(Outcome.DOUBTFUL, what, _IGNORED)
        return EXACT

    def _elsewhere(self, got: Return, first: TimedEvent) -> Finding:
        """Judge a reader whose first event has an id that the first stream did not have."""
        if begins_as(got.events, self._log.events):
            what = "the stream starts over with other ids, so all that was had comes again"
            return Finding(Outcome.WRONG, what, _IGNORED)
        number, last = number_of(first.event.id), number_of(self._log.events[-1].event.id)
        if self._is_live and number and last and number > last:
            lost = counted(len(self._ids) - 1 - self._place, "event")
            goes_on = f"the live stream goes on with {first.event.id!r}, without a history"
            what = f"{goes_on}: the reader loses at least {lost} between"
            return Finding(Outcome.DOUBTFUL, what, _GAP)
        return self._by_data(
            got.events, f"with {_shown(first.event.id)}, which was not there before"
        )

    def _without_ids(self, events: tuple[TimedEvent, ...]) -> Finding:
        following = slice(self._place + 1, self._place + 1 + len(events))
        if not any(self._ids[following]) and say_the_same(events, self._log.events[following]):
            return EXACT
        return self._by_data(events, "without an id")

    def _by_data(self, events: tuple[TimedEvent, ...], how: str) -> Finding:
        if say_the_same(events, self._log.events[self._place + 1 :]):
            what = f"the right event comes, but {how}"
            return Finding(Outcome.DOUBTFUL, what, remedies.IDS_REPEATED)
        if begins_as(events, self._log.events):
            what = "the stream starts over, so all that was had comes again"
            return Finding(Outcome.WRONG, what, _IGNORED)
        what = f"an event comes {how}; whether others are lost is not known"
        return Finding(Outcome.DOUBTFUL, what, _GAP)

    @property
    def _is_live(self) -> bool:
        return self._log.recording.ending is Ending.OPEN


def _shown(event_id: str | None) -> str:
    return f"the id {shortened(event_id, 30)}" if event_id else "an event without an id"
