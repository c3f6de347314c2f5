"""FetchEventSource in Chromium: what EventSource cannot do, so that the comparison does not cover it."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conformance_cases import answers_with, opens
from tests.browser.conformance_server_cases import resets
from tests.browser.demo_page import whole_answer
from tests.browser.event_server import EventServer
from tests.server.raw_upstream import (
    STREAM_HEAD,
    Handler,
    breaks_off,
    chunk,
    sends,
    streams,
    whole,
)
from tests.support.server import Server, wait_until

pytestmark = pytest.mark.slow

MODULE = "/static/js/fetch-event-source/fetch-event-source.js"
EVENT = b"data: a\n\n"
REFUSAL = b'{"error": {"code": "rate_limit_exceeded"}}'


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports each response that is an error or breaks off."""
    return ["Failed to load resource: "]


@pytest.fixture(scope="module")
def server() -> Iterator[EventServer]:
    with EventServer() as server:
        yield server


@pytest.fixture
def blank(page: Page, server: EventServer) -> Page:
    page.goto(server.url)
    return page


ENDS: dict[str, tuple[Handler, dict[str, object]]] = {
    "ends without the terminal event": (streams(EVENT), {"kind": "end", "events": ["message a"]}),
    "ends in an event": (streams(EVENT + b"data: b\n"), {"kind": "cut", "events": ["message a"]}),
    "breaks off": (breaks_off(b"data: a"), {"kind": "cut", "events": []}),
    "resets": (resets(STREAM_HEAD, chunk(b"data: a")), {"kind": "cut", "events": []}),
    "resets without an answer": (resets(), {"kind": "network", "status": None, "events": []}),
    "stalls": (opens(EVENT), {"kind": "idle", "status": None}),
    "never answers": (sends(), {"kind": "idle", "status": None}),
    "sends an event that is too large": (
        opens(EVENT + b"data: " + b"x" * 2000),
        {"kind": "too-large", "status": None, "events": ["message a"]},
    ),
    "sends a proxy's HTML page": (
        answers_with("200 OK", "text/html", b"<h1>Hello</h1>"),
        {"kind": "content-type", "body": "<h1>Hello</h1>", "events": []},
    ),
    "refuses": (
        sends(whole(REFUSAL, "429 Too Many Requests")),
        {"kind": "status", "status": 429, "body": REFUSAL.decode(), "events": []},
    ),
    "has nothing more": (
        answers_with("204 No Content", body=b""),
        {"kind": "no-content", "status": 204, "events": []},
    ),
    "reports an error in the stream": (
        streams(b"event: error\ndata: why\n\n"),
        {"kind": "end", "events": ["error why"]},
    ),
}
POST_ALL = """async (runs) => {
    const {FetchEventSource} = await import("/static/js/fetch-event-source/fetch-event-source.js");
    const post = ([url, options]) => new Promise((resolve) => {
        const events = [];
        const source = new FetchEventSource(url, {method: "POST", body: {question: "Why?"}, ...options});
        const take = (event) => events.push(`${event.type} ${event.data}`);
        source.onmessage = take;
        source.onerror = (event) => {
            if (event instanceof MessageEvent) return take(event);
            const {kind, status, body, willRetry} = event;
            resolve({kind, status, body, willRetry, events, readyState: source.readyState});
        };
    });
    return Promise.all(runs.map(post));
}"""


def test_each_end_of_a_post_is_an_error_of_its_kind_and_not_repeated(
    blank: Page, server: EventServer
) -> None:
    runs = []
    for name, (answer, end) in ENDS.items():
        # Only two cases wait for the idle timeout; on a slow machine another case may take as long.
        options = {"idleTimeout": 200} if end["kind"] == "idle" else {"maxEventSize": 1000}
        runs.append((server.script(name.replace(" ", "-"), answer), options))
    results = dict(zip(ENDS, blank.evaluate(POST_ALL, runs), strict=True))
    common = {"status": 200, "body": None, "willRetry": False, "readyState": 2}
    expected = {name: {**common, **end} for name, (_, end) in ENDS.items()}
    assert {
        name: {key: result[key] for key in expected[name]} for name, result in results.items()
    } == expected
    for name in ENDS:
        requests = server.requests_of(name.replace(" ", "-"))
        # Chromium itself repeats a request when a connection that it reuses is reset without a response.
        assert len(requests) == 1 or name == "resets without an answer"
        assert requests[0].method == "POST"
        assert requests[0].headers["content-type"] == "application/json"


