"""Bodies that the standard does not allow, or that clients take in different ways; and odd ones that all take well."""

from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.stack import Stack

CHAT, MESSAGES, MCP = "/v1/chat/completions", "/v1/messages", "/mcp"


def framed(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(path(**{"events": 6, "interval": 0.02, **script}), "framing", verdicts or {})


def answered(route: str, verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(
        path(route, **{"events": 6, "interval": 0.02, **script}), "framing", verdicts or {}
    )


STACKS = {
    "the body begins with a byte order mark": framed(bom=1),
    "the body begins with two byte order marks": framed(bom=2),
    "a byte order mark is inside the body": framed(odd="bom-inside"),
    "lines end with CR alone": framed(newline="cr"),
    "lines end with CR and LF": framed(newline="crlf"),
    "lines end with CR, with LF and with both": framed(newline="mixed"),
    "the last event has no blank line": framed(last="open"),
    "an event has no data": framed(odd="no-data"),
    "an event has empty data": framed(odd="empty-data"),
    "an id has NUL in it": framed(odd="id-with-nul"),
    "a retry is not a number": framed(odd="bad-retry"),
    "a retry is a number": framed(retry="3000"),
    "the body is not UTF-8": framed(odd="bad-utf8"),
    "a character is cut off": framed(odd="cut-character"),
    "a surrogate is encoded": framed(odd="surrogate"),
    "characters of several bytes are cut by writes": framed(odd="characters", split=1),
    "a field is unknown": framed(odd="unknown-field"),
    "comments have blank lines": framed(odd="comment"),
    "comments have no blank lines": framed(odd="comment-line"),
    "blank lines stand in a row": framed(odd="blank-lines"),
    "data has several lines": framed(odd="several-lines"),
    "no space follows the colon": framed(odd="no-space"),
    "a page is in the stream": framed(odd="html"),
    "lines of JSON are in the stream": framed(odd="json-lines"),
    "an error is an event": framed(odd="error-event"),
    "[DONE] comes twice": answered(CHAT, done=2),
    "[DONE] is missing": answered(CHAT, done=0),
    "a chunk of a completion is not JSON": answered(CHAT, malformed=4),
    "a completion begins with an error": answered(CHAT, error=0),
    "a completion ends with an error": answered(CHAT, error=4),
    "a completion is as it should be": answered(CHAT),
    "a completion has comments with blank lines, which openai-go takes for events": answered(
        CHAT, odd="comment"
    ),
    "a completion has comments without blank lines": answered(CHAT, odd="comment-line"),
    "a message has an event that is not JSON": answered(MESSAGES, malformed=4),
    "a message begins with an error": answered(MESSAGES, error=0),
    "a message ends with an error": answered(MESSAGES, error=4),
    "a message never stops": answered(MESSAGES, done=0),
    "a message is as it should be": answered(MESSAGES),
    "a notification of MCP is not JSON": answered(MCP, malformed=4),
    "notifications of MCP are as they should be": answered(MCP),
}
