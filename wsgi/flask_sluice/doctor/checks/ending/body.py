"""The end of the body, and whether a reader can tell it from a cut."""

from flask_sluice.doctor.checks.ending.making import make
from flask_sluice.doctor.checks.wording import counted, span
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.report import Check

_CHUNKED = (
    Remedy(
        "nginx, in the location of the stream",
        'proxy_http_version 1.1;\nproxy_set_header Connection "";',
    ),
    Remedy(
        "Apache, in the virtual host",
        "# remove: SetEnv force-proxy-request-1.0 1\n# remove: SetEnv downgrade-1.0 1",
    ),
    Remedy("the server", "answer HTTP/1.1 requests with HTTP/1.1 and Transfer-Encoding: chunked"),
)
_CUTS = {
    Ending.TRUNCATED: (
        "a process that was killed or that closed the socket without the last chunk",
        Remedy(
            "the server",
            "end the body on every path; a worker's timeout must exceed the longest stream",
        ),
    ),
    Ending.RESET: (
        "a process that was killed, or a proxy's or firewall's limit",
        Remedy(
            "each proxy on the way", "read timeouts longer than the longest pause of the stream"
        ),
    ),
    Ending.STREAM_RESET: (
        "a proxy that lost its upstream in the middle of the body",
        Remedy("the proxy's error log", "look for the upstream that closed early or timed out"),
    ),
    Ending.GOAWAY: (
        "a proxy that reloads, or its limit of requests or time for a connection",
        Remedy("nginx, in the server block", "keepalive_time 1h;\nkeepalive_requests 10000;"),
    ),
    Ending.NOT_HTTP: (
        "an error page or a second answer that was written into the body",
        Remedy("the server", "write nothing to the socket besides the framework's own answer"),
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
    cause, remedy = _CUTS.get(ending, ("", None))
    detail = f" ({recording.detail})" if recording.detail else ""
    evidence = f"After {span(seconds)} and {events}, {ending.value}{detail}."
    remedies = [remedy] if remedy else []
    if has_sign and _is_last_terminal(log, preset):
        return make.warning(
            name,
            f"{evidence} The terminal event had come, so clients that stop there do not notice; others report an error.",
            remedies,
            **numbers,
        )
    return make.fault(
        name, f"{evidence} Usually this is {cause}." if cause else evidence, remedies, **numbers
    )


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
            _CHUNKED,
            **numbers,
        )
    return make.fault("body-end", f"{evidence}.", _CHUNKED, **numbers)


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
            _CHUNKED,
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
