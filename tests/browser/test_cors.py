"""A page of another origin, in Chromium: it may use Sluice only if SLUICE_CORS_ORIGINS lists its origin."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.event_server import EventServer
from tests.support.server import Server

pytestmark = pytest.mark.slow

# Sends a POST that needs a preflight, and resolves to the text, or to the kind and status of the error.
POST = """async ({url, key, credentials, module = url}) => {
    const { FetchEventSource } = await import(module + "/static/js/fetch-event-source/fetch-event-source.js");
    const source = new FetchEventSource(url + "/v1/chat/completions", {
        method: "POST",
        headers: { "Authorization": "Bearer " + key, "Last-Event-ID": "0", "X-Request-Id": "asked" },
        body: { model: "any", stream: true, messages: [{ role: "user", content: "hi" }], simulator: { text: "yes" } },
        credentials,
    });
    return await new Promise((resolve) => {
        let text = "";
        source.onmessage = ({ data }) => {
            if (data !== "[DONE]") return text += JSON.parse(data).choices[0].delta.content ?? "";
            source.close();
            resolve(text);
        };
        source.onerror = ({ kind, status }) => { source.close(); resolve([kind, status ?? null]); };
    });
}"""

LISTEN = """({url, withCredentials}) => new Promise((resolve) => {
    const source = new EventSource(url + "/stream_chat?name=hi", { withCredentials });
    const end = (how) => { source.close(); resolve(how); };
    source.onmessage = ({ data }) => end(JSON.parse(data).message);
    source.onerror = () => end("refused");
})"""

FETCH = """async ({url, key}) => {
    const headers = { "Authorization": "Bearer " + key, "Content-Type": "application/json" };
    const response = await fetch(url + "/v1/streams", { method: "POST", headers, body: "{}" });
    return [response.status, response.headers.get("x-request-id") !== null, response.headers.get("retry-after")];
}"""


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports each response that it refuses, or that is an error."""
    return ["Failed to load resource: ", "Access to "]


@pytest.fixture(scope="module")
def other() -> Iterator[EventServer]:
    """Yields the server of the page's origin."""
    with EventServer() as other:
        yield other


@pytest.fixture(scope="module")
def listing(other: EventServer) -> Iterator[Server]:
    settings = {"api_keys": "a-key-0123456789", "rate_limit": "4/day", "demo": 1}
    with Server(cors_origins=other.url, **settings) as server:
        yield server


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[Server]:
    with Server(cors_origins="*") as server:
        yield server


@pytest.fixture
def elsewhere(page: Page, other: EventServer) -> Page:
    page.goto(other.url)
    return page


def test_a_listed_origin_posts_and_listens_and_reads_errors(
    elsewhere: Page, listing: Server
) -> None:
    asked = {"url": listing.url, "key": "a-key-0123456789"}
    assert elsewhere.evaluate(POST, asked) == "yes"
    assert elsewhere.evaluate(POST, {**asked, "credentials": "include"}) == "yes"
    assert elsewhere.evaluate(POST, {**asked, "key": "wrong"}) == ["status", 401]
    assert elsewhere.evaluate(LISTEN, {**asked, "withCredentials": True}) == "success"
    assert elsewhere.evaluate(FETCH, asked) == [400, True, None]
    # Keys and addresses are counted alike, and this was the third request with the key.
    elsewhere.evaluate(FETCH, asked)
    status, has_id, retry_after = elsewhere.evaluate(FETCH, asked)
    assert (status, has_id) == (429, True)
    assert int(retry_after) > 0


def test_any_origin_posts_and_listens_but_not_with_credentials(
    elsewhere: Page, open_to_all: Server
) -> None:
    asked = {"url": open_to_all.url, "key": "any"}
    assert elsewhere.evaluate(POST, asked) == "yes"
    assert elsewhere.evaluate(LISTEN, asked) == "success"
    assert elsewhere.evaluate(LISTEN, {**asked, "withCredentials": True}) == "refused"
    assert elsewhere.evaluate(POST, {**asked, "credentials": "include"}) == ["network", None]


def test_an_origin_that_is_not_listed_is_refused(page: Page, listing: Server) -> None:
    with EventServer() as unlisted:
        page.goto(unlisted.url)
        asked = {"url": listing.url, "key": "a-key-0123456789", "module": unlisted.url}
        assert page.evaluate(POST, asked) == ["network", None]
        assert page.evaluate(LISTEN, asked) == "refused"
