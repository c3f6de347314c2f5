"""Whether a reader that has lost its connection can go on where it was."""

from collections.abc import Iterator

from flask_sluice.doctor.checks.resuming import after_the_end, ids, last_event_id
from flask_sluice.doctor.checks.resuming.making import make
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.report import Check


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of resuming."""
    log, preset = examination.log, examination.preset
    if reason := _why_not(examination):
        yield make.skipped("last-event-id", reason)
        return
    yield ids.ids(log, preset)
    yield last_event_id.last_event_id(examination)
    yield after_the_end.after_the_end(examination)
    yield ids.retry(log)


def _why_not(examination: Examination) -> str:
    log, preset = examination.log, examination.preset
    if log.recording.decoding_problem:
        return f"The events cannot be read: {log.recording.decoding_problem}."
    if preset.resume_request() is None:
        return "This API has no way to go on with a stream: each connection asks the model anew, and costs tokens."
    if not log.events:
        return "No event came after which a reader could come back."
    if preset.request().method != "GET" and not any(event.event.id for event in log.events):
        return "The stream answers a POST and its events have no ids, so it is not meant to be resumed."
    return ""
