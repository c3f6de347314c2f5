"""Bodies that the standard does not allow, or that clients take in different ways; and odd ones that all take well."""

from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.stack import Stack

CHAT, MESSAGES, MCP = "/v1/chat/completions", "/v1/messages", "/mcp"

BOM = "framing.byte-order-mark"
CR = {"framing.line-endings": "warning"}
NOT_UTF8 = {"framing.encoding": "fault"}
NOT_JSON = {"framing.json": "fault"}
CLIENTS = {"framing.clients": "warning"}
NO_FIELD = {"framing.fields": "fault"}


def framed(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(path(**{"events": 6, "interval": 0.02, **script}), "framing", verdicts or {})


def answered(route: str, verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(
        path(route, **{"events": 6, "interval": 0.02, **script}), "framing", verdicts or {}
    )


STACKS = {
    "the body begins with a byte order mark": framed({BOM: "warning"}, bom=1),
    "the body begins with two byte order marks": framed({BOM: "fault"}, bom=2),
    "a byte order mark is inside the body": framed({BOM: "fault"}, odd="bom-inside"),
    "lines end with CR alone": framed(CR, newline="cr"),
    "lines end with CR and LF": framed(newline="crlf"),
    "lines end with CR, with LF and with both": framed(CR, newline="mixed"),
    "the last event has no blank line": framed({"framing.blank-lines": "fault"}, last="open"),
    "an event has no data": framed({**CLIENTS, "framing.empty-events": "warning"}, odd="no-data"),
    "an event has empty data": framed({"framing.json": "warning"}, odd="empty-data"),
    "an id has NUL in it": framed({"framing.ids": "fault"}, odd="id-with-nul"),
    "a retry is not a number": framed({"framing.retry": "warning"}, odd="bad-retry"),
    "a retry is a number": framed({"framing.retry": "ok"}, retry="3000"),
    "a retry stands alone": framed({**CLIENTS, "framing.retry": "ok"}, odd="retry-alone"),
    "one event has text among events that have JSON": framed(
        {"framing.json": "warning"}, odd="text"
    ),
    "an id has 5000 characters": framed({"framing.ids": "ok"}, odd="large-id"),
    "the body is not UTF-8": framed(NOT_UTF8, odd="bad-utf8"),
    "a character is cut off": framed(NOT_UTF8, odd="cut-character"),
    "a surrogate is encoded": framed(NOT_UTF8, odd="surrogate"),
    "characters of several bytes are cut by writes": framed(odd="characters", split=1),
    "a field is unknown": framed({"framing.fields": "warning"}, odd="unknown-field"),
    "comments have blank lines": framed(CLIENTS, odd="comment"),
    "comments have no blank lines": framed(odd="comment-line"),
    "blank lines stand in a row": framed(odd="blank-lines"),
    "data has several lines": framed(odd="several-lines"),
    "no space follows the colon": framed(odd="no-space"),
    "a page is in the stream": framed(NO_FIELD, odd="html"),
    "lines of JSON are in the stream": framed(NO_FIELD, odd="json-lines"),
    "an error is an event": framed(odd="error-event"),
    "[DONE] comes twice": answered(CHAT, CLIENTS, done=2),
    "[DONE] is missing": answered(CHAT, done=0),
    "a chunk of a completion is not JSON": answered(CHAT, NOT_JSON, malformed=4),
    "an error is the only event of a completion": answered(CHAT, error=0),
    "a completion ends with an error": answered(CHAT, error=4),
    "a completion is as it should be": answered(CHAT),
    "a completion has comments with blank lines, which openai-go takes for events": answered(
        CHAT, CLIENTS, odd="comment"
    ),
    "a completion has comments without blank lines": answered(CHAT, odd="comment-line"),
    "a message has an event that is not JSON": answered(MESSAGES, NOT_JSON, malformed=4),
    "an error is the only event of a message": answered(MESSAGES, error=0),
    "a message ends with an error": answered(MESSAGES, error=4),
    "a message never stops": answered(MESSAGES, done=0),
    "a message is as it should be": answered(MESSAGES),
    "a notification of MCP is not JSON": answered(MCP, NOT_JSON, malformed=4),
    "notifications of MCP are as they should be": answered(MCP),
}
