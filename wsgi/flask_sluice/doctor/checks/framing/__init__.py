"""How the bytes of the body are cut into lines and events: the standard's rules, and what clients make of them."""

from collections.abc import Iterator

from flask_sluice.doctor.checks.framing import blocks, clients, fields, text
from flask_sluice.doctor.checks.framing.making import make
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.report import Check


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the framing."""
    log, preset = examination.log, examination.preset
    if log.recording.decoding_problem:
        yield make.skipped(
            "encoding", f"The lines cannot be read: {log.recording.decoding_problem}."
        )
        return
    if not log.lines:
        yield make.skipped("fields", "Not one line came while the doctor read.")
        return
    yield text.byte_order_mark(log)
    yield text.line_endings(log)
    yield text.encoding(log)
    yield blocks.blank_lines(log)
    yield blocks.empty_events(log)
    yield fields.fields(log)
    yield fields.ids(log)
    yield fields.retry(log)
    yield fields.json_data(log, preset)
    yield clients.clients(log, preset)
