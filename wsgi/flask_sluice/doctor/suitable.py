"""Tells whether the URL gave a stream at all."""

import json
from urllib.parse import urljoin

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.presets.preset import error_of

_HINTS = {
    401: "it wants to know who asks; give -H 'Authorization: Bearer …'",
    403: "it refuses this client; give the headers that your own client sends with -H",
    404: "there is nothing at this path; give the URL of the stream itself",
    405: "it does not take this method; use --post BODY for a stream that answers a POST",
    406: "it does not make text/event-stream; give -H 'Accept: …'",
    415: "it does not take this body; give -H 'Content-Type: …'",
    422: "it does not take this body; give the right one with --post",
    429: "the client has sent too many requests; wait, or use another key",
}
_SHOWN_BYTES = 120


def why_not_a_stream(examination: Examination) -> str:
    """Read the first stream, and return why it is none that can be examined; "" if it is one."""
    main = examination.main
    if main.ending is Ending.SILENT:
        return ""  # Itself a fault, which the checks of the delivery tell.
    if main.status is None:
        return f"instead of an HTTP answer {main.ending.value}{_detail(main)}"
    if main.status != 200:
        return _other_status(main, main.status)
    if not main.is_event_stream and not _looks_like_events(main):
        return _other_content(examination)
    return ""


def _other_status(main: Recording, status: int) -> str:
    if status == 204:
        return "the server answered 204, which tells an EventSource that the stream is over"
    if status == 201 and main.header("Location"):
        location = urljoin(main.request.url, main.header("Location") or "")
        return f"the server made a stream at {location} (201); give that URL"
    if main.is_success and main.is_event_stream:
        return ""
    hint = _HINTS.get(status, "")
    return f"the server answered {status}" + (f": {hint}" if hint else _shown(main))


def _other_content(examination: Examination) -> str:
    main = examination.main
    kind = main.media_type or "no Content-Type"
    if main.media_type == "application/json" and (error := _error_in(main)):
        return f"the server answered {main.status} with an error in JSON, which clients take for success: {error}"
    if main.media_type == "application/json" and examination.preset.name == "mcp":
        return "this server answers initialize with JSON; give a call that it streams with --post, such as a tools/call"
    if main.media_type == "application/json":
        return f'the answer is JSON and not a stream; is "stream": true in the body?{_shown(main)}'
    if main.media_type == "text/html":
        return (
            "the answer is a page (text/html) and not a stream; give the URL of the stream itself"
        )
    return f"the answer has {kind} and no server-sent events in it{_shown(main)}"


def _looks_like_events(recording: Recording) -> bool:
    """Whether the body is a stream of events under another name."""
    lines = recording.body[:4096].replace(b"\r", b"\n").split(b"\n")
    return any(line.startswith((b"data:", b"event:", b"id:", b"retry:")) for line in lines)


def _error_in(recording: Recording) -> str:
    try:
        return error_of(json.loads(recording.body))
    except ValueError:
        return ""


def _shown(recording: Recording) -> str:
    text = recording.body[:_SHOWN_BYTES].decode("utf-8", "replace")
    shown = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return f" ({shown})" if shown else ""


def _detail(recording: Recording) -> str:
    return f" ({recording.detail})" if recording.detail else ""
