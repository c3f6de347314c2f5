"""Chromium's own EventSource reads GET /stream_chat and resumable streams: their ends, and reconnection."""

import json
import urllib.request

import pytest
from playwright.sync_api import Page, Route

from tests.browser.demo_page import DemoPage, whole_answer
from tests.support.server import Server

pytestmark = pytest.mark.slow

QUESTION = "Why stream?"
MESSAGES = [{"role": "user", "content": QUESTION}]
LAST_CHARACTERS = 20
"""How many events of the answer a test reads; at 30 ms each, the whole answer takes half a minute."""


@pytest.fixture
def text(sluice: Server) -> str:
    return whole_answer(sluice, QUESTION)


@pytest.fixture
def seen(text: str) -> int:
    """Return the id of the event after which the test begins."""
    return len(text) - LAST_CHARACTERS


def begin_after(page: Page, event_id: int) -> None:
    """Make the page's streams start after this event."""
    page.route(
        "**/stream_chat?*",
        lambda route: route.continue_(url=f"{route.request.url}&last_event_id={event_id}"),
    )


def test_the_answer_is_complete(demo: DemoPage, text: str, seen: int) -> None:
    begin_after(demo.page, seen)
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_state("done")
    assert demo.answer.text_content() == text[seen:]


def test_the_page_closes_the_source_when_the_answer_is_done(
    page: Page, sluice: Server, seen: int
) -> None:
    # A closed EventSource never reconnects (WHATWG HTML, "server-sent events").
    page.add_init_script(
        """window.sources = [];
        window.EventSource = class extends EventSource {
            constructor(url) { super(url); window.sources.push(this); }
        };"""
    )
    demo = DemoPage(page, sluice)
    begin_after(page, seen)
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_state("done")
    assert page.evaluate("sources.map(source => source.readyState)") == [2]


def test_a_lost_connection_is_resumed_without_gap_or_repetition(
    demo: DemoPage, text: str, seen: int
) -> None:
    def lose(route: Route) -> None:
        # EventSource takes a body that ends without `event: done` for a lost connection.
        data = json.dumps({"event": {"data": text[seen]}})
        event = f"retry: 50\nid: {seen + 1}\ndata: {data}\n\n"
        route.fulfill(content_type="text/event-stream", body=event)

    demo.page.route("**/stream_chat?*", lose, times=1)
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_state("done")
    assert demo.answer.text_content() == text[seen:]


def test_the_page_says_that_it_is_reconnecting(demo: DemoPage) -> None:
    # The browser reconnects after an hour, so the state stays for the test to see.
    demo.page.route(
        "**/stream_chat?*",
        lambda route: route.fulfill(content_type="text/event-stream", body="retry: 3600000\n\n"),
    )
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_state("reconnecting")


def test_a_source_that_reconnects_after_done_is_told_to_stop(
    demo: DemoPage, text: str, seen: int
) -> None:
    # A program that does not know `event: done` lets EventSource reconnect.
    received = demo.page.evaluate(
        """url => new Promise(resolve => {
            const received = [];
            const source = new EventSource(url);
            const take = ({type, lastEventId}) => received.push([type, lastEventId]);
            source.onmessage = take;
            source.addEventListener("done", take);
            source.onerror = () => {
                if (source.readyState === EventSource.CLOSED) resolve(received);
            };
        })""",
        f"/stream_chat?name={QUESTION}&last_event_id={seen}",
    )
    characters = [["message", str(number)] for number in range(seen + 1, len(text) + 1)]
    assert received == [*characters, ["done", str(len(text) + 1)]]


def test_a_resumable_stream_continues_after_its_connection_is_lost(
    page: Page, sluice: Server
) -> None:
    def lose(route: Route) -> None:
        # EventSource takes the end of the body after the first two events for a lost connection.
        with urllib.request.urlopen(route.request.url) as response:
            events = b"".join(iter(response.readline, b"id: 3\n"))
        route.fulfill(content_type="text/event-stream", body=b"retry: 50\n" + events)

    page.goto(sluice.url)
    page.route("**/v1/streams/*", lose, times=1)
    received = page.evaluate(
        """async body => {
            const headers = {"Content-Type": "application/json"};
            const created = await fetch("/v1/streams", {method: "POST", headers, body});
            const source = new EventSource((await created.json()).url);
            const received = [];
            await new Promise(resolve => {
                source.onmessage = ({lastEventId}) => received.push(lastEventId);
                source.addEventListener("done", resolve);
            });
            source.close();
            return received;
        }""",
        json.dumps(
            {"model": "any", "messages": MESSAGES, "simulator": {"tokens": 20, "itl_ms": 10}}
        ),
    )
    assert received == [str(number) for number in range(1, len(received) + 1)]
    assert len(received) >= 20
