"""The end of the body, and whether a reader can tell it from a cut."""

from flask_sluice.doctor.checks.ending.making import make
from flask_sluice.doctor.checks.wording import counted, span
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies import ending as remedies
from flask_sluice.doctor.remedies.timeouts import WHOLE, names_of, who_cuts_after
from flask_sluice.doctor.report import Check

_CUTS = {
    Ending.TRUNCATED: (
        "a process that was killed or that closed the socket without the last chunk",
        remedies.CUT_IN_MID_STREAM,
    ),
    Ending.RESET: (
        "a process that was killed, or a proxy's or firewall's limit",
        remedies.CUT_IN_MID_STREAM,
    ),
    Ending.STREAM_RESET: (
        "a proxy that lost its upstream in the middle of the body",
        remedies.CUT_IN_MID_STREAM,
    ),
    Ending.GOAWAY: (
        "a proxy that reloads, or its limit of requests or time for a connection",
        remedies.HTTP_2_CONNECTION_ENDED,
    ),
    Ending.NOT_HTTP: (
        "an error page or a second answer that was written into the body",
        remedies.FOREIGN_BYTES,
    ),
}


def body_end(log: EventLog, preset: Preset) -> Check:
    """A body has to end as its framing says (RFC 9112, section 8; RFC 9113, section 8.1)."""
    name, recording = "body-end", log.recording
    ending, seconds = recording.ending, recording.ended_seconds or 0.0
    events = counted(len(log.events), "event")
    numbers = {"ended_seconds": round(seconds, 3), "events": len(log.events)}
    if ending is Ending.OPEN:
        return make.skipped(
            name, f"The stream had not ended when the doctor stopped reading, after {events}."
        )
    if ending is Ending.COMPLETE:
        how = f"{_mark_of(recording)}, after {span(seconds)} and {events}"
        return make.ok(name, f"The body ended properly: {how}.", **numbers)
    has_sign = any(preset.is_terminal(event.event) for event in log.events)
    if ending is Ending.UNMARKED:
        return _unmarked(log, has_sign)
    cause, changes = _CUTS.get(ending, ("", ()))
    detail = f" ({recording.detail})" if recording.detail else ""
    evidence = f"After {span(seconds)} and {events}, {ending.value}{detail}."
    if has_sign and _is_last_terminal(log, preset):
        return make.warning(
            name,
            f"{evidence} The terminal event had come, so clients that stop there do not notice; others report an error.",
            changes,
            **numbers,
        )
    limits = who_cuts_after(seconds, WHOLE) if changes is remedies.CUT_IN_MID_STREAM else ()
    if limits:
        evidence += f" Streams, busy or not, end after this time with {names_of(limits)}."
        changes = (*(limit.remedy for limit in limits), *changes)
    elif cause:
        evidence += f" Usually this is {cause}."
    return make.fault(name, evidence, changes, **numbers)


def _is_last_terminal(log: EventLog, preset: Preset) -> bool:
    return preset.is_terminal(log.events[-1].event)


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
            remedies.END_NOT_MARKED,
            **numbers,
        )
    return make.fault("body-end", f"{evidence}.", remedies.END_NOT_MARKED, **numbers)


def truncation_visible(log: EventLog) -> Check:
    """Whether HTTP would tell a reader that the rest is missing."""
    name, recording = "truncation-visible", log.recording
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
            remedies.END_NOT_MARKED,
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