def test_leaving_a_loop_closes_the_connection(blank: Page, server: EventServer) -> None:
    url = server.script("left", opens(b"data: a\n\ndata: b\n\n"))
    data = blank.evaluate(
        f"""async (url) => {{
            const {{FetchEventSource}} = await import("{MODULE}");
            for await (const {{data}} of new FetchEventSource(url)) return data;
        }}""",
        url,
    )
    assert data == "a"
    wait_until(lambda: server.is_closed("left"))


LISTEN = f"""async (url) => {{
    const {{FetchEventSource}} = await import("{MODULE}");
    window.log = [];
    window.source = new FetchEventSource(url);
    source.onopen = () => log.push("open");
    source.onmessage = ({{data}}) => log.push(data);
    source.onerror = ({{kind}}) => log.push(kind);
}}"""


def test_a_tab_that_is_hidden_keeps_its_connection(blank: Page, server: EventServer) -> None:
    url = server.script("hidden", opens(EVENT))
    blank.evaluate(LISTEN, url)
    blank.wait_for_function("log.length === 2")
    blank.evaluate(
        """() => {
            for (const state of ["hidden", "visible"]) {
                Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
                Object.defineProperty(document, "hidden", {value: state === "hidden", configurable: true});
                document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
            }
        }"""
    )
    server.send("hidden", chunk(b"data: b\n\n"))
    blank.wait_for_function("log.length === 3")
    assert blank.evaluate("log") == ["open", "a", "b"]
    assert len(server.requests_of("hidden")) == 1


@pytest.fixture
def cached_page(browser: Browser) -> Iterator[Page]:
    """Yields a page of a Chromium with its back/forward cache, which Playwright normally disables."""
    chromium = browser.browser_type.launch(
        executable_path=shutil.which("chromium"),
        args=["--no-sandbox", "--disable-gpu"],
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield chromium.new_page()
    chromium.close()


def test_the_back_forward_cache_closes_the_connection_and_resumes_it(
    cached_page: Page, server: EventServer
) -> None:
    url = server.script("cached", opens(b"id: 7\ndata: a\n\n"), opens(b"data: b\n\n"))
    cached_page.goto(server.url)
    cached_page.evaluate(LISTEN, url)
    cached_page.wait_for_function("log.length === 2")
    cached_page.goto(f"{server.url}/elsewhere")
    wait_until(lambda: server.is_closed("cached"))
    assert len(server.requests_of("cached")) == 1
    # A page from the cache is not loaded again.
    cached_page.go_back(wait_until="commit")
    cached_page.wait_for_function("log.length === 5")
    assert cached_page.evaluate("log") == ["open", "a", "suspended", "open", "b"]
    assert server.requests_of("cached")[1].headers["last-event-id"] == "7"


def test_a_post_to_sluice_gives_the_whole_answer(page: Page, sluice: Server) -> None:
    page.goto(f"{sluice.url}/healthz")
    body = {
        "model": "any",
        "messages": [{"role": "user", "content": "Why stream?"}],
        "stream": True,
        "simulator": {"itl_ms": 0},
    }
    answer = page.evaluate(
        f"""async (body) => {{
            const {{FetchEventSource}} = await import("{MODULE}");
            let answer = "";
            for await (const {{data}} of new FetchEventSource("/v1/chat/completions", {{method: "POST", body}})) {{
                if (data === "[DONE]") return answer;
                answer += JSON.parse(data).choices[0].delta.content ?? "";
            }}
        }}""",
        body,
    )
    assert answer == whole_answer(sluice, "Why stream?")
