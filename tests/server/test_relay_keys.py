"""Whose key reaches whom, in which header; and Azure's routes below /openai."""

import json
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, headers_of, sends, streams, target_of, whole
from tests.server.relayed import ANSWER, DONE, HELLO, JSON_ANSWER, PATH
from tests.support.server import Server
from tests.support.stream import Response, ask, chat, get, post

OUR_KEY = "a-key-of-sluice-1"
THEIR_KEY = "sk-upstream"
KEYS = {
    "authorization": "Bearer client",
    "api-key": "client",
    "x-api-key": "client",
    "x-goog-api-key": "client",
}
AZURE = "/openai/deployments/ours/chat/completions?api-version=2024-10-21"


def keys_sent(upstream: RawUpstream) -> dict[str, str]:
    """Return what the newest request had in any header for keys."""
    received = headers_of(upstream.requests[-1])
    return {name: value for name, value in received.items() if name in KEYS}


@pytest.fixture(scope="module")
def keeper(raw_upstream) -> Iterator[Server]:
    """Has keys of its own and one for the upstream."""
    settings = {"api_keys": OUR_KEY, "upstream_api_key": THEIR_KEY, "models": "ours"}
    with Server(upstream=raw_upstream.url, rate_limit="1000/day", **settings) as server:
        yield server


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/models", AZURE])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", f"Bearer {OUR_KEY}"),
        ("Authorization", f"bearer  {OUR_KEY} "),
        ("api-key", OUR_KEY),
        ("API-KEY", f" {OUR_KEY} "),
        ("x-api-key", OUR_KEY),
        ("x-goog-api-key", OUR_KEY),
    ],
)
def test_each_kind_of_client_may_send_sluices_key(keeper, upstream, path, name, value):
    upstream.handler = sends(whole(b"{}"))
    response, _ = ask(keeper, post(path, {}, **{name: value}))
    assert response.status == 200
    assert OUR_KEY.encode() not in upstream.requests[-1]


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/models", AZURE, "/openai/models"])
@pytest.mark.parametrize("name", [*KEYS, "x-key", "cookie"])
def test_a_wrong_key_is_refused_in_each_form(keeper, upstream, path, name):
    response, body = ask(keeper, post(path, {}, **{name: "Bearer wrong"}))
    assert (response.status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (PATH, {"authorization": f"Bearer {THEIR_KEY}"}),
        ("/v1/responses", {"authorization": f"Bearer {THEIR_KEY}"}),
        ("/v1/messagesx", {"authorization": f"Bearer {THEIR_KEY}"}),
        ("/v1/messages", {"x-api-key": THEIR_KEY}),
        ("/v1/messages/count_tokens?beta=true", {"x-api-key": THEIR_KEY}),
        ("/v1/messages/other", {"x-api-key": THEIR_KEY}),
        (AZURE, {"api-key": THEIR_KEY}),
        ("/openai/v1/chat/completions", {"api-key": THEIR_KEY}),
        ("/openai/files?api-version=1", {"api-key": THEIR_KEY}),
    ],
)
def test_the_upstreams_key_goes_up_alone_in_the_form_of_the_routes_api(
    keeper, unkeyed, upstream, path, sent
):
    upstream.handler = sends(whole(b"{}"))
    given = {**KEYS, "authorization": f"Bearer {OUR_KEY}"}
    for server in (keeper, unkeyed):
        assert ask(server, post(path, {}, **given))[0].status == 200
        assert keys_sent(upstream) == sent


@pytest.fixture(scope="module")
def unkeyed(raw_upstream) -> Iterator[Server]:
    """Has a key for the upstream, and none of its own."""
    with Server(upstream=raw_upstream.url, upstream_api_key=THEIR_KEY) as server:
        yield server


def test_a_setting_says_in_which_header_the_upstreams_key_goes(upstream):
    upstream.handler = sends(whole(b"{}"))
    settings = {"upstream_api_key": THEIR_KEY, "upstream_key_header": "Authorization"}
    with Server(upstream=upstream.url, **settings) as server:
        for path in (PATH, "/v1/messages", AZURE):
            ask(server, post(path, {}, **KEYS))
            assert keys_sent(upstream) == {"authorization": f"Bearer {THEIR_KEY}"}


def test_without_an_upstreams_key_sluices_keys_still_stay_here(upstream):
    upstream.handler = sends(whole(b"{}"))
    with Server(upstream=upstream.url, api_keys=OUR_KEY) as server:
        ask(server, post(PATH, {}, **{**KEYS, "authorization": f"Bearer {OUR_KEY}"}))
    assert keys_sent(upstream) == {}


@pytest.mark.parametrize("path", [PATH, "/v1/messages", AZURE, "/v1/models"])
def test_without_any_keys_the_clients_pass_in_the_form_they_came(relay, upstream, path):
    upstream.handler = sends(whole(b"{}"))
    for name, value in KEYS.items():
        ask(relay, post(path, {}, **{name: value}))
        assert keys_sent(upstream) == {name: value}


