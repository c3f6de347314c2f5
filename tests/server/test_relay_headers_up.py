"""Which headers pass up to an upstream."""

import pytest

from tests.server.raw_upstream import (
    RawUpstream,
    headers_of,
    sends,
    streams,
    whole,
)
from tests.server.relayed import ANSWER, JSON_ANSWER, PATH
from tests.support.server import Server, wait_until
from tests.support.stream import ask, chat, get, post

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
    # Sluice itself refuses pages of other origins, and upgrades but for the one that may be ignored.
    accepted = {"Origin": "http://localhost", "Upgrade": "h2c"}
    headers = {**dict.fromkeys(NOT_PASSED_UP, "close"), **accepted}
    ask(relay, post(path, chat(), X_Request_Id="id", **headers))
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
