"""What errors look like: instead of a stream, as its first event, and in the middle."""

import json

from flask_sluice.doctor.checks.ending.making import make
from flask_sluice.doctor.checks.meaning import error_at
from flask_sluice.doctor.checks.wording import counted, shortened
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.presets.preset import Preset, error_of
from flask_sluice.doctor.remedies import ending as remedies
from flask_sluice.doctor.report import Check


def error_status(log: EventLog, preset: Preset) -> Check:
    """An error that is known before the first event belongs into the status: 200 is success to every client."""
    name = "error-status"
    status = log.recording.status
    if error := _error_of_body(log.recording.body):
        return make.fault(
            name,
            f"The server answered {status} with an error in place of a stream: {shortened(error, 120)}. Clients take it for a "
            "success without events.",
            remedies.ERROR_AS_200,
        )
    error = error_at(log, preset, 0) if log.events else ""
    if not error:
        return make.ok(name, f"{status}, and {_what_came(log)}.")
    evidence = (
        f"The server answered {status}, and the first event is an error: {shortened(error, 120)}."
    )
    if len(log.events) > 1 and not preset.is_terminal(log.events[1].event):
        return make.warning(
            name,
            f"{evidence} It was followed by {counted(len(log.events) - 1, 'event')}, so whether the stream failed is not known.",
            remedies.ERROR_AS_200,
        )
    return make.fault(
        name,
        f"{evidence} Clients see a success, and do not try again as they would after a 429 or 503.",
        remedies.ERROR_AS_200,
    )


def _what_came(log: EventLog) -> str:
    if log.events:
        return "the first event is not an error"
    return "no error came" if log.recording.ending is Ending.OPEN else "no event came, and no error"


def _error_of_body(body: bytes) -> str:
    """The error of a body that is one JSON document and no stream at all."""
    if not body.lstrip().startswith(b"{"):
        return ""
    try:
        return error_of(json.loads(body))
    except ValueError:
        return ""


def error_after(log: EventLog, preset: Preset) -> Check:
    """An error in mid-stream is one event in the API's form, and no terminal event follows it."""
    name = "error-after"
    failures = [n for n in range(1, len(log.events)) if error_at(log, preset, n)]
    if not failures:
        return make.skipped(name, "The stream reported no error, so the form of one is not known.")
    place = failures[0]
    event, rest = log.events[place].event, log.events[place + 1 :]
    error = shortened(error_at(log, preset, place), 120)
    failed = f"Event {place + 1} of {len(log.events)} is an error: {error}"
    if preset.data_is_json and not _is_json(event.data):
        return make.fault(
            name,
            f"{failed}, and not JSON: clients fail to parse it and do not show it.",
            remedies.ERROR_NOT_TOLD,
            error_event=place + 1,
        )
    if any(preset.is_terminal(later.event) for later in rest):
        return make.fault(
            name,
            f"{failed}. The terminal event follows it, so clients that look at the end alone take the answer for complete.",
            remedies.END_AFTER_ERROR,
            error_event=place + 1,
        )
    if rest:
        return make.warning(
            name,
            f"{failed}, followed by {counted(len(rest), 'event')}. Whether the stream failed is not known.",
            error_event=place + 1,
        )
    return make.warning(
        name,
        f"{failed}. It is told in a form that clients know, and is the last event; why it came, the server's log tells.",
        error_event=place + 1,
    )


def _is_json(data: str) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def error_before(examination: Examination) -> Check:
    """A request that cannot be understood is refused with its status, in the form that clients show."""
    name = "error-before"
    request = examination.preset.broken_request()
    if request is None:
        return make.skipped(name, "No request is known that this server has to refuse.")
    examination.tell("sending a request that has to be refused")
    answer = examination.ask(request)
    if answer.status is None:
        return make.warning(
            name,
            f"A body that is not JSON got no answer: {answer.ending.value}.",
            remedies.REFUSED_WRONGLY,
        )
    return _refusal(answer, answer.status)


def _refusal(answer: Recording, status: int) -> Check:
    name = "error-before"
    error = _error_of_answer(answer)
    shown = f"{status} with {shortened(error, 120)}" if error else str(status)
    if status in (401, 403, 429):
        return make.skipped(name, f"The server answered {shown}, before it read the body.")
    if answer.is_success:
        return make.fault(
            name,
            f"A body that is not JSON got {status}{_and_what(answer)}. Clients take this for an answer.",
            remedies.REFUSED_WRONGLY,
            status=status,
        )
    if status >= 500:
        return make.warning(
            name,
            f"A body that is not JSON got {shown}: clients take 5xx for a failure of the server and send the request again.",
            remedies.REFUSED_WRONGLY,
            status=status,
        )
    if not error:
        kind = answer.media_type or "no type"
        return make.warning(
            name,
            f"A body that is not JSON got {status}, with a body ({kind}) in which clients find no message.",
            remedies.REFUSED_WRONGLY,
            status=status,
        )
    return make.ok(name, f"A body that is not JSON is refused: {shown}.", status=status)


def _error_of_answer(answer: Recording) -> str:
    """The message of a refusal, in the shapes that clients show."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return ""
    if error := error_of(document):
        return error
    if isinstance(document, dict):
        for key in ("detail", "message", "error", "title"):
            if document.get(key):
                return json.dumps(document[key])
    return ""


def _and_what(answer: Recording) -> str:
    if answer.is_event_stream:
        return " and a stream"
    error = _error_of_answer(answer)
    return (
        f" and the error {shortened(error, 80)}"
        if error
        else f" and {answer.media_type or 'a body'}"
    )