def test_limits_count_each_kind_of_key_by_itself(upstream):
    upstream.handler = sends(whole(b"{}"))
    settings = {"api_keys": f"{OUR_KEY},{OUR_KEY}2", "rate_limit": "1/day"}
    with Server(upstream=upstream.url, **settings) as server:
        statuses = [
            ask(server, post(path, {}, **{name: key}))[0].status
            for path, name, key in [
                (AZURE, "api-key", OUR_KEY),
                (PATH, "x-api-key", OUR_KEY),
                (AZURE, "authorization", f"Bearer {OUR_KEY}"),
                ("/openai/v1/responses", "x-goog-api-key", f"{OUR_KEY}2"),
                ("/openai/v1/responses", "api-key", f"{OUR_KEY}2"),
            ]
        ]
    assert statuses == [200, 429, 429, 200, 429]


# Azure's routes.

OF_OPENAI = [
    (
        "/openai/deployments/ours/chat/completions?api-version=1",
        "/v1/chat/completions?api-version=1",
    ),
    ("/openai/deployments/ours/completions", "/v1/completions"),
    ("/openai/deployments/org/ours/embeddings", "/v1/embeddings"),
    ("/openai/deployments/ours/extensions/x%20y", "/v1/extensions/x%20y"),
    ("/openai/v1/chat/completions", "/v1/chat/completions"),
    ("/openai/v1/files/a%2Fb?x", "/v1/files/a%2Fb?x"),
    ("/openai/models?api-version=1", "/v1/models?api-version=1"),
    ("/openai/responses", "/v1/responses"),
]


@pytest.mark.parametrize(("path", "target"), OF_OPENAI)
def test_azures_routes_go_to_openais_of_an_upstream_that_is_not_azure(
    relay, upstream, path, target
):
    upstream.handler = sends(whole(b"{}"))
    assert ask(relay, post(path, chat(stream=False)))[0].status == 200
    assert target_of(upstream.requests[-1]) == target


@pytest.mark.parametrize("base", ["/openai", "/openai/v1", ""])
def test_azures_routes_pass_as_they_came_to_an_upstream_of_azures_kind(upstream, base):
    upstream.handler = sends(whole(b"{}"))
    with Server(upstream=f"http://{upstream.host}{base}") as server:
        for path, _ in OF_OPENAI:
            ask(server, post(path, chat(stream=False)))
            assert target_of(upstream.requests[-1]) == path
        ask(server, post(PATH, chat(stream=False)))
        assert target_of(upstream.requests[-1]) == f"{base}/chat/completions"


def test_a_stream_of_a_deployment_is_a_stream(relay, upstream):
    upstream.handler = streams(ANSWER)
    response, body = ask(relay, post(AZURE, chat()))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert body == ANSWER


def test_a_stream_of_a_deployment_that_ends_early_is_told(relay, upstream):
    upstream.handler = streams(HELLO)
    _, body = ask(relay, post(AZURE, chat()))
    assert b'"upstream_truncated"' in body
    assert DONE not in body


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (AZURE, {}, 200),
        (AZURE, {"model": "ours"}, 200),
        (AZURE, {"model": "theirs"}, 404),
        (AZURE.replace("ours", "theirs"), {}, 404),
        (AZURE.replace("ours", "theirs"), {"model": "ours"}, 404),
        (AZURE.replace("ours", "%6furs"), {}, 200),
        (AZURE.replace("ours", "ours%2fx"), {}, 404),
        (AZURE.replace("ours", "x/ours"), {}, 404),
        (AZURE.replace("/chat/", "/x/chat/"), {}, 404),
        ("/openai/deployments/theirs/extensions", {}, 404),
        ("/openai/deployments/theirs%2Fx/extensions", {}, 404),
        ("/openai/deployments/ours/extensions", {}, 200),
        ("/openai/v1/chat/completions", {"model": "theirs"}, 404),
        ("/openai/deployments/../deployments/ours/chat/completions", {}, 404),
        ("/openai/../v1/chat/completions", {}, 404),
        ("/openai/deployments/%2e%2e/x", {}, 404),
    ],
)
def test_a_deployment_is_a_model_that_has_to_be_accepted(keeper, upstream, path, body, status):
    upstream.handler = sends(whole(JSON_ANSWER))
    response, _ = ask(keeper, post(path, body, **{"api-key": OUR_KEY}))
    assert response.status == status
    assert len(upstream.requests) == (status == 200)


def test_without_an_upstream_there_are_no_deployments(sluice):
    response, body = ask(sluice, post(AZURE, chat()))
    assert (response.status, json.loads(body)["error"]["code"]) == (404, "not_found")


def test_other_origins_may_use_azures_routes_where_they_may_use_openais(upstream):
    upstream.handler = sends(whole(b"{}"))
    origin = "https://listed.test"
    with Server(upstream=upstream.url, cors_origins=origin) as server, server.connect() as sock:
        sock.sendall(get("/openai/models", Origin=origin))
        headers = Response(sock).headers
    assert headers["access-control-allow-origin"] == "https://listed.test"
    assert "X-Upstream-Request-Id" in headers["access-control-expose-headers"]
