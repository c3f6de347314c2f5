"""Which headers pass up to an upstream and back from it, and what a browser is told of a relayed body."""

import json
import threading

import pytest

from tests.server.raw_upstream import (
    RawUpstream,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.server.relayed import ANSWER, HELLO, JSON_ANSWER, PATH, ask_chat, logged_end
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, get, post

# Up.

PASSED_UP = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "anthropic-beta": "tools",
    "anthropic-version": "2023-06-01",
    "api-key": "azure",
    "Authorization": "Bearer client",
    "Idempotency-Key": "1",
    "If-None-Match": '"1"',
    "OpenAI-Beta": "x",
    "OpenAI-Organization": "org",
    "OpenAI-Project": "proj",
    "Range": "bytes=0-1",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "x=1",
    "User-Agent": "test/1",
    "X-Api-Key": "anthropic",
    "X-Client-Request-Id": "1",
    "X-Goog-Api-Key": "google",
    "X-Request-Id": "id",
    "X-Stainless-Lang": "python",
}
NOT_PASSED_UP = [
    *("Accept-Language", "baggage", "CF-Connecting-IP", "CF-Ray", "CDN-Loop", "Client-IP"),
    *("Connection", "Cookie", "Cookie2", "DNT", "DPoP", "Fastly-Client-IP", "Forwarded", "From"),
    *("HTTP-Referer", "HTTP2-Settings", "Last-Event-ID", "Max-Forwards", "Origin", "Pragma"),
    *("Proxy-Authorization", "Proxy-Connection", "Referer", "Save-Data", "Sec-CH-UA", "Sec-GPC"),
    *("Sec-Fetch-Dest", "Sec-Fetch-Mode", "TE", "Trailer", "True-Client-IP", "Upgrade", "Via"),
    *("X-Anything", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address", "Priority"),
    *("X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP"),
    *("X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-User"),
    *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL"),
    *("X-Original-Forwarded-For", "X-ProxyUser-IP", "X-Requested-With", "X-Rewrite-URL"),
    *("Remote-User", "X-Remote-User", "X-WebAuth-User", "X-Amzn-Trace-Id", "Keep-Alive"),
]


def sent(upstream: RawUpstream) -> dict[str, str]:
    """Return the headers of the newest request, without those of its connection and its body."""
    received = headers_of(wait_until(lambda: upstream.requests)[-1])
    return {name: value for name, value in received.items() if name not in OF_THE_MESSAGE}


OF_THE_MESSAGE = ("host", "content-type", "content-length")


def test_what_the_api_needs_passes_up(relay, upstream):
    upstream.handler = sends(whole(JSON_ANSWER))
    ask(relay, post(PATH, chat(stream=False), **PASSED_UP))
    assert sent(upstream) == {name.lower(): value for name, value in PASSED_UP.items()}


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/files", "/v1/streams"])
def test_nothing_else_passes_up(relay, upstream, path):
    upstream.handler = streams(ANSWER)
    request = post(path, chat(), X_Request_Id="id", **dict.fromkeys(NOT_PASSED_UP, "close"))
    ask(relay, request)
    assert sent(upstream) == {"x-request-id": "id", "accept-encoding": "identity"}


@pytest.mark.parametrize("name", ["Cookie", "COOKIE", "cOOKIE", "X_Forwarded_For", "OpenAI"])
def test_no_spelling_of_a_name_passes_up(relay, upstream, name):
    upstream.handler = sends(whole(b"{}"))
    line = f"\r\n{name}:secret\r\n\r\n".encode()
    ask(relay, get("/v1/models").replace(b"\r\n\r\n", line))
    assert "secret" not in sent(upstream).values()


def test_a_header_that_connection_lists_passes_up_under_no_list(relay, upstream):
    upstream.handler = sends(whole(b"{}"))
    ask(relay, get("/v1/models", Connection="OpenAI-Beta, accept", OpenAI_Beta="x", Accept="y"))
    assert sent(upstream).keys() == {"x-request-id"}


def test_pass_headers_names_more_headers_that_pass_up(upstream):
    upstream.handler = sends(whole(b"{}"))
    with Server(upstream=upstream.url, pass_headers="HTTP-Referer, x-title,Helicone-*") as server:
        given = {"HTTP-Referer": "https://app", "X-Title": "App", "Helicone-Auth": "Bearer h"}
        request = get("/v1/models", **given, Cookie="c", X_Titles="no", Helicon="no")
        ask(server, request)
    received = sent(upstream)
    received.pop("x-request-id")
    assert received == {name.lower(): value for name, value in given.items()}


def test_a_prefix_in_pass_headers_passes_neither_keys_nor_hop_by_hop_headers(upstream):
    upstream.handler = sends(whole(b"{}"))
    settings = {"api_keys": "a-key-of-sluice-1", "pass_headers": "x-*,a*,t*,c*,p*,Authorization"}
    keys = dict.fromkeys(["X-Api-Key", "Api-Key", "X-Goog-Api-Key"], "theirs")
    with Server(upstream=upstream.url, **settings) as server:
        request = get(
            "/v1/models",
            Authorization="Bearer a-key-of-sluice-1",
            **keys,
            X_Anything="yes",
            TE="trailers",
            Proxy_Authorization="Basic eA==",
        )
        assert ask(server, request)[0].status == 200
    received = sent(upstream)
    assert received.pop("x-request-id")
    assert received == {"x-anything": "yes"}


# Back.

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
    *("", "json", "application/json, text/html", "text/html, application/json", "*/*", "image/"),
    *("application/json text/html", "application/jsonx", "text/html;application/json"),
    *("application/json;x=,text/html", "x-application/json", "image/svg", "application/rss+xml"),
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


# The Location.


@pytest.mark.parametrize(
    ("location", "ours"),
    [
        ("{base}/files/1", "/v1/files/1"),
        ("{base}/files/1?x=%2F#y", "/v1/files/1?x=%2F#y"),
        ("{upper}/files/1", "/v1/files/1"),
        ("{secure}/files/1", "/v1/files/1"),
        ("//{host}/v1/files/1", "/v1/files/1"),
        ("/v1/files/1", "/v1/files/1"),
        ("1", "/v1/1"),
        ("files/1", "/v1/files/1"),
        ("?page=2", "/v1/files?page=2"),
        ("./files/caf%C3%A9", "/v1/files/caf%C3%A9"),
    ],
)
@pytest.mark.parametrize("status", ["201 Created", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_location_below_the_upstreams_url_becomes_ours(relay, upstream, status, location, ours):
    names = {
        "base": upstream.url,
        "host": upstream.host,
        "upper": upstream.url.replace("http://", "HTTP://"),
        "secure": upstream.url.replace("http", "https"),
    }
    upstream.handler = sends(whole(b"{}", status, Location=location.format(**names)))
    response, _ = ask(relay, post("/v1/files", {}))
    assert response.status == int(status[:3])
    assert response.headers["location"] == ours


ELSEWHERE = [
    *("http://elsewhere/v1/x", "https://169.254.169.254/", "//elsewhere/v1/x", "/", "/admin"),
    *("/v10/x", "../x", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin", "/v1/%2e%2e%5cx"),
    *("http://127.0.0.1:1/v1/x", "javascript:alert(1)", "file:///v1/x", "data:text/html,x"),
    *("http://[::1/v1/x", "http://h:port/v1/x", "/v1\\..\\admin", "ftp://{host}/v1/x"),
    *("http://{host}@elsewhere/v1/x", "http://{host}.elsewhere/v1/x", "/v1/a b", "/v1/\xe9"),
]


@pytest.mark.parametrize("location", ELSEWHERE)
def test_a_redirect_to_elsewhere_is_refused(relay, upstream, location):
    line = f"Location: {location.format(host=upstream.host)}\r\n\r\n".encode("latin-1")
    upstream.handler = sends(head("302 Found", Content_Length=0)[:-2] + line)
    response, body = ask(relay, get("/v1/models"))
    error = json.loads(body)["error"]
    assert (response.status, error["code"]) == (502, "upstream_invalid")
    assert "redirects" in error["message"]
    assert "location" not in response.headers


def test_a_location_elsewhere_of_what_is_no_redirect_is_left_out(relay, upstream):
    upstream.handler = sends(whole(b"{}", "201 Created", Location="http://elsewhere/v1/x"))
    response, _ = ask(relay, post("/v1/files", {}))
    assert (response.status, "location" in response.headers) == (201, False)


def test_a_refused_redirect_is_an_error_in_the_log_and_closes_the_connection(relay, upstream):
    upstream.handler = sends(head("302 Found", Location="http://elsewhere/", Content_Length=9))
    ask(relay, get("/v1/models", X_Request_Id="redirected"))
    line = logged_end(relay, "redirected")
    assert (line["outcome"], line["code"]) == ("error", "upstream_invalid")


def test_a_location_of_any_of_several_upstreams_becomes_ours(upstream):
    with Server(upstream=f"{upstream.url},http://127.0.0.1:1/other") as server:
        upstream.handler = sends(whole(b"{}", "201 Created", Location="http://127.0.0.1:1/other/x"))
        assert ask(server, post("/v1/files", {}))[0].headers["location"] == "/v1/x"


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
