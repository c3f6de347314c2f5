"""Answers that fail: the page shows why, and never shows an incomplete answer as complete."""

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import DemoPage, whole_answer
from tests.support.server import Server

pytestmark = pytest.mark.slow

QUESTION = "Why stream?"


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports each response that is an error or breaks off."""
    return ["Failed to load resource: "]


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_is_shown_as_a_sentence(demo: DemoPage, status: int) -> None:
    demo.simulate(fault={"kind": "status", "status": status, "retry_after": 7})
    demo.ask(QUESTION)
    demo.wait_for_state("failed")
    expect(demo.status).to_have_text("Failed. a failure was asked for. Try again in 7 s. simulated")


def test_an_error_page_of_a_proxy_is_shown_as_its_status(demo: DemoPage) -> None:
    demo.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Oh</h1>"),
    )
    demo.ask(QUESTION)
    demo.wait_for_state("failed")
    expect(demo.status).to_have_text("Failed. The server answered with HTTP status 502.")


def test_a_server_that_cannot_be_reached_is_shown(demo: DemoPage) -> None:
    demo.page.route("**/v1/chat/completions", lambda route: route.abort("connectionrefused"))
    demo.ask(QUESTION)
    demo.wait_for_state("failed")
    expect(demo.status).to_have_text("Failed. The server cannot be reached.")


def test_a_refused_event_source_is_shown(demo: DemoPage) -> None:
    demo.page.route(
        "**/stream_chat?*",
        lambda route: route.continue_(url=f"{route.request.url}&last_event_id=999999999"),
    )
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_state("failed")
    expect(demo.status).to_contain_text("The server refused the stream.")


# The faults that the panel offers, and the message that the page shows for each.
FAULTS = {
    "status": "Failed. a failure was asked for.",
    "json_body": "Failed. The server sent a response that is not a stream.",
    "error_event": "Failed. a failure was asked for.",
    "cut": "Failed. The answer was cut off: the connection broke before the end of the stream.",
    "reset": "Failed. The answer was cut off: the connection broke before the end of the stream.",
    "truncate": "Failed. The answer was cut off: the stream ended without its last event.",
    "malformed": "Failed. The server sent an event that is not a JSON object.",
    "split_utf8": "Done.",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_panel_is_shown_as_a_sentence(demo: DemoPage, fault: str) -> None:
    demo.page.click("#simulator summary")
    demo.page.select_option("select[name=fault]", fault)
    demo.page.fill("input[name=after]", "2")
    demo.page.fill("input[name=tokens]", "5")
    demo.page.fill("input[name=itl_ms]", "0")
    demo.ask(QUESTION)
    expect(demo.status).to_contain_text(FAULTS[fault])


@pytest.mark.parametrize("fault", ["cut", "reset", "truncate"])
def test_an_answer_that_is_cut_is_shown_as_cut_off(
    demo: DemoPage, sluice: Server, fault: str
) -> None:
    demo.simulate(fault={"kind": fault, "after": 5})
    demo.ask(QUESTION)
    demo.wait_for_state("failed")
    expect(demo.status).to_contain_text("The answer was cut off")
    expect(demo.answer).to_have_attribute("data-incomplete", "")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION, tokens=5)


def test_an_error_event_is_shown_below_the_text_before_it(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(fault={"kind": "error_event", "after": 5})
    demo.ask(QUESTION)
    demo.wait_for_state("failed")
    expect(demo.status).to_have_text("Failed. a failure was asked for. upstream_error")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION, tokens=5)


def test_the_next_question_works_after_a_failure(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(fault={"kind": "cut"})
    demo.ask(QUESTION)
    demo.wait_for_state("failed")
    demo.simulate(tokens=10)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION, tokens=10)
