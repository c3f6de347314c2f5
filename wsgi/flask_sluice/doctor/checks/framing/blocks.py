"""The blocks of lines between blank lines: which become events, and which do not."""

import json
from collections.abc import Sequence

from flask_sluice.doctor.checks.framing.making import make
from flask_sluice.doctor.checks.wording import counted, shortened, span
from flask_sluice.doctor.events import EventLog, Line
from flask_sluice.doctor.remedies import framing as remedies
from flask_sluice.doctor.report import Check

_FEWEST_TIMES = 3
_ONE_WRITE_SECONDS = 0.2
"""The lines of one event are written at once; the network may tear them apart by a little."""


def blank_lines(log: EventLog) -> Check:
    """An event is given to the reader at its blank line, and is lost without one."""
    return _glued(log) or _unfinished(log)


def _glued(log: EventLog) -> Check | None:
    """Events without blank lines between them: clients wait for the end, and get them as one."""
    blocks = [*log.blocks, log.unfinished]
    is_alone = len(log.events) <= 1
    glued = [block for block in blocks if _is_glued(block, is_alone=is_alone)]
    if not glued:
        return None
    lines = _data_lines(glued[0])
    time = span(lines[-1].seconds - lines[0].seconds)
    what = (
        "without a blank line after each, no client sees an event"
        if glued[0] is log.unfinished
        else "without blank lines between them, clients see one event"
    )
    return make.fault(
        "blank-lines",
        f"One block holds {counted(len(lines), 'data line')} that are events of their own and came over {time}: {what}.",
        remedies.UNFINISHED_EVENT,
        glued_lines=len(lines),
        glued_blocks=len(glued),
    )


def _is_glued(block: Sequence[Line], *, is_alone: bool) -> bool:
    """Whether the lines of data are events of their own.

    is_alone: the stream has no other event, so that this is how it writes all of them
    """
    lines = _data_lines(block)
    if len(lines) < 2:
        return False
    if any(
        len({line.value for line in block if line.field == name}) > 1 for name in ("event", "id")
    ):
        return True
    if all(_is_document(line.value) for line in lines):
        return is_alone or lines[-1].value.strip() == b"[DONE]"
    times = len({line.seconds for line in lines})
    time = lines[-1].seconds - lines[0].seconds
    return is_alone and times >= max(_FEWEST_TIMES, len(lines) // 2) and time > _ONE_WRITE_SECONDS


def _is_document(value: bytes) -> bool:
    """Whether the data is a whole JSON object, or the end of OpenAI's streams."""
    if value.strip() == b"[DONE]":
        return True
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


def _unfinished(log: EventLog) -> Check:
    name = "blank-lines"
    if not log.recording.has_proper_end:
        if not log.blocks:
            return make.skipped(name, "No block of lines was complete.")
        return make.ok(
            name,
            f"{counted(len(log.blocks), 'block')} ended with a blank line, as far as was read.",
        )
    fields = [line for line in log.unfinished if not line.is_comment]
    data = _data_lines(log.unfinished)
    if data:
        size = log.unfinished[-1].end - log.unfinished[0].start
        return make.fault(
            name,
            f"The body ends without a blank line after its last event ({size} bytes, "
            f"{shortened(data[0].text.decode('utf-8', 'replace'))}). The standard discards such an event, and so do browsers.",
            remedies.UNFINISHED_EVENT,
            lost_bytes=size,
        )
    if any(line.field == "id" for line in fields):
        return make.warning(
            name,
            "The body ends without a blank line after an id, so a reader that reconnects does not send this id.",
            remedies.UNFINISHED_EVENT,
        )
    return make.ok(
        name,
        f"{counted(len(log.blocks), 'block')} ended with a blank line, and nothing but "
        f"{counted(len(log.unfinished), 'line')} without data followed."
        if log.unfinished
        else f"{counted(len(log.blocks), 'block')} ended with a blank line.",
    )


def empty_events(log: EventLog) -> Check:
    """A block without data dispatches nothing, whatever its type."""
    name = "empty-events"
    if not log.blocks:
        return make.skipped(name, "No block of lines was complete.")
    silent = [block for block in log.blocks if _names_an_event(block) and not _data_lines(block)]
    if silent:
        shown = next(line.value for line in silent[0] if line.field == "event")
        return make.warning(
            name,
            f"{counted(len(silent), 'event')} without a data line, the first of type "
            f"{shortened(shown.decode('utf-8', 'replace'))}. The standard drops them: no listener in a browser is called.",
            remedies.EVENT_WITHOUT_DATA,
            dropped_events=len(silent),
        )
    marks = [block for block in log.blocks if _fields(block) and not _data_lines(block)]
    note = (
        f" Nothing but an id or a reconnection time stands in {counted(len(marks), 'block')}."
        if marks
        else ""
    )
    return make.ok(name, f"{counted(len(log.events), 'event')}, each with data.{note}")


def _names_an_event(block: Sequence[Line]) -> bool:
    return any(line.field == "event" and line.value for line in block)


def _fields(block: Sequence[Line]) -> list[Line]:
    return [line for line in block if line.field in ("data", "event", "id", "retry")]


def _data_lines(block: Sequence[Line]) -> list[Line]:
    return [line for line in block if line.field == "data"]
