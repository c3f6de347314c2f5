"""Without API keys, what a page of another origin sends is refused. In a browser: tests/browser/test_other_sites.py."""

from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, whole
from tests.support.server import Server
from tests.support.stream import Response, chat, get, post

CHAT = "/v1/chat/completions"
KEY = "a-key-0123456789"
LISTED = "https://listed.test"
WORK = {
    "chat": post(CHAT, chat(simulator={"tokens": 1})),
    "streams": post("/v1/streams", chat(simulator={"tokens": 1})),
    "models": get("/v1/models"),
    "unknown": post("/v1/other", {}),
    "stream_chat": get("/stream_chat?name=hi"),
}


def with_headers(request: bytes, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return request.replace(b"\r\n", b"\r\n" + lines.encode(), 1)


def refused(server: Server, request: bytes, headers: dict[str, str]) -> bool:
    with server.connect() as sock:
        sock.sendall(with_headers(request, headers))
        response = Response(sock)
        if response.status != 403:
            return False
        body = response.body()
        assert b'"code":"origin_not_allowed"' in body
        assert b"SLUICE_CORS_ORIGINS" in body
        return True


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[Server, RawUpstream]]:
    with (
        RawUpstream(lambda sock, _: sock.sendall(whole(b"{}"))) as upstream,
        Server(upstream=upstream.url, upstream_api_key="operators") as server,
    ):
        yield server, upstream


@pytest.fixture(scope="module")
def listing() -> Iterator[Server]:
    with Server(cors_origins=f"{LISTED},null.test://x") as server:
        yield server


def browser(site: str, mode: str = "no-cors", **headers: str) -> dict[str, str]:
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, **headers}


FOREIGN = {
    "no-cors": browser("cross-site", Origin="https://evil.test"),
    "cors": browser("cross-site", "cors", Origin="https://evil.test"),
    "image": browser("cross-site"),
    "image-from-another-port": browser("same-site"),
    "link": browser("cross-site", "navigate"),
    "form": browser("cross-site", "navigate", Origin="https://evil.test"),
    "sandbox": browser("cross-site", "cors", Origin="null"),
    "another-port": browser("same-site", "cors", Origin="http://localhost:3000"),
    "subdomain": browser("same-site", "cors", Origin="http://evil.localhost"),
    "old-browser": {"Origin": "https://evil.test"},
    "old-browser-null": {"Origin": "null"},
    "extension": {"Origin": "chrome-extension://abcdef"},
    "app": {"Origin": "capacitor://localhost"},
    "file": {"Origin": "file://"},
    "own-name-in-front": {"Origin": "http://localhost.evil.test"},
    "own-name-as-user": {"Origin": "http://localhost@evil.test"},
    "two": {"Origin": "http://localhost, https://evil.test"},
    "empty": {"Origin": ""},
    "nonsense": {"Origin": "http://[", "Sec-Fetch-Site": "same-origin"},
    "rebound": browser("same-origin", "cors", Origin="http://evil.test"),
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("request_", WORK.values(), ids=WORK)
def test_a_page_of_another_origin_starts_nothing(sluice, request_, headers):
    assert refused(sluice, request_, headers)


@pytest.mark.parametrize("content_type", [b"Content-Type: text/plain\r\n", b""])
def test_a_body_that_needs_no_preflight_does_not_reach_the_upstream(relay, content_type):
    server, upstream = relay
    request = WORK["chat"].replace(b"Content-Type: application/json\r\n", content_type)
    before = len(upstream.requests)
    assert refused(server, request, FOREIGN["no-cors"])
    assert refused(server, get("/v1/files/x"), FOREIGN["image"])
    assert len(upstream.requests) == before


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/healthz", "/nothing"])
def test_a_page_of_another_origin_learns_nothing_of_the_server(sluice, path):
    assert refused(sluice, get(path), FOREIGN["cors"])
    assert refused(sluice, get(path), FOREIGN["image"])


OWN = {
    "no-browser": {},
    "page": browser("same-origin", "cors", Origin="http://localhost"),
    "page-get": browser("same-origin", "cors"),
    "address-bar": browser("none", "navigate"),
    "old-browser": {"Origin": "http://localhost"},
    "in-upper-case": {"Origin": "HTTP://LOCALHOST"},
    "default-port": {"Origin": "http://localhost:80"},
    "behind-tls": {"Origin": "https://localhost"},
    "proxy-changed-the-port": browser("same-origin", "cors", Origin="http://localhost:8443"),
}


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
@pytest.mark.parametrize("request_", WORK.values(), ids=WORK)
def test_the_servers_own_pages_and_programs_are_answered(sluice, request_, headers):
    assert not refused(sluice, request_, headers)


@pytest.mark.parametrize("host", ["[::1]:8080", "127.0.0.1:8080", "a.localhost:8080"])
def test_the_own_origin_is_compared_with_its_port(sluice, host):
    request = WORK["chat"].replace(b"Host: localhost", f"Host: {host}".encode())
    assert not refused(sluice, request, {"Origin": f"http://{host}"})
    assert refused(sluice, request, {"Origin": f"http://{host.rpartition(':')[0]}:3000"})
    assert refused(sluice, request, {"Origin": f"http://{host.rpartition(':')[0]}"})


@pytest.mark.parametrize("path", ["/", "/static/favicon.svg", "/healthz"])
def test_a_link_on_another_site_leads_to_a_page(sluice, path):
    assert not refused(sluice, get(path), browser("cross-site", "navigate"))
    assert refused(sluice, post(path, {}), browser("cross-site", "navigate"))


def test_a_listed_origin_is_answered_and_no_other(listing):
    for site in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        assert not refused(listing, WORK["chat"], {"Origin": LISTED, **site})
        assert not refused(listing, WORK["chat"], {"Origin": LISTED.upper(), **site})
        for other in ("https://other.test", "null", f"{LISTED}:444", f"{LISTED}.evil.test"):
            assert refused(listing, WORK["chat"], {"Origin": other, **site})
    assert refused(listing, WORK["models"], FOREIGN["image"])


def test_an_asterisk_lists_every_origin():
    with Server(cors_origins="*") as server:
        for headers in FOREIGN.values():
            assert not refused(server, WORK["chat"], headers)


def test_with_keys_the_key_decides():
    with Server(api_keys=KEY) as server:
        headers = {"Authorization": f"Bearer {KEY}", **FOREIGN["cors"]}
        assert not refused(server, WORK["chat"], headers)


def test_a_page_behind_a_proxy_that_changes_host_is_answered():
    with Server(trusted_proxies="127.0.0.1", allowed_hosts="site.test") as server:
        page = {"Origin": "https://site.test"}
        assert refused(server, WORK["chat"], page)
        assert not refused(server, WORK["chat"], {**page, "X-Forwarded-Host": "site.test"})
        assert not refused(server, WORK["chat"], {**page, "Sec-Fetch-Site": "same-origin"})
