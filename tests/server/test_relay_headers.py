"""Which headers pass back from an upstream, and what a browser is told of a relayed body."""

import json
import threading

import pytest

from tests.server.raw_upstream import (
    RawUpstream,
    head,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.server.relayed import ANSWER, HELLO, JSON_ANSWER, PATH, ask_chat, logged_end
from tests.support.server import Server
from tests.support.stream import Response, ask, chat, get, post

PASSED_BACK = {
    "anthropic-organization-id": "1",
    "anthropic-ratelimit-requests-remaining": "2",
    "apim-request-id": "3",
    "openai-model": "m",
    "openai-processing-ms": "4",
    "RateLimit": "5",
    "RateLimit-Remaining": "6",
    "RateLimit-Policy": "7",
    "request-id": "8",
    "Retry-After": "9",
    "Retry-After-Ms": "10",
    "X-RateLimit-Remaining-Tokens": "11",
    "X-Should-Retry": "false",
}
CONTENT_HEADERS = {
    "Content-Disposition": "attachment; filename=x",
    "Content-Language": "de",
    "Content-Encoding": "gzip",
    "Content-Range": "bytes 0-1/3",
    "Accept-Ranges": "bytes",
    "ETag": '"1"',
    "Last-Modified": "Mon, 30 Nov 2026 09:00:00 GMT",
}
NOT_PASSED_BACK = [
    *("X-Accel-Redirect", "X-Accel-Charset", "X-Accel-Expires", "X-Accel-Limit-Rate", "NEL"),
    *("X-Sendfile", "X-LIGHTTPD-send-file", "X-Reproxy-URL", "Surrogate-Control", "Link"),
    *("Set-Cookie", "Set-Cookie2", "Clear-Site-Data", "Alt-Svc", "Refresh", "Expires", "Via"),
    *("Strict-Transport-Security", "Public-Key-Pins", "Expect-CT", "Report-To", "SourceMap"),
    *("Reporting-Endpoints", "Service-Worker-Allowed", "Content-Location", "Vary", "Age"),
    *("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Timing-Allow-Origin"),
    *("Cross-Origin-Resource-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy"),
    *("Content-Security-Policy-Report-Only", "Referrer-Policy", "X-Frame-Options", "Origin-Trial"),
    *("Proxy-Authenticate", "Proxy-Status", "Upgrade", "Trailer", "Accept-CH", "Critical-CH"),
    *("WWW-Authenticate", "Authentication-Info", "Speculation-Rules", "No-Vary-Search", "Pragma"),
    *("X-Anything", "X-Powered-By", "CDN-Cache-Control", "Cache-Status", "X-Forwarded-For"),
    *("Supports-Loading-Mode", "Observe-Browsing-Topics", "Set-Login", "X-DNS-Prefetch-Control"),
]
OF_SLUICE = {
    *("server", "date", "connection", "content-type", "cache-control", "x-request-id"),
    *("x-content-type-options", "transfer-encoding", "content-length", "x-upstream-request-id"),
}


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "429 Slow", "500 No", "503 No"])
def test_limits_ids_and_content_headers_pass_back(relay, upstream, status):
    upstream.handler = sends(whole(JSON_ANSWER, status, **PASSED_BACK, **CONTENT_HEADERS))
    response, _ = ask(relay, post("/v1/files", {}))
    expected = {name.lower(): value for name, value in {**PASSED_BACK, **CONTENT_HEADERS}.items()}
    assert response.headers.keys() - OF_SLUICE == expected.keys()
    assert expected.items() <= response.headers.items()


def test_limits_and_ids_of_a_stream_pass_back(relay, upstream):
    type_ = {"Content-Type": "text/event-stream"}
    upstream.handler = sends_and_closes(head(**type_, **PASSED_BACK, ETag="1"), ANSWER)
    response, _ = ask_chat(relay)
    expected = {name.lower(): value for name, value in PASSED_BACK.items()}
    assert response.headers.keys() - OF_SLUICE == expected.keys() | {"x-accel-buffering"}
    assert expected.items() <= response.headers.items()


@pytest.mark.parametrize("status", ["200 OK", "401 No", "404 No", "503 No"])
def test_nothing_else_passes_back(relay, upstream, status):
    upstream.handler = sends(whole(JSON_ANSWER, status, **dict.fromkeys(NOT_PASSED_BACK, "bad")))
    response, _ = ask(relay, get("/v1/models"))
    assert response.headers.keys() <= OF_SLUICE
    assert "bad" not in response.headers.values()


def test_nothing_else_of_a_stream_passes_back(relay, upstream):
    bad = dict.fromkeys([*NOT_PASSED_BACK, "X-Accel-Buffering", "Content-Language2"], "bad")
    bad["Cache-Control"] = "public, max-age=9"
    upstream.handler = sends_and_closes(
        head(**{"Content-Type": "text/event-stream"}, **bad), ANSWER
    )
    response, _ = ask_chat(relay)
    assert response.headers.keys() - OF_SLUICE == {"x-accel-buffering"}
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert "bad" not in response.headers.values()


