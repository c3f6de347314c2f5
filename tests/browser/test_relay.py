"""The demo page in front of an upstream."""

import json
import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_page import DemoPage
from tests.server.raw_upstream import (
    STREAM_HEAD,
    RawUpstream,
    chunk,
    sends,
    streams,
    target_of,
    whole,
)
from tests.support.server import Server, wait_until

pytestmark = pytest.mark.slow

MODELS = whole(json.dumps({"object": "list", "data": [{"id": "upstream-model"}]}).encode())
TRANSPORTS = ["fetch", "eventsource", "resumable"]
FIRST, LAST = (
    json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})
    for text, reason in (("Said by ", None), ("the upstream.", "stop"))
)


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


class Upstream(RawUpstream):
    """Lists one model, and answers every chat with ``chat``."""

    chat = staticmethod(streams(event(FIRST), event(LAST), event("[DONE]")))

    def __init__(self) -> None:
        super().__init__(self._answer)

    def _answer(self, sock: socket.socket, request: bytes) -> None:
        answer = sends(MODELS) if target_of(request).endswith("/models") else self.chat
        answer(sock, request)


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports each response that is an error."""
    return ["Failed to load resource: "]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Upstream, Server]]:
    with Upstream() as upstream, Server(upstream=upstream.url) as relay:
        yield upstream, relay


@pytest.fixture
def upstream(servers: tuple[Upstream, Server]) -> Iterator[Upstream]:
    yield servers[0]
    servers[0].__dict__.pop("chat", None)


@pytest.fixture
def relayed(page: Page, servers: tuple[Upstream, Server]) -> DemoPage:
    return DemoPage(page, servers[1])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_shows_the_answer_of_the_upstream(
    relayed: DemoPage, transport: str
) -> None:
    relayed.ask("Why?", transport)
    relayed.wait_for_state("done")
    assert relayed.answer.text_content() == "Said by the upstream."


def test_the_page_asks_for_a_model_that_the_upstream_lists(
    relayed: DemoPage, servers: tuple[Upstream, Server]
) -> None:
    relayed.ask("Why?")
    relayed.wait_for_state("done")
    wait_until(lambda: servers[1].logged("stream ended", model="upstream-model"))


def test_event_source_reads_the_answer_that_a_post_has_started(
    relayed: DemoPage, page: Page
) -> None:
    requests: list[tuple[str, str]] = []
    page.on("request", lambda request: requests.append((request.method, request.resource_type)))
    relayed.ask("Why?", "eventsource")
    relayed.wait_for_state("done")
    assert requests == [("POST", "fetch"), ("GET", "eventsource")]
    assert relayed.rows("event")[-1].splitlines()[1] == "event: done"
    expect(page.locator("#count-label")).to_have_text("Tokens")


def test_event_source_cannot_break_its_connection(relayed: DemoPage, upstream: Upstream) -> None:
    upstream.chat = sends()
    relayed.ask("Why?", "eventsource")
    expect(relayed.page.locator("#follow")).to_be_visible()
    expect(relayed.page.locator("#break")).to_be_hidden()


def test_stop_ends_the_answer_that_event_source_reads(
    relayed: DemoPage, upstream: Upstream
) -> None:
    upstream.chat = sends(STREAM_HEAD, chunk(event(FIRST)))
    relayed.ask("Shall I stop you?", "eventsource")
    relayed.wait_for_state("streaming")
    relayed.stop_button.click()
    relayed.wait_for_state("stopped")
    (asked,) = (c for c in upstream.connections if b"Shall I stop you?" in c.requests[-1])
    wait_until(lambda: asked.closed_at is not None)


def test_a_refusal_of_the_upstream_is_shown_by_event_source(
    relayed: DemoPage, upstream: Upstream
) -> None:
    refusal = json.dumps({"error": {"message": "No memory is left.", "code": "oom"}}).encode()
    upstream.chat = sends(whole(refusal, "400 Bad Request"))
    relayed.ask("Why?", "eventsource")
    relayed.wait_for_state("failed")
    expect(relayed.status).to_contain_text("No memory is left.")


def test_no_page_in_front_of_an_upstream_offers_the_simulator(relayed: DemoPage) -> None:
    expect(relayed.page.locator("#simulator")).to_have_count(0)
    expect(relayed.page.locator("#transport")).to_contain_text("EventSource (POST, then GET)")
