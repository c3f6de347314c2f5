"""A kept answer on the demo page: its connection breaks, other tabs read it, and it continues."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import DemoPage, whole_answer
from tests.support.server import Server, wait_until

pytestmark = pytest.mark.slow

QUESTION = "Why stream?"
TOKENS = 40
LONG = {"tokens": 200, "itl_ms": 30}
"""These take six seconds, enough for a browser on a busy machine to find and click a button."""


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports each connection that breaks."""
    return ["Failed to load resource: "]


def test_the_answer_is_complete(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(tokens=TOKENS, itl_ms=1)
    demo.ask(QUESTION, "resumable")
    demo.wait_for_state("done")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION, tokens=TOKENS)
    assert demo.count.text_content() == str(TOKENS)


def test_a_broken_connection_is_resumed_without_gap_or_repetition(
    demo: DemoPage, sluice: Server
) -> None:
    demo.simulate(**LONG)
    demo.ask(QUESTION, "resumable")
    demo.wait_for_growth()
    demo.page.click("#break")
    demo.wait_for_state("reconnecting")
    demo.wait_for_state("done")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION, tokens=LONG["tokens"])
    assert [note for note in demo.rows("note") if " after event " in note]


def test_another_tab_shows_the_same_answer(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(**LONG)
    demo.ask(QUESTION, "resumable")
    demo.wait_for_growth()
    with demo.page.expect_popup() as popup:
        demo.page.click("#follow")
    expect(popup.value.locator("#status")).to_have_attribute("data-state", "done")
    demo.wait_for_state("done")
    answer = whole_answer(sluice, QUESTION, tokens=LONG["tokens"])
    assert demo.answer.text_content() == popup.value.locator("#answer").text_content() == answer


def test_stop_ends_the_generation(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(tokens=100_000, itl_ms=10)
    request_id = demo.ask_and_get_response(QUESTION, "resumable").headers["x-request-id"]
    demo.wait_for_growth()
    demo.stop_button.click()
    demo.wait_for_state("stopped")
    end = {"request_id": request_id, "outcome": "cancelled"}
    wait_until(lambda: sluice.logged("generation ended", **end))


def test_a_failure_is_shown_as_a_sentence(demo: DemoPage) -> None:
    demo.simulate(fault={"kind": "truncate", "after": 3}, itl_ms=1)
    demo.ask(QUESTION, "resumable")
    demo.wait_for_state("failed")
    expect(demo.status).to_contain_text("The answer was cut off")


@pytest.mark.parametrize(
    "url", ["//elsewhere.test/v1/streams/x", "/v1/streams/../files", "/v1/streams/%2e%2e/files"]
)
def test_only_streams_of_this_site_are_followed(demo: DemoPage, url: str) -> None:
    asked: list[str] = []
    demo.page.on("request", lambda request: asked.append(request.url))
    demo.page.goto(f"{demo.server.url}/?follow={quote(url)}")
    expect(demo.ask_button).to_be_enabled()
    demo.wait_for_state("idle")
    paths = [asked_url.partition("?")[0] for asked_url in asked]
    assert not [path for path in paths if "files" in path or "elsewhere" in path]