@pytest.mark.parametrize(
    "line", ["SET-COOKIE:a=1", "set-cookie: \t a=1", "sEt-CoOkIe:a=1", "X_Accel_Redirect: /a=1"]
)
def test_no_spelling_of_a_name_passes_back(relay, upstream, line):
    upstream.handler = sends(whole(b"{}").replace(b"\r\n\r\n", f"\r\n{line}\r\n\r\n".encode()))
    response, _ = ask(relay, get("/v1/models"))
    assert not any("a=1" in value for value in response.headers.values())


def test_headers_of_the_same_name_are_all_kept(relay, upstream):
    two = b"\r\nopenai-note: a=1\r\nopenai-note: b=2\r\n\r\n"
    upstream.handler = sends(whole(b"{}").replace(b"\r\n\r\n", two))
    with relay.connect() as sock:
        sock.sendall(get("/v1/models"))
        received = sock.recv(65536)
    assert received.lower().count(b"openai-note: ") == 2


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (None, "private, no-cache"),
        ("public, max-age=31536000, immutable", "private, no-cache"),
        ("No-Store", "no-store"),
    ],
)
def test_an_answer_is_for_one_client_and_is_asked_for_anew(relay, upstream, theirs, ours):
    given = {} if theirs is None else {"Cache-Control": theirs}
    upstream.handler = sends(whole(b"{}", **given))
    assert ask(relay, get("/v1/models"))[0].headers["cache-control"] == ours


# The body in a browser.

HARMLESS = [
    *("application/json", "application/json; charset=utf-8", "Application/JSON"),
    *("application/problem+json", "audio/mpeg", "video/mp4", "image/png", "image/webp;q=1"),
    "application/json;charset=utf-8",
]
SANDBOXED = [
    *("text/html", "TEXT/HTML", "text/html; charset=utf-8", " text/html", "application/xhtml+xml"),
    *("image/svg+xml", "IMAGE/SVG+XML; x=y", "text/xml", "application/xml", "application/pdf"),
    *("text/plain", "text/javascript", "application/javascript", "text/css", "text/xsl"),
    *("application/octet-stream", "multipart/x-mixed-replace", "message/rfc822", "image/x+xml"),
    *("", "json", "*/*", "image/"),
    *("application/json text/html", "application/jsonx", "text/html;application/json"),
    *("x-application/json", "image/svg", "application/rss+xml"),
]


def first_headers(relay: Server, upstream: RawUpstream, *lines: str) -> dict[str, str]:
    joined = "\r\n".join(["HTTP/1.1 200 OK", *lines, "Content-Length: 3", "", "<b>"])
    upstream.handler = sends(joined.encode())
    response, body = ask(relay, get("/v1/files/x/content"))
    assert (response.status, body) == (200, b"<b>")
    assert response.headers["x-content-type-options"] == "nosniff"
    return response.headers


@pytest.mark.parametrize("type_", HARMLESS)
def test_json_and_media_are_not_sandboxed(relay, upstream, type_):
    headers = first_headers(relay, upstream, f"Content-Type: {type_}")
    assert headers["content-type"] == type_
    assert "content-security-policy" not in headers


@pytest.mark.parametrize("type_", SANDBOXED)
def test_any_other_type_is_sandboxed(relay, upstream, type_):
    own = "Content-Security-Policy: default-src *"
    headers = first_headers(relay, upstream, f"Content-Type: {type_}", own)
    assert headers["content-type"] == type_.strip()
    assert headers["content-security-policy"] == "sandbox"


def test_a_type_that_a_list_hides_is_the_one_that_browsers_take(relay, upstream):
    for types in ("application/json, text/html", "application/json;x=,text/html"):
        headers = first_headers(relay, upstream, f"Content-Type: {types}")
        assert headers["content-type"] == "text/html"
        assert headers["content-security-policy"] == "sandbox"
    headers = first_headers(relay, upstream, "Content-Type: text/html, application/json")
    assert headers["content-type"] == "application/json"


def test_a_body_without_a_type_gets_none_and_is_sandboxed(relay, upstream):
    headers = first_headers(relay, upstream)
    assert "content-type" not in headers
    assert headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    ("types", "is_sandboxed"),
    [
        (("application/json", "text/html"), True),
        (("text/html", "application/json"), False),
        (("application/json", "application/json"), False),
    ],
)
def test_of_several_types_the_last_is_the_only_one(relay, upstream, types, is_sandboxed):
    headers = first_headers(relay, upstream, *(f"Content-Type: {each}" for each in types))
    assert headers["content-type"] == types[-1]
    assert ("content-security-policy" in headers) == is_sandboxed


