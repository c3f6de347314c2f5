"""The lines of the events: names of fields, ids, reconnection times, and the data as JSON."""

import json
import re
from collections import Counter
from typing import Any, NoReturn

from flask_sluice.doctor.checks.framing.making import make
from flask_sluice.doctor.checks.meaning import is_heartbeat
from flask_sluice.doctor.checks.wording import counted, shortened
from flask_sluice.doctor.events import BOM, EventLog, Line, TimedEvent
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies import framing as remedies
from flask_sluice.doctor.report import Check

_KNOWN = ("data", "event", "id", "retry")
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_FEWEST_JSON = 3


def fields(log: EventLog) -> Check:
    """Lines that are no field of the standard are ignored, and their text is lost."""
    name = "fields"
    lines = [line for line in log.whole_lines if _is_unknown(line)]
    if not lines:
        return make.ok(
            name, f"Only fields of the standard, in {counted(len(log.whole_lines), 'line')}."
        )
    misspelt = [line for line in lines if line.field.strip().lower() in _KNOWN]
    documents = [line for line in lines if line.text.lstrip().startswith((b"{", b"[", b"<"))]
    texts = [
        line for line in lines if not _PLAIN_NAME.fullmatch(line.field) or b":" not in line.text
    ]
    first = _shown(lines[0])
    numbers = {"unknown_lines": len(lines)}
    if misspelt:
        return make.fault(
            name,
            f"{misspelt[0].field!r}, with which {counted(len(misspelt), 'line')} like it begin, is not a field's name: the standard "
            f"wants it in small letters and without spaces, and ignores the line ({_shown(misspelt[0])}).",
            remedies.UNKNOWN_FIELDS,
            **numbers,
        )
    if documents:
        return make.fault(
            name,
            f"JSON or HTML without `data:` before it, in {counted(len(documents), 'line')}, the first at byte "
            f"{documents[0].start} ({_shown(documents[0])}). Clients ignore them.",
            remedies.NOT_JSON,
            **numbers,
        )
    if texts:
        return make.fault(
            name,
            f"{counted(len(texts), 'line')} of text without `data:` before it, the first at byte {texts[0].start} "
            f"({_shown(texts[0])}). Clients lose this text: each line of an event's data needs its own `data:`.",
            remedies.NEWLINES_IN_DATA,
            **numbers,
        )
    if not log.events:
        return make.fault(
            name,
            f"{counted(len(lines), 'line')} and not one event: the first is {first}.",
            remedies.UNKNOWN_FIELDS,
            **numbers,
        )
    names = ", ".join(dict.fromkeys(repr(line.field) for line in lines))
    return make.warning(
        name,
        f"The standard does not know the fields of {counted(len(lines), 'line')} ({shortened(names)}). Clients ignore "
        "them.",
        remedies.UNKNOWN_FIELDS,
        **numbers,
    )


def _is_unknown(line: Line) -> bool:
    # A line that begins with a byte order mark has a check of its own.
    is_field = line.field in _KNOWN or line.is_comment or line.text.startswith(BOM)
    return bool(line.text) and not is_field


def _shown(line: Line) -> str:
    return shortened(line.text[:400].decode("utf-8", "replace"))


def ids(log: EventLog) -> Check:
    """An id has to come back to the server as it was sent."""
    name = "ids"
    lines = [line for line in log.whole_lines if line.field == "id"]
    if not lines:
        return make.skipped(name, "No event has an id.")
    with_nul = [line for line in lines if b"\0" in line.value]
    if with_nul:
        return make.fault(
            name,
            f"NUL stands in {len(with_nul)} of {counted(len(lines), 'id')}, the first {_shown(with_nul[0])}. The standard ignores "
            "such an id, and a reader that reconnects gets the events since the id before it again.",
            remedies.ID_WITH_NUL,
            ids_with_nul=len(with_nul),
        )
    altered = [line for line in lines if not _survives_a_header(line.value)]
    if altered:
        return make.warning(
            name,
            f"A Last-Event-ID header does not bring back {len(altered)} of {counted(len(lines), 'id')} as they were, the first "
            f"{_shown(altered[0])}: spaces at its ends are trimmed, and fetch-event-source 2.0 cannot send characters beyond "
            "Latin-1.",
            remedies.ID_NOT_ASCII,
            altered_ids=len(altered),
        )
    empty = [line for line in lines if not line.value]
    if empty and len(empty) < len(lines):
        return make.warning(
            name,
            f"{counted(len(empty), 'empty id')} among {len(lines)}: a reader that reconnects after one sends no Last-Event-ID, "
            "and starts over.",
            remedies.EMPTY_ID,
            empty_ids=len(empty),
        )
    return make.ok(name, f"{counted(len(lines), 'id')}, which come back as they are sent.")


