"""How the stream ends: what readers can tell of it, and what errors look like."""

from collections.abc import Iterator

from flask_sluice.doctor.checks.ending import body, errors, terminal
from flask_sluice.doctor.checks.ending.making import make
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.report import Check


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the end."""
    log, preset = examination.log, examination.preset
    if log.recording.decoding_problem:
        yield make.skipped(
            "terminal-event", f"The events cannot be read: {log.recording.decoding_problem}."
        )
    else:
        yield errors.error_status(log, preset)
        yield errors.error_after(log, preset)
        yield terminal.terminal_event(examination)
    yield body.body_end(log, preset)
    yield body.truncation_visible(log)
    yield errors.error_before(examination)
