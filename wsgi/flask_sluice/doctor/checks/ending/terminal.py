"""The terminal event: whether a reader knows that it has everything, and what it does if it does not know."""

from flask_sluice.doctor.checks.ending.making import make
from flask_sluice.doctor.checks.meaning import error_at, terminal_index
from flask_sluice.doctor.checks.reconnecting import Return, begins_as, come_back
from flask_sluice.doctor.checks.wording import counted, shortened, span
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies import ending as remedies
from flask_sluice.doctor.remedies.resuming import NOT_204_AFTER_THE_END
from flask_sluice.doctor.report import Check

_NAME = "terminal-event"
_FEW_EVENTS = 3
_SAY_DONE = (*remedies.TERMINAL_EVENT_MISSING, *NOT_204_AFTER_THE_END)
_MISSING = {
    "data: [DONE]": remedies.DONE_MISSING,
    "event: message_stop": remedies.MESSAGE_STOP_MISSING,
    "event: response.completed": remedies.RESPONSE_MISSING,
}


def terminal_event(examination: Examination) -> Check:
    """A stream of an API ends as the API says; an EventSource is told to stop, or it comes back."""
    log, preset = examination.log, examination.preset
    place = terminal_index(log, preset)
    if place is not None:
        event = log.events[place].event
        sign = shortened(event.data if event.event == "message" else f"event: {event.event}")
        return make.ok(_NAME, f"Event {place + 1} of {len(log.events)} says the end: {sign}.")
    if reason := _why_none_is_due(log, preset):
        return make.skipped(_NAME, reason)
    if preset.must_end_with:
        return _missing(log, preset)
    if preset.request().method != "GET":
        return make.ok(
            _NAME,
            f"The body's end is the only sign after {counted(len(log.events), 'event')}; for a POST, which no EventSource "
            "sends, it is enough.",
        )
    return _without_a_sign(examination, log)


def _why_none_is_due(log: EventLog, preset: Preset) -> str:
    if log.events and error_at(log, preset, len(log.events) - 1):
        return "The stream ended with an error event, behind which none is due."
    if log.recording.ending is Ending.OPEN:
        return f"The stream was still going on after {counted(len(log.events), 'event')}."
    if not log.recording.has_proper_end:
        return "The stream was cut before its end; see body-end."
    return ""


def _missing(log: EventLog, preset: Preset) -> Check:
    finished = any(preset.is_last_of_content(event.event) for event in log.events)
    evidence = (
        f"None of {counted(len(log.events), 'event')} is the terminal one ({preset.must_end_with})"
    )
    last = f"; the last was {shortened(log.events[-1].event.data)}" if log.events else ""
    meaning = "Nothing tells a client whether the answer is whole"
    if finished:
        meaning = (
            "The content was complete by its own finish, but the API's clients wait for the end"
        )
        if preset.must_end_with == "data: [DONE]":
            meaning += ": async-openai reports an error, and asks again"
    return make.fault(
        _NAME,
        f"{evidence}{last}. {meaning}.",
        _MISSING.get(preset.must_end_with, remedies.RESULT_MISSING),
        content_finished=finished,
    )


def _without_a_sign(examination: Examination, log: EventLog) -> Check:
    """Judge an ended stream by what an EventSource gets, which comes back after every end."""
    examination.tell("coming back as an EventSource does")
    last_id = log.events[-1].event.id if log.events else ""
    second = come_back(examination, last_id, _FEW_EVENTS)
    after = f"The stream ended after {counted(len(log.events), 'event')} without a terminal one, so an EventSource comes back"
    if second.status == 204:
        return make.ok(_NAME, f"{after}, and is told by 204 that this was all.")
    if not second.is_stream and second.status is not None:
        return make.warning(
            _NAME,
            f"{after}, and is refused with {second.status}: it stops, but reports an error after a stream that was complete.",
            _SAY_DONE,
        )
    if begins_as(second.events, log.events):
        return _repeats(log, second, after)
    if second.events:
        return make.ok(
            _NAME,
            f"{after}, and gets other events than before: a stream that goes on from connection to connection.",
        )
    if second.has_ended_empty:
        return make.warning(
            _NAME,
            f"{after}, and gets a stream without events that ends at once: it does so again and again, until the page closes it.",
            _SAY_DONE,
        )
    waited = span(second.recording.read_seconds)
    return make.skipped(
        _NAME, f"{after}; what it then gets is not known: nothing came within {waited}."
    )


def _repeats(log: EventLog, second: Return, after: str) -> Check:
    same = min(len(second.events), len(log.events))
    return make.warning(
        _NAME,
        f"{after} and gets everything again: the second connection begins with the same {counted(same, 'event')}. "
        "Whether its readers close the stream by themselves is not known.",
        _SAY_DONE,
        repeated_events=same,
    )
