"""What the server sends while it has no event: how often, in which form, and what clients make of it."""

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from flask_sluice.doctor.events import EventLog, Line, TimedEvent
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.remedies.timeouts import SEND_COMMENTS
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("silence")

_LONG_SILENCE_SECONDS = 15.0
"""A stream that is silent for longer should say that it is still there."""
_OFTEN_ENOUGH_SECONDS = 30.0
"""Many products cut after 60 seconds; half of it leaves room for one keep-alive that is late."""
_OPENING_SECONDS = 1.0
"""A comment that comes sooner opens the stream, and is no answer to a silence."""
_KEEPALIVE_NAMES = ("ping", "heartbeat", "keepalive", "keep-alive", "keep_alive", "hb")


@dataclass(frozen=True)
class KeepAlive:
    """Bytes that say nothing but that the stream is still there. form: "comment", "comment and blank line", …"""

    seconds: float
    form: str


_EFFECTS = {
    "comment": "no client is given it",
    "comment and blank line": (
        "browsers ignore it, but fetch-event-source, older openai-go and httpx-sse make an empty event of it"
    ),
    "empty event": "clients are given an event without data, and those that expect JSON fail with it",
    "event": "clients are given it, and have to know that it means nothing",
    "blank line": "no client is given it, but proxies see the bytes",
    "space": "parsers take it for a field without a name, and ignore it",
}


def check_keep_alives(examination: Examination) -> Check:
    """Return the check of what comes while there is no event."""
    log, preset = examination.log, examination.preset
    found = keep_alives_of(log, preset)
    longest = longest_silence(log, found)
    if not found:
        if longest >= _LONG_SILENCE_SECONDS:
            return _make.warning(
                "keep-alive",
                f"The stream was silent for {longest:.1f} s, and no keep-alive came. Proxies cut such a connection, most "
                "after 60 s, and clients cannot tell it from a broken one.",
                _remedies(examination),
                longest_silence_seconds=round(longest, 1),
            )
        return _make.skipped(
            "keep-alive",
            f"No keep-alive came, and none was due: the longest silence in {_read_seconds(log):.0f} s was "
            f"{longest:.1f} s. Read a stream that is silent for longer (--for SECONDS), or give --thorough.",
        )
    return _judge_keep_alives(examination, found)


def _judge_keep_alives(examination: Examination, found: list[KeepAlive]) -> Check:
    form = statistics.mode(keep_alive.form for keep_alive in found)
    interval = _interval(examination.log, found)
    numbers = {"form": form, "count": len(found), "interval_seconds": round(interval, 1)}
    evidence = (
        f"{len(found)} keep-alives (form: {form}) came, after {interval:.1f} s of silence as a rule"
    )
    effect = f"{_EFFECTS[form][0].upper()}{_EFFECTS[form][1:]}."
    is_wrong_form = form == "empty event" or (form == "event" and _breaks_json(examination, found))
    if interval > _OFTEN_ENOUGH_SECONDS:
        return _make.warning(
            "keep-alive",
            f"{evidence}, which is too late for proxies that cut after 30 or 60 s.",
            _remedies(examination),
            **numbers,
        )
    if is_wrong_form:
        return _make.warning(
            "keep-alive",
            f"{evidence}. {effect} A comment is given to none.",
            _remedies(examination),
            **numbers,
        )
    return _make.ok("keep-alive", f"{evidence}. {effect}", **numbers)


def _breaks_json(examination: Examination, found: list[KeepAlive]) -> bool:
    """Whether the stream's events are JSON for clients that do not look at the event's name."""
    return examination.preset.name == "openai" and bool(found)


def keep_alives_of(log: EventLog, preset: Preset) -> list[KeepAlive]:
    """Return the keep-alives of the stream, in order. A comment that comes with an event, or opens the stream, is none."""
    is_json = _has_json_events(log)
    pings = [event for event in log.events if _is_ping(event, is_json=is_json)]
    pings = [event for event in pings if not preset.is_terminal(event.event)]
    found = [
        KeepAlive(event.seconds, "event" if event.event.data.strip() else "empty event")
        for event in pings
    ]
    # A comment belongs to the block of the event after it, however much later that comes.
    taken = {line.seconds for line in log.lines if line.text.strip() and not line.is_comment}
    taken |= {event.seconds for event in log.events}
    lines = [line for line in log.lines if line.seconds not in taken and not _opens(line, log)]
    found += (
        KeepAlive(line.seconds, _form_of_comment(line, log)) for line in lines if line.is_comment
    )
    found += (
        KeepAlive(line.seconds, "space") for line in lines if line.text and not line.text.strip()
    )
    found += _blank_lines(lines, {item.seconds for item in found})
    return sorted(found, key=lambda item: item.seconds)


def _has_json_events(log: EventLog) -> bool:
    """Whether the events are JSON. In a stream of bare text an event without data may be a token."""
    texts = [event.event.data.lstrip()[:1] for event in log.events if event.event.data.strip()]
    return bool(texts) and sum(text in ("{", "[") for text in texts) * 2 > len(texts)


def _is_ping(event: TimedEvent, *, is_json: bool) -> bool:
    named = event.event.event.lower() in _KEEPALIVE_NAMES
    return named or (is_json and not event.event.data.strip() and event.event.event == "message")


def _opens(line: Line, log: EventLog) -> bool:
    return line.seconds == log.recording.first_byte_seconds and line.seconds < _OPENING_SECONDS


def _form_of_comment(comment: Line, log: EventLog) -> str:
    following = next((line for line in log.lines if line.start == comment.end), None)
    is_blank = following is not None and not following.text and bool(following.ending)
    return "comment and blank line" if is_blank else "comment"


def _blank_lines(lines: list[Line], taken: set[float]) -> Iterator[KeepAlive]:
    """Blank lines that came by themselves, and end no event."""
    for seconds, group in itertools.groupby(lines, key=lambda line: line.seconds):
        if seconds not in taken and not any(line.text for line in group):
            yield KeepAlive(seconds, "blank line")


def _arrival_seconds(log: EventLog) -> list[float]:
    main = log.recording
    seconds = [main.head_seconds or 0.0, *(arrival.seconds for arrival in main.arrivals)]
    return [*seconds, main.ended_seconds] if main.ended_seconds is not None else seconds


def longest_silence(log: EventLog, found: list[KeepAlive]) -> float:
    """The longest time without an event."""
    quiet = {item.seconds for item in found}
    seconds = [0.0, *(event.seconds for event in log.events if event.seconds not in quiet)]
    seconds.append(_read_seconds(log))
    return max(after - before for before, after in itertools.pairwise(seconds))


def _interval(log: EventLog, found: list[KeepAlive]) -> float:
    """How long nothing comes before a keep-alive does, as a rule."""
    arrivals = sorted({0.0, *_arrival_seconds(log)})
    waits = []
    for item in found:
        before = [seconds for seconds in arrivals if seconds < item.seconds - 0.001]
        waits.append(item.seconds - (before[-1] if before else 0.0))
    return statistics.median(waits)


def _read_seconds(log: EventLog) -> float:
    main = log.recording
    return main.read_seconds if main.ended_seconds is None else main.ended_seconds


def _remedies(examination: Examination) -> tuple[Remedy, ...]:
    return first_for(SEND_COMMENTS, products_of(examination.main.headers))
