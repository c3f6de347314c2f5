"""The Location of an upstream's answer, which must not lead clients past Sluice."""

import json

import pytest

from tests.server.raw_upstream import (
    head,
    sends,
    whole,
)
from tests.server.relayed import logged_end
from tests.support.server import Server
from tests.support.stream import ask, get, post


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
    upstream.handler = sends(
        head("302 Found", Location="http://elsewhere/", Content_Length=9) + b"<"
    )
    ask(relay, get("/v1/models", X_Request_Id="redirected"))
    line = logged_end(relay, "redirected")
    assert (line["outcome"], line["code"]) == ("error", "upstream_invalid")


@pytest.mark.slow
def test_a_location_of_any_of_several_upstreams_becomes_ours(upstream):
    with Server(upstream=f"{upstream.url},http://127.0.0.1:1/other") as server:
        upstream.handler = sends(whole(b"{}", "201 Created", Location="http://127.0.0.1:1/other/x"))
        assert ask(server, post("/v1/files", {}))[0].headers["location"] == "/v1/x"
