"""Many streams in one page: over HTTP/2 all of them run at once, over HTTP/1.1 six."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.server import wait_until
from tests.system.site import Site

pytestmark = pytest.mark.slow

SOURCES = 20
HTTP_1_1_CONNECTIONS = 6
"""How many connections a browser opens to one host."""

OPEN_SOURCES = """count => {
    window.events = Array(count).fill(0);
    window.sources = events.map((_, number) => {
        const source = new EventSource(`/stream_chat?name=question ${number}`);
        source.onmessage = () => { events[number] += 1; };
        return source;
    });
}"""


@pytest.fixture
def over_http_2() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def over_http_1_1() -> Iterator[Site]:
    with Site(changes={"ssl http2;": "ssl;"}) as site:
        yield site


@pytest.fixture
def profile_options() -> dict[str, Any]:
    """The certificate of nginx is self-signed."""
    return {"ignore_https_errors": True}


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium reports streams that run when their server is stopped, and the missing icon."""
    return ["Failed to load resource: "]


def open_sources(page: Page, site: Site) -> None:
    page.goto(f"{site.nginx.url}/static/favicon.svg")
    page.evaluate(OPEN_SOURCES, SOURCES)


def protocol(page: Page) -> str:
    return page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(condition)


def test_over_http_2_twenty_event_sources_run_at_the_same_time(page, over_http_2):
    open_sources(page, over_http_2)
    assert protocol(page) == "h2"
    for count in (1, 20, 40):
        wait_for(page, f"events.every(number => number >= {count})")
    assert page.evaluate("sources.every(source => source.readyState === EventSource.OPEN)")


def test_over_http_2_closing_one_leaves_the_others_running(page, over_http_2):
    open_sources(page, over_http_2)
    wait_for(page, "events.every(number => number >= 1)")
    page.evaluate("sources[0].close(); window.before = [...events]")
    wait_for(page, "events.slice(1).every((number, index) => number > before[index + 1] + 10)")
    # The stream that was closed has ended on the server as well.
    end = {"outcome": "cancelled"}
    assert len(wait_until(lambda: over_http_2.gunicorn.logged("stream ended", **end))) == 1


def test_over_http_1_1_six_run_and_the_others_wait(page, over_http_1_1):
    open_sources(page, over_http_1_1)
    assert protocol(page) == "http/1.1"
    wait_for(page, f"events.filter(number => number >= 20).length >= {HTTP_1_1_CONNECTIONS}")
    assert page.evaluate("events.filter(number => number > 0).length") == HTTP_1_1_CONNECTIONS
    page.evaluate("sources.filter((_, number) => events[number]).forEach(source => source.close())")
    wait_for(page, f"events.filter(number => number > 0).length === {2 * HTTP_1_1_CONNECTIONS}")
