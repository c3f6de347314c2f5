"""The bytes of the body: byte order marks, line endings, and UTF-8."""

import json
import re
from collections import Counter

from flask_sluice.doctor.checks.framing.making import make
from flask_sluice.doctor.checks.wording import counted
from flask_sluice.doctor.events import BOM, EventLog
from flask_sluice.doctor.remedies import framing as remedies
from flask_sluice.doctor.report import Check

_NAMES = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}
_DOUBLES = (b"\n\n", b"\r\n\r\n", b"\r\r")
_MOST_BAD_PLACES = 100
_HALF_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def byte_order_mark(log: EventLog) -> Check:
    """One mark at the start is skipped by the standard; each other one is part of a field's name."""
    name = "byte-order-mark"
    misplaced = [line for line in log.whole_lines if line.text.startswith(BOM)]
    if misplaced:
        line = misplaced[0]
        lost = line.text.removeprefix(BOM)[:40].decode("utf-8", "replace")
        return make.fault(
            name,
            f"A byte order mark stands before {counted(len(misplaced), 'line')} inside the body, the first at byte "
            f"{line.start}. Only the first mark of a body is skipped, so clients ignore the line ({lost!r}).",
            remedies.BYTE_ORDER_MARK,
            misplaced_marks=len(misplaced),
        )
    if not log.has_bom:
        return make.ok(name, "The body begins without a byte order mark.")
    first = log.whole_lines[0] if log.whole_lines else None
    if first is None or not first.text or first.is_comment:
        return make.ok(name, "The body begins with a byte order mark, but no field follows it.")
    return make.warning(
        name,
        f"The body begins with a byte order mark (EF BB BF). The standard skips it, but openai-python 3.3 and httpx-sse "
        f"0.4 take it for a part of the name {first.field!r} and lose that field.",
        remedies.BYTE_ORDER_MARK,
    )


def line_endings(log: EventLog) -> Check:
    """LF or CRLF throughout is read alike everywhere."""
    name = "line-endings"
    lines = log.whole_lines
    if lines and lines[-1].ending == b"\r" and not log.recording.has_proper_end:
        lines = lines[:-1]  # The LF that belongs to it may not have come yet.
    counts = Counter(_NAMES[line.ending] for line in lines if line.ending)
    shown = ", ".join(f"{count} × {kind}" for kind, count in counts.most_common())
    numbers = {f"{kind.lower()}_lines": count for kind, count in counts.items()}
    if not counts:
        return make.skipped(name, "No line was complete.")
    if "CR" in counts:
        return make.warning(
            name,
            f"The line endings are {shown}. CR alone ends a line by the standard, but Go's bufio.Scanner (openai-go, "
            "langchaingo), go-openai and `curl | grep` wait for LF.",
            remedies.LINE_ENDINGS,
            **numbers,
        )
    if len(counts) > 1:
        odd = _odd_separators(log)
        late = (
            f" Two different ones end {counted(odd, 'event')}, which sse.js 2.8 and openai-node 7.5 do not take for the end"
            if odd
            else " Parsers that split the text at one kind of blank line do not find all events"
        )
        return make.warning(
            name, f"The line endings are mixed: {shown}.{late}.", remedies.LINE_ENDINGS, **numbers
        )
    return make.ok(name, f"All {shown}.", **numbers)


def _odd_separators(log: EventLog) -> int:
    """How many events end with two line ends of different kinds."""
    pairs = (log.lines_of(event)[-2:] for event in log.events)
    ends = (b"".join(line.ending for line in pair) for pair in pairs)
    return sum(all(double not in end for double in _DOUBLES) for end in ends)


def encoding(log: EventLog) -> Check:
    """The standard knows UTF-8 only. A character may be split over arrivals, but not over events."""
    name = "encoding"
    bad = _bad_places(log)
    if bad:
        start, data = bad[0]
        return make.fault(
            name,
            f"Not UTF-8: {counted(len(bad), 'sequence')} of bytes, the first at byte {start} ({data.hex(' ')}"
            f"{_in_event(log, start)}). Browsers show U+FFFD instead; openai-python 3.3 raises UnicodeDecodeError.",
            remedies.INVALID_UTF_8,
            bad_sequences=len(bad),
            first_bad_byte=start,
        )
    broken = sum("\ufffd" in event.event.data for event in log.events)
    halves = sum(bool(_has_half_character(event.event.data)) for event in log.events)
    if broken or halves:
        kinds = []
        if broken:
            kinds.append(f"U+FFFD stands in {counted(broken, 'event')}")
        if halves:
            kinds.append(f"half of a surrogate pair (\\ud83d) in {counted(halves, 'event')}")
        return make.warning(
            name,
            f"The body is UTF-8, but {' and '.join(kinds)}: this is how a character looks that the server has split, "
            "unless the text means it.",
            remedies.INVALID_UTF_8,
            replacement_events=broken,
            half_pair_events=halves,
        )
    body = log.recording.body
    split = _split_characters(log)
    note = (
        f", and {counted(split, 'character')} split over two reads, which is right" if split else ""
    )
    return make.ok(
        name, f"All {len(body)} bytes are UTF-8{note}.", bytes=len(body), split_characters=split
    )


def _bad_places(log: EventLog) -> list[tuple[int, bytes]]:
    """Where the body is not UTF-8. Half a character at the end counts only if nothing more can come."""
    body = log.recording.body
    found: list[tuple[int, bytes]] = []
    start = 0
    while start < len(body) and len(found) < _MOST_BAD_PLACES:
        try:
            body[start:].decode("utf-8")
            break
        except UnicodeDecodeError as error:
            at, end = start + error.start, start + error.end
            is_unfinished = end == len(body) and error.reason == "unexpected end of data"
            if is_unfinished and not log.recording.has_proper_end:
                break
            found.append((at, body[at:end]))
            start = end
    return found


def _in_event(log: EventLog, place: int) -> str:
    for number, event in enumerate(log.events, 1):
        if event.start <= place < event.end:
            return f", in event {number}"
    return ""


def _has_half_character(data: str) -> bool:
    """Whether a JSON text has half of a surrogate pair. Two backslashes are one of the text's own."""
    if "\\u" not in data or not _HALF_SURROGATE.search(data.replace("\\\\", "")):
        return False
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _split_characters(log: EventLog) -> int:
    """How many arrivals begin within a character."""
    return sum(arrival.data[0] & 0xC0 == 0x80 for arrival in log.recording.decoded[1:])