def _survives_a_header(value: bytes) -> bool:
    return value == value.strip(b" \t") and value.decode("utf-8", "replace").isascii()


def retry(log: EventLog) -> Check:
    """The standard takes a reconnection time of ASCII digits only."""
    name = "retry"
    lines = [line for line in log.whole_lines if line.field == "retry"]
    if not lines:
        return make.skipped(name, "The stream sets no reconnection time.")
    wrong = [line for line in lines if not re.fullmatch(rb"[0-9]+", line.value)]
    if wrong:
        return make.warning(
            name,
            f"{_shown(wrong[0])} is not a whole number of milliseconds ({len(wrong)} of {counted(len(lines), 'line')}). The "
            "standard ignores it, and fetch-event-source 2.0 takes what parseInt makes of it.",
            remedies.RETRY_NOT_DIGITS,
            wrong_retry_lines=len(wrong),
        )
    return make.ok(name, f"{counted(len(lines), 'line')}, all of digits.")


def json_data(log: EventLog, preset: Preset) -> Check:
    """Where events carry JSON, each has to be whole."""
    name = "json"
    parsed = [
        (number, event.event, *_parse(event.event.data))
        for number, event in enumerate(log.events, 1)
        if not _may_be_text(event, preset)
    ]
    if not preset.data_is_json:
        types = _types_of_json([(event.event, value) for _, event, value, _ in parsed])
        parsed = [each for each in parsed if each[1].event in types]
    if not parsed:
        return make.skipped(name, "The data is not JSON, and need not be.")
    wrong = [(number, event, why) for number, event, _, why in parsed if why]
    if not wrong:
        return make.ok(name, f"JSON is the data of {counted(len(parsed), 'event')}.")
    number, event, why = wrong[0]
    evidence = (
        f"The data of {len(wrong)} of {counted(len(parsed), 'event')} is not JSON; the first is event {number} "
        f"({shortened(event.data)}): {why}."
    )
    numbers = {"events_without_json": len(wrong)}
    if preset.data_is_json:
        return make.fault(name, evidence, remedies.NOT_JSON, **numbers)
    doubt = "Whether they are meant so is not known."
    return make.warning(name, f"{evidence} {doubt}", remedies.NOT_JSON, **numbers)


def _types_of_json(events: list[tuple[str, Any]]) -> set[str]:
    """The types of events whose data is JSON for the most part. Others may carry text, such as a greeting."""
    counts = Counter(kind for kind, _ in events)
    of_json = Counter(kind for kind, value in events if isinstance(value, dict | list))
    return {
        kind for kind, count in of_json.items() if count >= max(_FEWEST_JSON, 0.8 * counts[kind])
    }


def _may_be_text(event: TimedEvent, preset: Preset) -> bool:
    if event.event.data.strip() == "[DONE]":
        return True
    return not preset.data_is_json and (preset.is_terminal(event.event) or is_heartbeat(event))


def _parse(data: str) -> tuple[Any, str]:
    """Return the value, and why the text is not JSON; JavaScript's parser takes no NaN and Infinity."""
    try:
        return json.loads(data, parse_constant=_refuse), ""
    except RecursionError:
        return None, "it is nested too deeply"
    except ValueError as error:
        return None, str(error) if data else "it is empty"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON, and JSON.parse refuses it")
