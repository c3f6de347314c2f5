"""WebSockets and other upgrades are refused with a sentence."""

import pytest

from tests.server.raw_upstream import streams
from tests.server.relayed import ANSWER, PATH
from tests.support.stream import ask, chat, get, post

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
REFUSED = [
    get("/v1/realtime?model=m", **WEBSOCKET),
    get("/v1/realtime?model=m"),
    get("/v1/realtime/"),
    get("/v1/responses", **WEBSOCKET),
    get("/healthz", **WEBSOCKET),
    get("/", **{**WEBSOCKET, "Upgrade": "WebSocket"}),
]


@pytest.mark.parametrize("request_", REFUSED)
@pytest.mark.parametrize("server", ["relay", "sluice"])
def test_a_websocket_is_refused_with_a_sentence(request, upstream, server, request_):
    response, body = ask(request.getfixturevalue(server), request_)
    assert response.status == 501
    assert b'"code":"not_implemented"' in body
    assert b"WebSockets are not relayed" in body
    assert upstream.requests == []


def test_another_upgrade_is_refused_by_its_name(relay, upstream):
    response, body = ask(relay, get("/v1/models", Connection="Upgrade", Upgrade="IRC/6.9"))
    assert response.status == 501
    assert b"the upgrade to IRC/6.9 is not relayed" in body
    assert upstream.requests == []


def test_an_offer_of_http_2_is_ignored(relay, upstream):
    upstream.handler = streams(ANSWER)
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMA"}
    response, body = ask(relay, post(PATH, chat(), **offer))
    assert (response.status, body) == (200, ANSWER)