@pytest.mark.parametrize("status", ["400 No", "404 No", "500 No", "302 Found"])
def test_error_pages_are_sandboxed_too(relay, upstream, status):
    upstream.handler = sends(whole(b"<script>", status, Content_Type="text/html"))
    response, _ = ask(relay, get("/v1/models"))
    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_streams_are_not_sniffed(relay, upstream):
    upstream.handler = streams(ANSWER)
    response, _ = ask_chat(relay)
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_stream_whose_200_came_early_is_not_sniffed(upstream):
    with Server(upstream=upstream.url, commit_seconds=0.1) as server, server.connect() as sock:
        sock.sendall(post(PATH, chat()))
        assert Response(sock).headers["x-content-type-options"] == "nosniff"


def test_a_resumable_stream_is_not_sniffed(relay, upstream):
    upstream.handler = streams(ANSWER)
    url = json.loads(ask(relay, post("/v1/streams", chat()))[1])["url"]
    path = url.removeprefix(relay.url)
    assert ask(relay, get(path))[0].headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1", "/nowhere", "/v1/../x"])
def test_sluices_own_answers_are_not_sniffed(relay, path):
    assert ask(relay, get(path))[0].headers["x-content-type-options"] == "nosniff"


# The reason phrase.


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("200 OK", "200 OK"),
        ("200 Fine", "200 Fine"),
        ("404 Not Found", "404 Not Found"),
        ("429 Slow  down!", "429 Slow  down!"),
        ("529 Overloaded", "529 Overloaded"),
        ("404", "404 Not Found"),
        ("404 ", "404 Not Found"),
        ("404 caf\xe9", "404 Not Found"),
        ("404 a\x1b[1m", "404 Not Found"),
        ("529", "529 Unknown"),
    ],
)
def test_the_reason_phrase_is_the_upstreams_or_the_standard_one(relay, upstream, theirs, ours):
    answer = whole(b"{}").replace(b"200 OK", theirs.encode("latin-1"))
    upstream.handler = sends(answer)
    with relay.connect() as sock:
        sock.sendall(get("/v1/models"))
        assert sock.recv(65536).startswith(f"HTTP/1.1 {ours}\r\n".encode())


# The upstream's request id.


@pytest.mark.parametrize("name", ["X-Request-Id", "Request-Id", "apim-request-id"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_the_upstreams_request_id_is_in_the_answer_and_in_the_log(relay, upstream, is_stream, name):
    if is_stream:
        theirs = head(**{"Content-Type": "text/event-stream", name: "theirs"})
        upstream.handler = sends_and_closes(theirs, ANSWER)
    else:
        upstream.handler = sends(whole(JSON_ANSWER, **{name: "theirs"}))
    ours = f"ours-{name}-{is_stream}"
    response, _ = ask(relay, post(PATH, chat(stream=is_stream), X_Request_Id=ours))
    assert response.headers["x-upstream-request-id"] == "theirs"
    assert response.headers["x-request-id"] == ours
    assert logged_end(relay, ours)["upstream_request_id"] == "theirs"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "caf\xe9", "a\tb"])
def test_an_upstreams_request_id_that_is_none_is_left_out(relay, upstream, given):
    line = b"\r\nX-Request-Id: " + given.encode("latin-1") + b"\r\n\r\n"
    upstream.handler = sends(whole(b"{}").replace(b"\r\n\r\n", line))
    ours = f"plain-{given.encode().hex()[:50]}"
    response, _ = ask(relay, get("/v1/models", X_Request_Id=ours))
    assert "x-upstream-request-id" not in response.headers
    assert "upstream_request_id" not in logged_end(relay, ours)


def test_an_error_as_first_event_has_the_upstreams_request_id(relay, upstream):
    theirs = head(**{"Content-Type": "text/event-stream", "X-Request-Id": "theirs"})
    upstream.handler = sends_and_closes(theirs, b'data: {"error":{"message":"no","code":400}}\n\n')
    response, _ = ask(relay, post(PATH, chat(), X_Request_Id="first-error"))
    assert (response.status, response.headers["x-upstream-request-id"]) == (400, "theirs")
    assert logged_end(relay, "first-error")["upstream_request_id"] == "theirs"


def test_the_log_has_the_id_of_an_answer_that_came_after_the_200(upstream):
    def answers_late(sock, request):
        asked.acquire()
        sends_and_closes(
            head(**{"Content-Type": "text/event-stream", "X-Request-Id": "theirs"}), HELLO
        )(sock, request)

    asked = threading.Semaphore(0)
    upstream.handler = answers_late
    with Server(upstream=upstream.url, commit_seconds=0.1) as server, server.connect() as sock:
        sock.sendall(post(PATH, chat(), X_Request_Id="late"))
        response = Response(sock)
        asked.release()
        response.body()
        assert logged_end(server, "late")["upstream_request_id"] == "theirs"
        assert "x-upstream-request-id" not in response.headers
