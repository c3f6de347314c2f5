"""Cases of the comparison of EventSource and FetchEventSource: responses of the server.

The subjects are those of the directory ``eventsource/`` of web-platform-tests.
"""

import json
from dataclasses import dataclass

from tests.server.raw_upstream import (
    STREAM_HEAD,
    Handler,
    chunk,
    head,
    sends,
    streams,
    whole,
)

SSE = "text/event-stream"
EVENT = b"data: x\n\n"
TWO_TYPES = head(Content_Type=SSE, Content_Length=len(EVENT)).replace(
    b"\r\n", b"\r\nContent-Type: text/event-stream\r\n", 1
)
RETRY = b"retry: 10\n"
"""The browser's own reconnection time is three seconds."""


@dataclass(frozen=True)
class Case:
    """One case.

    what: its name in the table
    answers: the server's responses, one for each request; the last one also answers all later requests
    script: the function that the page runs, see tests/browser/recorder.js
    shows: headers of the requests to compare; ``query`` is the query of the URL
    other_origin: whether the stream's server has another origin than the page
    differs: why the clients differ, empty if they must not
    """

    what: str
    answers: tuple[Handler, ...]
    script: str
    shows: tuple[str, ...] = ()
    other_origin: bool = False
    differs: str = ""


def case(
    what: str,
    *answers: Handler,
    until: int = 1,
    names: tuple[str, ...] = (),
    init: object = None,
    script: str = "",
    shows: tuple[str, ...] = (),
    other_origin: bool = False,
    differs: str = "",
) -> Case:
    """Return a case. Without a script, the page opens the stream and notes ``until`` events, or all until it is closed."""
    options = json.dumps({"until": until, "names": names, "init": init or {}})
    return Case(
        what,
        answers,
        script or f"recorder => recorder.open({options})",
        shows,
        other_origin,
        differs,
    )


def opens(*pieces: bytes) -> Handler:
    """Return a handler that sends an event stream and leaves it open."""
    return sends(STREAM_HEAD, *map(chunk, pieces))


def answers_with(status: str, content_type: str | None = SSE, body: bytes = EVENT) -> Handler:
    headers = {} if content_type is None else {"Content_Type": content_type}
    return sends(head(status, **headers, Content_Length=len(body)) + body)


def redirects(status: str) -> Handler:
    return sends(whole(b"", status, Location="?moved"))


def says(what: str, body: bytes, events: int, *names: str) -> Case:
    """Return a case with a stream of ``events`` events that ends."""
    return case(what, streams(RETRY + b"\n" + body), until=events + 2, names=names)


STATUS_CODES = [
    case("200", answers_with("200 OK"), until=2),
    *(
        case(status, answers_with(status, body=b"" if status[:3] in ("204", "205") else EVENT))
        for status in (
            "204 No Content",
            "205 Reset Content",
            "210 Unknown",
            "299 Unknown",
            "404 Not Found",
            "410 Gone",
            "503 Service Unavailable",
        )
    ),
    case("503 with Retry-After", sends(whole(b"", "503 Overloaded", Retry_After="1"))),
    case(
        "204 at a reconnection", streams(RETRY + EVENT), answers_with("204 Gone", body=b""), until=9
    ),
    case("404 at a reconnection", streams(RETRY + EVENT), answers_with("404 Gone"), until=9),
]

REDIRECTS = [
    *(
        case(status, redirects(status), opens(EVENT), until=2, shows=("query",))
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")
    ),
    case(
        "301: where a reconnection goes",
        redirects("301 Moved"),
        streams(RETRY + EVENT),
        opens(EVENT),
        until=5,
        shows=("query",),
        differs="it requests the first URL again, because the redirect's target may not exist any more",
    ),
    case("301 to a refusal", redirects("301 Moved"), answers_with("404 Not Found")),
]

CONTENT_TYPES = [
    *(
        case(content_type, answers_with("200 OK", content_type), until=2)
        for content_type in (
            SSE,
            f"{SSE};charset=utf-8",
            f"{SSE}; charset=UTF-8",
            f"{SSE};",
            f"{SSE} ; a=b",
            "Text/EVENT-Stream",
            f"{SSE}s",
            "text/x-bogus",
            "text/plain",
            "text/html",
            "application/json",
            "event-stream",
            "x bogus",
            f"{SSE}/x",
            # A header that comes twice is its values, joined by a comma.
            f"{SSE}, {SSE}",
            f"{SSE};charset=utf-8, {SSE}",
            f"text/html, {SSE}",
            f"{SSE}, text/html",
            f"{SSE}, */*",
            f"{SSE},",
            f'text/html; x=", {SSE}"',
        )
    ),
    case("twice", sends(TWO_TYPES + EVENT), until=2),
    case("none", answers_with("200 OK", None)),
    case(
        f"{SSE};charset=windows-1251",
        answers_with("200 OK", f"{SSE};charset=windows-1251"),
        until=2,
        differs="the standard decodes every event stream as UTF-8; Chromium refuses one with another charset",
    ),
    case(
        f"{SSE} x",
        answers_with("200 OK", f"{SSE} x"),
        differs="this is not a content type; Chromium ignores what follows the space",
    ),
]

