"""What to change where a client that reconnects loses or repeats events.

The header: WHATWG HTML, section 9.2.4.
"""

from flask_sluice.doctor.remedies.remedy import Remedy

_KEPT = Remedy(
    "Flask, with kept streams: ids, Last-Event-ID and 204 by themselves (docs/kept-streams.md)",
    "return sluice.streams.response(stream_id, owner=user())",
)
_READ_HEADER = Remedy(
    "Flask, in the view",
    'last_id = int(request.headers.get("Last-Event-ID", 0))\nreturn sse_response(events(after=last_id))',
)

IDS_MISSING = (
    Remedy("any app: an id in each event", 'yield f"id: {number}\\ndata: {text}\\n\\n"'),
    Remedy("Flask, in the view", "yield Event(data=text, id=str(number))"),
    _KEPT,
)
"""Without ids a client cannot say where it was."""

IDS_REPEATED = (
    Remedy(
        "any app: a number that grows in the whole stream, not one for each connection or worker",
        'yield f"id: {number}\\ndata: {text}\\n\\n"',
    ),
    _KEPT,
)
"""Two events have one id, or ids do not grow."""

LAST_EVENT_ID_IGNORED = (
    _READ_HEADER,
    Remedy("Express, in the handler", "const lastId = req.get('Last-Event-ID')"),
    Remedy(
        "uvicorn, with Starlette or FastAPI", 'last_id = request.headers.get("last-event-id", "0")'
    ),
    _KEPT,
)
"""After a cut the stream begins anew, so clients get its events twice."""

GAP = (
    Remedy(
        "any app: read what is stored after the id first, then wait for new events, without a moment in between",
        "for event in stored_after(last_id):\n    yield event",
    ),
    _KEPT,
)
"""Events that were sent while the client was away are lost."""

REPEATED = (
    Remedy("any app: events after the id, not from it on", "if number > last_id:\n    yield event"),
    _KEPT,
)
"""The event with the id that the client named is sent again."""

NOT_204_AFTER_THE_END = (
    Remedy(
        "Flask, in the view: 204 is the only answer after which EventSource does not ask again",
        'if is_over(last_id):\n    return "", 204',
    ),
    _KEPT,
)
"""A client that has everything asks again and again."""

RETRY_EXTREME = (
    Remedy(
        "any app: some seconds, with the first event", 'yield f"retry: 3000\\ndata: {text}\\n\\n"'
    ),
    Remedy("Flask, in the view", "return sse_response(events(), retry=3000)"),
)
"""Clients come back in a crowd, or not for a long time."""
