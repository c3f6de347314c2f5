"""The end of the body, and whether a reader can tell it from a cut."""

from flask_sluice.doctor.checks.ending.making import make
from flask_sluice.doctor.checks.ending.silent_cut import cut_in_silence
from flask_sluice.doctor.checks.meaning import terminal_index
from flask_sluice.doctor.checks.wording import counted, span
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies import ending as remedies
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.remedies.timeouts import CUT_IN_SILENCE, WHOLE, names_of, who_cuts_after
from flask_sluice.doctor.report import Check

_CUTS = {
    Ending.TRUNCATED: "a process that was killed, or an exception in it",
    Ending.RESET: "a process that was killed, or the time limit of a proxy or firewall",
    Ending.STREAM_RESET: "a proxy that has lost its upstream",
    Ending.GOAWAY: "a proxy that is reloaded, or its limit for a connection",
    Ending.NOT_HTTP: "something that wrote into the body besides the answer",
}
_STAYS_OPEN_SECONDS = 1.0


def body_end(log: EventLog, preset: Preset) -> Check:
    """A body has to end as its framing says (RFC 9112, section 8; RFC 9113, section 8.1)."""
    name = "body-end"
    recording = log.recording
    ending, seconds = recording.ending, recording.ended_seconds or 0.0
    events = counted(len(log.events), "event")
    numbers = {"ended_seconds": round(seconds, 3), "events": len(log.events)}
    if ending is Ending.OPEN:
        return _still_open(log, preset) or make.skipped(
            name, f"The stream had not ended when the doctor stopped reading, after {events}."
        )
    if ending is Ending.COMPLETE:
        how = f"{_mark_of(recording)}, after {span(seconds)} and {events}"
        return make.ok(name, f"The body ended properly: {how}.", **numbers)
    has_sign = terminal_index(log, preset) is not None
    if ending is Ending.UNMARKED:
        return _unmarked(log, has_sign)
    detail = f" ({recording.detail})" if recording.detail else ""
    evidence = f"After {span(seconds)} and {events}, {ending.value}{detail}."
    if has_sign:
        return make.warning(
            name,
            f"{evidence} The terminal event had come, so clients that stop there do not notice; others report an error.",
            remedies.BODY_NOT_ENDED,
            **numbers,
        )
    why, mends = _cause_of(recording)
    return make.fault(name, f"{evidence} {why}", mends, **numbers)


def _cause_of(recording: Recording) -> tuple[str, tuple[Remedy, ...]]:
    """Return what has probably cut the body, in a sentence, and what mends it."""
    if cut := cut_in_silence(recording):
        return f"Nothing had come for {span(cut.seconds)}: see silence.cut.", CUT_IN_SILENCE
    if limits := who_cuts_after(recording.ended_seconds or 0.0, WHOLE):
        mends = (*(limit.remedy for limit in limits), *remedies.BODY_NOT_ENDED)
        return f"After this time {names_of(limits)} end each answer, busy or not.", mends
    is_goaway = recording.ending is Ending.GOAWAY
    mends = remedies.HTTP_2_CONNECTION_ENDED if is_goaway else remedies.BODY_NOT_ENDED
    return f"The usual cause is {_CUTS.get(recording.ending, 'not known')}.", mends


def _still_open(log: EventLog, preset: Preset) -> Check | None:
    """A body that stays open behind an API's terminal event holds a connection, and often a thread."""
    if not preset.must_end_with or terminal_index(log, preset) is None:
        return None
    waited = log.recording.read_seconds - log.events[-1].seconds
    if waited < _STAYS_OPEN_SECONDS:
        return None
    return make.warning(
        "body-end",
        f"The terminal event came after {span(log.events[-1].seconds)}, but {span(waited)} later the body had not ended: "
        "clients that read to the end of the body wait.",
        remedies.OPEN_AFTER_THE_END,
        open_seconds=round(waited, 3),
    )


def _unmarked(log: EventLog, has_sign: bool) -> Check:
    recording = log.recording
    seconds, count = recording.ended_seconds or 0.0, len(log.events)
    evidence = (
        f"The body over HTTP/{recording.http_version} has neither a length nor chunks: after {span(seconds)} and "
        f"{counted(count, 'event')} the connection was closed, and a reader cannot tell this from a server that died"
    )
    numbers = {"ended_seconds": round(seconds, 3), "events": count}
    if has_sign:
        return make.warning(
            "body-end",
            f"{evidence}, except by the terminal event, which had come.",
            remedies.CUT_LOOKS_WHOLE,
            **numbers,
        )
    return make.fault("body-end", f"{evidence}.", remedies.CUT_LOOKS_WHOLE, **numbers)


def truncation_visible(log: EventLog) -> Check:
    """Whether HTTP would tell a reader that the rest is missing."""
    name = "truncation-visible"
    recording = log.recording
    if recording.status is None:
        return make.skipped(name, "There was no answer.")
    mark = _mark_of(recording)
    if mark:
        return make.ok(name, f"A cut would be seen: the end is marked by {mark}.")
    if recording.ending is Ending.OPEN:
        return make.warning(
            name,
            f"Over HTTP/{recording.http_version} this body has neither a length nor chunks: if the stream ends one day, a reader "
            "cannot tell its end from a server that died.",
            remedies.CUT_LOOKS_WHOLE,
        )
    return make.skipped(name, "The end of the body has told it.")


def _mark_of(recording: Recording) -> str:
    """What marks the end of the body; "" if only the connection's end does."""
    if recording.http_version == "2":
        return "HTTP/2's END_STREAM"
    if "chunked" in (recording.header("Transfer-Encoding") or "").lower():
        return "the last chunk"
    length = recording.header("Content-Length")
    return f"Content-Length: {length}" if length is not None else ""