_ID = ("last-event-id",)
IDS = [
    case(what, streams(RETRY + body), opens(b"data: again\n\n"), until=until, shows=_ID)
    for what, body, until in (
        ("none", EVENT, 5),
        ("of the last event", b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n", 6),
        ("without data behind it", b"id: 1\ndata: a\n\nid: 2\n\n", 5),
        ("stays until there is another", b"id: 1\ndata: a\n\ndata: b\n\n", 6),
        ("reset by `id:`", b"id: 1\ndata: a\n\nid:\ndata: b\n\n", 6),
        ("reset by `id` without a colon", b"id: 1\ndata: a\n\nid\ndata: b\n\n", 6),
        ("of an event that is cut", b"id: 1\ndata: a\n\nid: 2\ndata: b\n", 5),
        ("with NUL", b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", 6),
        ("not ASCII", "id: 7é…😀\ndata: a\n\n".encode(), 5),
        ("with spaces inside", b"id: a b\ndata: a\n\n", 5),
        ("with spaces around", b"id:  a \ndata: a\n\n", 5),
    )
]

RETRIES = [
    *(
        case(what, streams(body), opens(b"data: again\n\n"), until=5)
        for what, body in (
            ("`retry: 10`", b"retry: 10\n" + EVENT),
            ("`retry:10`", b"retry:10\n" + EVENT),
            ("`retry: 010`", b"retry: 010\n" + EVENT),
            ("without an event behind it", EVENT + b"retry: 10\n"),
            ("`retry: 1e9` is ignored", b"retry: 10\nretry: 1e9\n" + EVENT),
            ("`retry: 9000x` is ignored", b"retry: 10\nretry: 9000x\n" + EVENT),
            ("`retry: -9000` is ignored", b"retry: 10\nretry: -9000\n" + EVENT),
            ("`retry:` without a value is ignored", b"retry: 10\nretry:\n" + EVENT),
        )
    ),
    case(
        "`retry:` of 400 digits does not reconnect at once",
        streams(b"retry: " + b"9" * 400 + b"\n" + EVENT),
        opens(b"data: again\n\n"),
        script="""recorder => {
            recorder.open().addEventListener("error", () => setTimeout(() => recorder.end(), 300));
        }""",
    ),
    case(
        "the client waits for it",
        streams(b"retry: 150\n" + EVENT),
        opens(EVENT),
        script="""recorder => {
            const source = recorder.open({until: 6});
            let lostAt = 0;
            source.addEventListener("error", () => lostAt = performance.now());
            source.addEventListener("open", () => {
                if (lostAt) recorder.note(performance.now() - lostAt >= 140 ? "waited" : "too early");
            });
        }""",
    ),
]

_MIXED = "\ufeffid: 1\r\ndata: é\r\ndata: 😀\r\n\r\n: c\r\revent: tick\rdata: €\r\r".encode()
BYTES = [
    case("a byte at a time", opens(*(bytes([byte]) for byte in _MIXED)), until=3, names=("tick",)),
    *(
        case(what, opens(*pieces), until=3)
        for what, pieces in (
            (
                "cut between CR and LF",
                (b"data: a\r", b"\ndata: b\r", b"\n\r", b"\ndata: c\r\n\r\n"),
            ),
            ("cut in a character", (b"data: \xf0\x9f", b"\x98\x80\n\ndata: b\n\n")),
            ("cut in the byte order mark", (b"\xef", b"\xbb\xbfdata: a\n\ndata: b\n\n")),
            ("cut in a field's name", (b"da", b"ta: a\n\nda", b"ta: b\n\n")),
        )
    ),
    case("byte order mark at the start", opens(b"\xef\xbb\xbfdata: a\n\ndata: b\n\n"), until=3),
    case("two of them", opens(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n"), until=2),
    case("byte order mark later", opens(b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n"), until=3),
    says("not UTF-8", b"data: a\xff\xe2\x82b\n\n", 1),
]

FIELDS = [
    says("several data lines", b"data: a\ndata:\ndata: b\n\n", 1),
    says("no space, several spaces, tab", b"data:a\ndata:  b\ndata:\tc\n\n", 1),
    says("data without a colon", b"data\n\ndata\ndata\n\n", 2),
    says("empty data", b"data:\n\n", 1),
    says("no data", b"event: tick\nid: 1\n\n", 0, "tick"),
    says("comments", b":data: no\n: \ndata: a\n:\n\n", 1),
    says("unknown fields", b"Data: no\ndata : no\n data: no\ndatax: no\ndata: yes\n\n", 1),
    says("CR, LF and CRLF", b"data: a\rdata: b\ndata: c\r\n\r\ndata: d\n\r", 2),
    says("other line ends are text", "data: a\u2028b\u0085c\vd\n\n".encode(), 1),
    says("NUL in data", b"data: a\0b\n\n", 1),
    says("no blank line at the end", b"data: a\n\ndata: b\n", 1),
    says("event name", b"event: tick\ndata: a\n\ndata: b\n\n", 2, "tick"),
    says("event name is the last one", b"event: a\nevent: tick\ndata: a\n\n", 1, "a", "tick"),
    says("event name is empty", b"event: tick\nevent:\ndata: a\n\n", 1, "tick"),
    says("event name is not ASCII", "event: tíck\ndata: a\n\n".encode(), 1, "tíck"),
    says("event name with spaces", b"event:  tick \ndata: a\n\n", 1, " tick "),
    says("event named message", b"event: message\ndata: a\n\n", 1),
]

WIRE_GROUPS = {
    "Status codes": STATUS_CODES,
    "Redirects": REDIRECTS,
    "Content types": CONTENT_TYPES,
    "Last event ids over a reconnection": IDS,
    "Reconnection times": RETRIES,
    "Bytes": BYTES,
    "Fields": FIELDS,
}
