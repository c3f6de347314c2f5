"""What a reader gets that has had everything, and comes back all the same, as an EventSource does."""

from flask_sluice.doctor.checks.meaning import terminal_index
from flask_sluice.doctor.checks.reconnecting import Return, begins_as, come_back, is_same
from flask_sluice.doctor.checks.resuming.ids import own_id
from flask_sluice.doctor.checks.resuming.making import make
from flask_sluice.doctor.checks.wording import shortened
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.remedies.resuming import NOT_204_AFTER_THE_END
from flask_sluice.doctor.report import Check

_NAME = "after-the-end"


def after_the_end(examination: Examination) -> Check:
    """204 stops an EventSource (WHATWG HTML, section 9.2.3); anything else lets it come back again."""
    log = examination.log
    if not log.recording.has_proper_end:
        return make.skipped(_NAME, "The stream did not end while the doctor read it.")
    last_id = log.events[-1].event.id
    if not last_id:
        return make.skipped(
            _NAME, "The last event has no id, by which a reader could say that it has had all."
        )
    examination.tell("coming back after the end")
    has_sign = terminal_index(log, examination.preset) is not None
    return _judge(come_back(examination, last_id, 1), log, has_sign)


def _judge(got: Return, log: EventLog, has_sign: bool) -> Check:
    """has_sign: the stream had a terminal event"""
    last_id = shortened(log.events[-1].event.id, 30)
    who = f"A reader that comes back with the last id ({last_id})"
    if not got.is_stream:
        return _no_stream(got, who)
    if got.has_ended_empty:
        return _empty(log, who, has_sign)
    if not got.events:
        return make.skipped(
            _NAME, f"{who} gets a stream in which nothing came while the doctor waited."
        )
    if has_sign and _is_last_without_id(got, log):
        return make.ok(
            _NAME, f"{who} gets nothing but the terminal event again, which tells it to close."
        )
    if _is_old(got, log):
        return _again(who, has_sign, got.events[0].event.data)
    return make.ok(
        _NAME, f"{who} gets new events: the stream goes on from connection to connection."
    )


def _is_last_without_id(got: Return, log: EventLog) -> bool:
    """Whether the stream's last event comes, which has no id: the server cannot know whether the reader has had it."""
    first = got.events[0]
    return own_id(got.log, first) is None and is_same(first, log.events[-1])


def _is_old(got: Return, log: EventLog) -> bool:
    """Whether the reader had the event before: by its id, or, if it has none, by what it says."""
    first = got.events[0]
    event_id = own_id(got.log, first)
    if event_id is None:
        return any(is_same(first, event) for event in log.events)
    known = {event.event.id for event in log.events}
    return event_id in known or begins_as(got.events, log.events)


def _no_stream(got: Return, who: str) -> Check:
    if got.status == 204:
        return make.ok(_NAME, f"{who} gets 204, which stops an EventSource.")
    if got.status is None:
        return make.warning(
            _NAME, f"{who} gets no answer: {got.recording.ending.value}.", NOT_204_AFTER_THE_END
        )
    evidence = f"{who} gets {got.status}"
    if got.status >= 500:
        return make.warning(
            _NAME, f"{evidence}, as if the server had failed.", NOT_204_AFTER_THE_END
        )
    return make.warning(
        _NAME,
        f"{evidence}: an EventSource stops, but reports an error, where 204 would stop it quietly.",
        NOT_204_AFTER_THE_END,
    )


def _empty(log: EventLog, who: str, has_sign: bool) -> Check:
    times = [event.event.retry for event in log.events if event.event.retry is not None]
    seconds = times[-1] / 1000 if times else 3
    evidence = f"{who} gets a stream without events that ends at once"
    if has_sign:
        return make.ok(
            _NAME,
            f"{evidence}; the terminal event has told its readers to close. 204 would stop the others, too.",
        )
    return make.fault(
        _NAME,
        f"{evidence}, and no terminal event tells it to close: an EventSource asks again each {seconds:g} s, for ever.",
        NOT_204_AFTER_THE_END,
    )


def _again(who: str, has_sign: bool, data: str) -> Check:
    evidence = f"{who} gets events again that it had ({shortened(data)})"
    if has_sign:
        return make.warning(
            _NAME,
            f"{evidence}; only readers that close at the terminal event are spared.",
            NOT_204_AFTER_THE_END,
        )
    return make.fault(
        _NAME,
        f"{evidence}, and no terminal event tells it to close: an EventSource repeats the stream for ever.",
        NOT_204_AFTER_THE_END,
    )
