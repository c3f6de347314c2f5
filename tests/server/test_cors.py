"""SLUICE_CORS_ORIGINS: which origins' pages may use the API. In a browser: tests/browser/test_cors.py."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, chunk, head, sends, whole
from tests.support.server import Server
from tests.support.stream import Response, chat, get, post

LISTED, OTHER = "https://listed.test", "https://other.test"
PATH = "/v1/chat/completions"
KEY = "a-key-0123456789"
SHORT = chat(simulator={"text": "hi"})
WHOLE = {**SHORT, "stream": False}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    origins = f"{LISTED}, HTTP://[::1]:3000,http://b.test"
    with Server(cors_origins=origins, api_keys=KEY, demo=1, rate_limit="1000/day") as server:
        yield server


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[Server]:
    with Server(cors_origins="*") as server:
        yield server


def ask(server: Server, request: bytes) -> Response:
    with server.connect() as sock:
        sock.sendall(request)
        return Response(sock)


def preflight(path: str, origin: str = LISTED, **headers: str) -> bytes:
    asked = {
        "Origin": origin,
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization,content-type,last-event-id,x-request-id,x-stainless-os",
        **headers,
    }
    return get(path, **asked).replace(b"GET", b"OPTIONS", 1)


def cors_headers(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if "access-control" in name}


def test_a_preflight_needs_no_key_and_allows_what_clients_send(server):
    response = ask(server, preflight(PATH))
    assert response.status == 204
    allowed = cors_headers(response)
    assert allowed["access-control-allow-origin"] == LISTED
    assert allowed["access-control-allow-credentials"] == "true"
    assert "POST" in allowed["access-control-allow-methods"]
    assert set(allowed["access-control-allow-headers"].split(", ")) == {
        *("authorization", "content-type", "last-event-id", "x-request-id", "x-stainless-os")
    }
    assert response.headers["vary"] == "Origin"


@pytest.mark.slow
def test_preflights_are_not_counted():
    with Server(cors_origins=LISTED, rate_limit="1/day") as server:
        for _ in range(3):
            assert ask(server, preflight(PATH)).status == 204
        assert ask(server, post(PATH, SHORT, Origin=LISTED)).status == 200
        refusal = ask(server, post(PATH, SHORT, Origin=LISTED))
        assert refusal.status == 429
        assert cors_headers(refusal)["access-control-allow-origin"] == LISTED
        assert ask(server, preflight(PATH)).status == 204


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(PATH, SHORT, Authorization=f"Bearer {KEY}", Origin=LISTED), 200),
        (post(PATH, WHOLE, Authorization=f"Bearer {KEY}", Origin=LISTED), 200),
        (post(PATH, SHORT, Origin=LISTED), 401),
        (post(PATH, b"{", Authorization=f"Bearer {KEY}", Origin=LISTED), 400),
        (get("/v1/nothing", Authorization=f"Bearer {KEY}", Origin=LISTED), 404),
        (get(PATH, Authorization=f"Bearer {KEY}", Origin=LISTED), 405),
        (get("/stream_chat?name=hi&last_event_id=0", Origin=LISTED), 200),
        (get("/static/js/fetch-event-source/fetch-event-source.js", Origin=LISTED), 200),
    ],
)
def test_every_response_to_a_listed_origin_allows_it(server, request_, status):
    response = ask(server, request_)
    assert response.status == status
    headers = cors_headers(response)
    assert headers["access-control-allow-origin"] == LISTED
    assert headers["access-control-allow-credentials"] == "true"
    exposed = headers["access-control-expose-headers"].lower()
    for name in ("x-request-id", "retry-after", "location", "x-ratelimit-reset"):
        assert name in exposed
    assert "Origin" in response.headers["vary"]


@pytest.mark.slow
def test_204_and_internal_errors_allow_it_too(server):
    with RawUpstream() as upstream, Server(upstream=upstream.url, cors_origins=LISTED) as relay:
        upstream.handler = sends(b"nonsense")
        response = ask(relay, post(PATH, SHORT, Origin=LISTED))
        assert (response.status, "access-control-allow-origin" in response.headers) == (502, True)
    with Server(cors_origins=LISTED) as simulator:
        url = ask(simulator, post("/v1/streams", SHORT, Origin=LISTED)).headers["location"]
        with contextlib.closing(simulator.connect()) as sock:
            sock.sendall(get(url))
            Response(sock).until(b"event: done")
        response = ask(simulator, get(url, Origin=LISTED, Last_Event_ID="5"))
        assert (response.status, "access-control-allow-origin" in response.headers) == (204, True)


@pytest.mark.parametrize(
    "origin",
    [
        *(OTHER, "null", "https://listed.test.evil.test", "https://listed.test:444"),
        *("http://listed.test", "https://sub.listed.test", "http://[::1]:30001", "http://bXtest"),
    ],
)
def test_other_origins_are_not_allowed(server, origin):
    for request in (preflight(PATH, origin), post(PATH, SHORT, Origin=origin)):
        response = ask(server, request)
        assert cors_headers(response) == {}
        # Otherwise a cache would give this response to a listed origin.
        assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["http://[::1]:3000", "http://b.test"])
def test_each_listed_origin_is_named_alone(server, origin):
    headers = cors_headers(ask(server, preflight(PATH, origin)))
    assert headers["access-control-allow-origin"] == origin


def test_a_request_without_an_origin_gets_no_cors_header(server):
    assert cors_headers(ask(server, post(PATH, SHORT))) == {}


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/healthz", "/health"])
def test_operators_routes_are_not_for_other_origins(server, open_to_all, path):
    for one in (server, open_to_all):
        assert cors_headers(ask(one, get(path, Origin=LISTED))) == {}


def test_the_wildcard_allows_no_credentials(open_to_all):
    for request in (preflight(PATH), post(PATH, SHORT, Origin=LISTED)):
        headers = cors_headers(ask(open_to_all, request))
        assert headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in headers


ALLOWED_TO_OTHER = {
    "one": ({"cors_origins": LISTED}, None),
    "all": ({"cors_origins": "*"}, "*"),
    "none": ({}, None),
}


@pytest.fixture(scope="module", params=ALLOWED_TO_OTHER)
def relay(request, raw_upstream) -> Iterator[tuple[Server, str | None]]:
    """A relay with its listed origins, and the origin that it allows to ``OTHER``."""
    settings, allowed = ALLOWED_TO_OTHER[request.param]
    # Without keys, other origins would be refused.
    with Server(upstream=raw_upstream.url, api_keys=KEY, **settings) as relay:
        yield relay, allowed


SAID = {"Access_Control_Allow_Origin": OTHER, "Access_Control_Allow_Credentials": "true"}
STREAM = head(Content_Type="text/event-stream", Transfer_Encoding="chunked", **SAID)


@pytest.mark.parametrize(
    ("answer", "stream", "status"),
    [
        (sends(STREAM, chunk(b"data: {}\n\n")), True, 200),
        (sends(whole(b"{}", **SAID)), False, 200),
        (sends(whole(b'{"error": {}}', "400 No", **SAID)), False, 400),
    ],
    ids=["stream", "JSON", "refusal"],
)
def test_an_upstreams_own_cors_headers_are_dropped(relay, upstream, answer, stream, status):
    upstream.handler = answer
    server, allowed = relay
    response = ask(
        server, post(PATH, chat(stream=stream), Origin=OTHER, Authorization=f"Bearer {KEY}")
    )
    assert response.status == status
    assert cors_headers(response).get("access-control-allow-origin") == allowed


def test_without_the_setting_no_origin_is_allowed(sluice):
    for request in (preflight(PATH), post(PATH, SHORT, Origin=LISTED)):
        assert cors_headers(ask(sluice, request)) == {}
