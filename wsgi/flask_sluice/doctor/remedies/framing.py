"""What to change where the bytes of a stream are not what the standard asks for.

The format: WHATWG HTML, section 9.2.5 (parsing) and 9.2.6 (interpreting).
"""

from flask_sluice.doctor.remedies.remedy import Remedy

_EVENT = Remedy(
    "Flask, or any app in Python: an Event frames itself, and refuses what would break the stream",
    'from flask_sluice.sse import Event\n\nyield Event(data="two\\nlines", event="news", id="7").encode()',
)

BYTE_ORDER_MARK = (
    Remedy(
        "any app: encode without a mark, once for each event",
        'text.encode("utf-8")  # not "utf-8-sig", not "utf-16"',
    ),
    Remedy("ASP.NET, where it encodes the stream", "new UTF8Encoding(false)"),
    _EVENT,
)
"""A mark at the start is allowed, but some clients do not drop it; one later on hides the line's field name."""

LINE_ENDINGS = (
    Remedy("any app: one kind of line ending", 'yield f"data: {text}\\n\\n"'),
    Remedy(
        "uvicorn, with sse-starlette, whose default is CR LF",
        'EventSourceResponse(events(), sep="\\n")',
    ),
    _EVENT,
)
"""The stream mixes LF, CR LF and CR, or ends lines with CR alone, which many clients do not know."""

UNFINISHED_EVENT = (
    Remedy(
        "any app: a blank line after each event, the last one too", 'yield f"data: {text}\\n\\n"'
    ),
    _EVENT,
)
"""The last event has no blank line after it, so clients drop it."""

NEWLINES_IN_DATA = (
    Remedy(
        "any app: a data field for each line of the text",
        'yield "".join(f"data: {line}\\n" for line in text.split("\\n")) + "\\n"',
    ),
    Remedy("any app, for JSON: one line", 'yield f"data: {json.dumps(value)}\\n\\n"'),
    _EVENT,
)
"""Text with line breaks went into one data field, so that its other lines are fields without a known name."""

UNKNOWN_FIELDS = (
    Remedy(
        "any app: only these fields exist; clients ignore every other line",
        "data: …\nevent: …\nid: …\nretry: 2000\n: a comment",
    ),
    *NEWLINES_IN_DATA,
)
"""Lines that clients ignore: misspelt fields, JSON without `data:`, a space before the field's name."""

EVENT_WITHOUT_DATA = (
    Remedy(
        "any app: clients drop an event without data; send data, or for a heartbeat a comment",
        'yield "event: ping\\ndata: {}\\n\\n"\nyield ": keep-alive\\n"',
    ),
    _EVENT,
)
"""EventSource does not dispatch an event without data, and clients that do crash when they parse it."""

ID_WITH_NUL = (
    Remedy(
        "any app: clients ignore an id with NUL, and a line break ends the field",
        'yield f"id: {number}\\ndata: {text}\\n\\n"',
    ),
    _EVENT,
)
"""The id cannot be used."""

ID_NOT_ASCII = (
    Remedy(
        "any app: an id of visible ASCII characters, such as a number",
        'yield f"id: {number}\\ndata: {text}\\n\\n"',
    ),
    _EVENT,
)
"""The id does not come back in a header as it was sent."""

EMPTY_ID = (
    Remedy("any app: no id line where there is no id", 'yield f"data: {text}\\n\\n"'),
    _EVENT,
)
"""An empty id makes clients forget the one before it."""

RETRY_NOT_DIGITS = (
    Remedy("any app: whole milliseconds, digits only", 'yield f"retry: 2000\\ndata: {text}\\n\\n"'),
    Remedy("Flask, in the view", "return sse_response(events(), retry=2000)"),
)
"""Clients ignore a retry that is not made of digits."""

INVALID_UTF_8 = (
    Remedy("any app: encode text as UTF-8", 'yield f"data: {text}\\n\\n".encode("utf-8")'),
    Remedy(
        "any app, if it passes tokens on: decode what was cut between two pieces as one",
        'decoder = codecs.getincrementaldecoder("utf-8")()\nfor piece in pieces:\n    text = decoder.decode(piece)',
    ),
    _EVENT,
)
"""Bytes that are not UTF-8 become replacement characters at every client."""

NOT_JSON = (
    Remedy("any app: JSON on one line", 'yield f"data: {json.dumps(value)}\\n\\n"'),
    Remedy("Flask, in the view", "yield Event.json(value)"),
)
"""The data of some events is JSON, that of others is not."""
