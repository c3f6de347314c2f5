"""Pages of other sites, in Chromium, and a gateway on localhost without keys: none can use it, and its own page can."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.event_server import EventServer
from tests.server.raw_upstream import RawUpstream, whole
from tests.support.server import Server

pytestmark = pytest.mark.slow

BODY = '{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'

# Each resolves when the browser is done with the request, whatever came of it.
ATTACKS = {
    "fetch of a typed Blob": """(url) => fetch(url + "/v1/chat/completions",
        { method: "POST", mode: "no-cors", body: new Blob(['BODY'], { type: "text/plain" }) }).catch(() => 0)""",
    "fetch of a Blob without a type": """(url) => fetch(url + "/v1/chat/completions",
        { method: "POST", mode: "no-cors", body: new Blob(['BODY']) }).catch(() => 0)""",
    "beacon": """(url) => { navigator.sendBeacon(url + "/v1/chat/completions", new Blob(['BODY']));
        return fetch(url + "/v1/models", { mode: "no-cors" }).catch(() => 0); }""",
    "EventSource": """(url) => new Promise((resolve) => {
        new EventSource(url + "/v1/responses/x?stream=true").onerror = resolve; })""",
    "image": """(url) => new Promise((resolve) => {
        const image = new Image(); image.onload = image.onerror = resolve; image.src = url + "/v1/models"; })""",
    "form": """(url) => new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.name = "target";
        document.body.append(frame);
        const form = document.createElement("form");
        Object.assign(form, { method: "post", action: url + "/v1/chat/completions", target: "target", enctype: "text/plain" });
        const input = document.createElement("input");
        Object.assign(input, { name: 'BODY', value: "" });
        form.append(input);
        document.body.append(form);
        frame.onload = resolve;
        form.submit(); })""",
    "sandboxed frame": """(url) => new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts";
        frame.srcdoc = `<script>fetch("${url}/v1/chat/completions",
            { method: "POST", mode: "no-cors", body: new Blob(['BODY']) })
            .catch(() => 0).then(() => parent.postMessage("done", "*"))</scr` + `ipt>`;
        onmessage = resolve;
        document.body.append(frame); })""",
}


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports each response that it refuses, or that is an error."""
    return ["Failed to load resource: ", "Access to ", "Cross-Origin"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream(lambda sock, _: sock.sendall(whole(b"{}"))) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def relay(upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=upstream.url, upstream_api_key="operators") as relay:
        yield relay


def relayed(upstream: RawUpstream) -> list[bytes]:
    """Return the requests that reached the upstream, but for those of /readyz."""
    return [request for request in upstream.requests if b"authorization: bearer" in request.lower()]


def chats(upstream: RawUpstream) -> list[bytes]:
    return [request for request in relayed(upstream) if request.startswith(b"POST ")]


@pytest.mark.parametrize("host", ["another-site.test", "127.0.0.1"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_page_elsewhere_does_not_reach_the_upstream(
    page: Page, relay: Server, upstream: RawUpstream, attack: str, host: str
) -> None:
    with EventServer() as elsewhere:
        before = len(relayed(upstream))
        page.goto(elsewhere.url.replace("127.0.0.1", host))
        page.evaluate(attack.replace("BODY", BODY), relay.url)
        assert len(relayed(upstream)) == before


def test_a_page_whose_name_is_rebound_to_the_gateway_reads_nothing(
    page: Page, relay: Server, upstream: RawUpstream
) -> None:
    before = len(relayed(upstream))
    # The browser's resolver says 127.0.0.1: to the browser the page and the gateway are of one origin.
    response = page.goto(f"http://another-site.test:{relay.port}/")
    assert response is not None
    assert response.status == 400
    status = page.evaluate("""async () => {
        const headers = { "Content-Type": "application/json", "X-Forwarded-Host": "localhost" };
        return (await fetch("/v1/chat/completions", { method: "POST", headers, body: "{}" })).status;
    }""")
    assert status == 400
    assert len(relayed(upstream)) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_own_page_reaches_the_upstream(
    page: Page, relay: Server, upstream: RawUpstream, host: str
) -> None:
    # The page itself asks for the models.
    page.goto(relay.url.replace("127.0.0.1", host))
    before = len(chats(upstream))
    status = page.evaluate(
        """async (body) => {
            const headers = { "Content-Type": "application/json" };
            return (await fetch("/v1/chat/completions", { method: "POST", headers, body })).status;
        }""",
        BODY,
    )
    assert status == 200
    assert len(chats(upstream)) == before + 1


def test_a_link_on_another_site_leads_to_the_page(page: Page, relay: Server) -> None:
    with EventServer() as elsewhere:
        page.goto(elsewhere.url.replace("127.0.0.1", "another-site.test"))
        with page.expect_navigation(url=f"{relay.url}/") as navigation:
            page.evaluate("(url) => { location.href = url + '/'; }", relay.url)
        assert navigation.value.status == 200
