"""Cases of the comparison of EventSource and FetchEventSource: other origins, and servers that fail."""

import socket
import threading
from collections import defaultdict

from tests.browser.conformance_cases import EVENT, RETRY, Case, case, opens
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Handler,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    target_of,
    whole,
)
from tests.support.stream import reset

ONE_EVENT = b"id: 1\ndata: a\n\n"
CUT_EVENT = ONE_EVENT + b"id: 2\ndata: b\n"
CORS_IS_NOT_TOLD = (
    "fetch does not tell a response that CORS forbids from a server that cannot be reached and may come back; "
    "`maxRetries` bounds the attempts"
)
HANG_UP = sends_and_closes()


def resets(*pieces: bytes) -> Handler:
    """Return a handler that ends the connection with RST instead of FIN."""

    def handler(sock: socket.socket, request: bytes) -> None:
        sends(*pieces)(sock, request)
        reset(sock)

    return handler


def breaks_when_read(what: str, end: Handler, *pieces: bytes) -> Case:
    """Return a case in which the connection ends after the page has received its first event.

    The server waits for the page because fetch may drop the last bytes of a connection that breaks.
    """
    is_read: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def break_off(sock: socket.socket, request: bytes) -> None:
        sends(*pieces)(sock, request)
        is_read[target_of(request)].wait()
        end(sock, request)

    def take_note(sock: socket.socket, request: bytes) -> None:
        is_read[target_of(request).removesuffix("?read")].set()
        sends(whole(b""))(sock, request)

    script = """recorder => {
        recorder.open({until: 5}).addEventListener("message", () => fetch(`${recorder.url}?read`), {once: true});
    }"""
    again = opens(b"data: again\n\n")
    return case(what, break_off, take_note, again, script=script, shows=("last-event-id",))


def grants(body: bytes, *, credentials: bool = False, ends: bool = False) -> Handler:
    """Return a handler that sends a stream which pages of the request's origin may read."""

    def handler(sock: socket.socket, request: bytes) -> None:
        headers = {"Access_Control_Allow_Origin": headers_of(request)["origin"]}
        if credentials:
            headers["Access_Control_Allow_Credentials"] = "true"
        length = {"Content_Length": len(body)} if ends else {}
        sends(head(Content_Type="text/event-stream", **headers, **length) + body)(sock, request)

    return handler


REQUESTS = [
    case("Accept", opens(EVENT), until=2, shows=("accept",)),
    case("Cache-Control", opens(EVENT), until=2, shows=("cache-control", "pragma")),
    case("cookies", opens(EVENT), until=2, shows=("cookie",)),
    case("kind of request", opens(EVENT), until=2, shows=("sec-fetch-mode", "sec-fetch-dest")),
]

OTHER_ORIGINS = [
    case("allowed, without cookies", grants(EVENT), until=2, shows=("cookie",), other_origin=True),
    case(
        "allowed, with credentials",
        grants(EVENT, credentials=True),
        until=2,
        init={"withCredentials": True},
        shows=("cookie",),
        other_origin=True,
    ),
    case(
        "allowed, but not with credentials",
        grants(EVENT),
        init={"withCredentials": True},
        other_origin=True,
        differs=CORS_IS_NOT_TOLD,
    ),
    case("not allowed", opens(EVENT), other_origin=True, differs=CORS_IS_NOT_TOLD),
    case(
        "the origin of an event",
        grants(EVENT),
        other_origin=True,
        script="""recorder => {
            recorder.open().onmessage = ({origin}) => {
                recorder.note(String(origin === new URL(recorder.url).origin));
                recorder.end();
            };
        }""",
    ),
    case(
        "reconnection with an id",
        grants(RETRY + b"id: 1\n" + EVENT, ends=True),
        grants(EVENT),
        until=5,
        other_origin=True,
        shows=("last-event-id",),
        differs="fetch sends a preflight for a header such as Last-Event-ID, so the server must allow it",
    ),
]

FAILURES = [
    case("closes without an answer", sends_and_closes()),
    case("resets without an answer", resets()),
    case("answers what is not HTTP", sends_and_closes(b"220 mail.example ESMTP\r\n\r\n")),
    breaks_when_read("breaks off behind an event", HANG_UP, STREAM_HEAD, chunk(RETRY + ONE_EVENT)),
    breaks_when_read("breaks off in an event", HANG_UP, STREAM_HEAD, chunk(RETRY + CUT_EVENT)),
    breaks_when_read("resets in an event", resets(), STREAM_HEAD, chunk(RETRY + CUT_EVENT)),
    breaks_when_read("ends in an event", sends(LAST_CHUNK), STREAM_HEAD, chunk(RETRY + CUT_EVENT)),
    breaks_when_read(
        "ends without the terminal event", sends(LAST_CHUNK), STREAM_HEAD, chunk(RETRY + ONE_EVENT)
    ),
    breaks_when_read(
        "sends less than its Content-Length",
        HANG_UP,
        head(Content_Type="text/event-stream", Content_Length=999) + RETRY + ONE_EVENT,
    ),
    case(
        "drains: error event, new retry:, end",
        streams(b"id: 1\nevent: error\nretry: 10\ndata: {}\n\n"),
        opens(b"data: again\n\n"),
        until=5,
        shows=("last-event-id",),
    ),
    case(
        "stalls",
        opens(EVENT),
        script="""recorder => {
            const source = recorder.open();
            source.onmessage = () => { recorder.note(recorder.stateOf(source)); recorder.end(); };
        }""",
    ),
    case("200 with a proxy's HTML page", sends(whole(b"<h1>Hello</h1>", Content_Type="text/html"))),
    case("200 with a JSON error", sends(whole(b'{"error": {"message": "no"}}'))),
    case("event: error in the stream", opens(b"event: error\ndata: {}\n\n" + EVENT), until=3),
]

SERVER_GROUPS = {
    "Requests": REQUESTS,
    "Other origins": OTHER_ORIGINS,
    "Servers that fail": FAILURES,
}
