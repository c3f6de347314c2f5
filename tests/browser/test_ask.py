"""The demo page asks a question and shows its answer."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_page import DemoPage, whole_answer
from tests.support.server import Server

pytestmark = pytest.mark.slow

QUESTION = "Why stream?"


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """Yields a server that sends its 200 and keep-alives after a tenth of a second without a token."""
    with Server(keepalive_seconds=0.1, commit_seconds=0.1) as server:
        yield server


both_transports = pytest.mark.parametrize("transport", ["fetch", "eventsource"])


@both_transports
def test_the_answer_grows_while_it_streams(demo: DemoPage, transport: str) -> None:
    demo.ask(QUESTION, transport)
    for _ in range(3):
        demo.wait_for_growth()


@both_transports
def test_stop_cancels_on_the_server(demo: DemoPage, transport: str) -> None:
    response = demo.ask_and_get_response(QUESTION, transport)
    demo.wait_for_growth()
    demo.stop_button.click()
    demo.wait_for_state("stopped")
    demo.wait_until_server_has_cancelled(response)


@both_transports
def test_a_stopped_answer_is_marked_as_incomplete(demo: DemoPage, transport: str) -> None:
    demo.ask(QUESTION, transport)
    demo.wait_for_growth()
    demo.stop_button.click()
    expect(demo.answer).to_have_attribute("data-incomplete", "")


def test_stop_before_the_first_token_cancels_on_the_server(page: Page, impatient: Server) -> None:
    demo = DemoPage(page, impatient)
    demo.simulate(ttft_ms=60_000)
    response = demo.ask_and_get_response(QUESTION, "fetch")
    demo.wait_for_state("waiting")
    demo.stop_button.click()
    demo.wait_for_state("stopped")
    demo.wait_until_server_has_cancelled(response)


def test_leaving_the_page_cancels_on_the_server(demo: DemoPage) -> None:
    response = demo.ask_and_get_response(QUESTION, "fetch")
    demo.page.goto("about:blank")
    demo.wait_until_server_has_cancelled(response)


def test_a_complete_answer_is_that_of_the_server(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(itl_ms=1)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION)


def test_markup_in_an_answer_stays_text(demo: DemoPage) -> None:
    text = "<img src=/nowhere> & <b>bold</b>"
    # The tokens of the simulator are too short for a tag.
    chunk = json.dumps({"choices": [{"delta": {"content": text}}]})
    demo.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"data: {chunk}\n\ndata: [DONE]\n\n"
        ),
    )
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    assert demo.answer.text_content() == text


def test_the_next_question_replaces_the_answer(demo: DemoPage, sluice: Server) -> None:
    demo.simulate(itl_ms=1)
    for question in ("One?", "Two?"):
        demo.ask(question)
        demo.wait_for_state("done")
    assert demo.answer.text_content() == whole_answer(sluice, "Two?")


def test_the_earlier_conversation_is_shown_and_sent_with_the_next_question(
    demo: DemoPage, sluice: Server
) -> None:
    demo.simulate(tokens=10, itl_ms=1)
    demo.ask("One?")
    demo.wait_for_state("done")
    with demo.page.expect_request("**/v1/chat/completions") as request:
        demo.ask("Two?")
    first_answer = whole_answer(sluice, "One?", tokens=10)
    assert request.value.post_data_json["messages"] == [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": first_answer},
        {"role": "user", "content": "Two?"},
    ]
    assert demo.page.locator("#turns p").all_text_contents() == ["One?", first_answer]
    expect(demo.page.locator("#asked")).to_have_text("Two?")


def test_a_new_conversation_does_not_send_the_last_one(demo: DemoPage) -> None:
    demo.simulate(tokens=3, itl_ms=1)
    for question in ("One?", "Two?"):
        demo.ask(question)
        demo.wait_for_state("done")
    demo.page.click("#clear")
    demo.wait_for_state("idle")
    with demo.page.expect_request("**/v1/chat/completions") as request:
        demo.ask("Three?")
    assert [message["content"] for message in request.value.post_data_json["messages"]] == [
        "Three?"
    ]


def test_the_gaps_between_tokens_are_drawn(demo: DemoPage) -> None:
    demo.simulate(tokens=10, itl_ms=30)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    # Ten tokens have nine gaps between them.
    expect(demo.page.locator("#gaps rect")).to_have_count(9)
    expect(demo.page.locator("#gaps-label")).to_contain_text(re.compile(r"Median [0-9]+ ms"))


def test_the_simulator_answers_as_its_panel_says(demo: DemoPage, sluice: Server) -> None:
    demo.page.click("#simulator summary")
    demo.page.fill("input[name=tokens]", "7")
    demo.page.fill("input[name=itl_ms]", "0")
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    assert demo.answer.text_content() == whole_answer(sluice, QUESTION, tokens=7)


def test_time_to_first_token_rate_and_count_are_shown(demo: DemoPage) -> None:
    demo.simulate(tokens=50, ttft_ms=100, itl_ms=10)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    assert int(re.fullmatch(r"(\d+) ms", demo.first_token.text_content())[1]) >= 100
    assert float(demo.rate.text_content()) > 0
    assert demo.count.text_content() == "50"


def test_characters_are_counted_over_event_source(demo: DemoPage) -> None:
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_growth()
    demo.stop_button.click()
    demo.wait_for_state("stopped")
    assert demo.page.locator("#count-label").text_content() == "Characters"
    assert demo.count.text_content() == str(len(demo.answer.text_content()))


def test_raw_events_are_shown_as_they_arrived(demo: DemoPage) -> None:
    demo.simulate(tokens=20, itl_ms=1)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    events = demo.rows("event")
    # Role, tokens, finish reason, usage, [DONE].
    assert len(events) == 1 + 20 + 1 + 1 + 1
    assert all(event.startswith("data: {") for event in events[:-1])
    assert events[-1] == "data: [DONE]"


def test_raw_events_have_the_times_of_their_arrival(demo: DemoPage) -> None:
    demo.simulate(tokens=20, ttft_ms=200, itl_ms=10)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    times = [int(time) for time in demo.wire.locator(".wire-row .wire-time").all_text_contents()]
    assert times == sorted(times)
    assert times[0] >= 200
    assert times[-1] >= 200 + 19 * 10


def test_event_source_events_are_shown_with_their_ids(demo: DemoPage) -> None:
    demo.ask(QUESTION, "eventsource")
    demo.wait_for_growth()
    demo.stop_button.click()
    ids = [event.splitlines()[0] for event in demo.rows("event")]
    assert ids == [f"id: {number}" for number in range(1, len(ids) + 1)]


def test_keepalives_are_shown(page: Page, impatient: Server) -> None:
    demo = DemoPage(page, impatient)
    demo.simulate(ttft_ms=1000, tokens=1)
    demo.ask(QUESTION)
    demo.wait_for_state("done")
    comments = demo.rows("comment")
    assert len(comments) >= 3
    assert set(comments) == {": keep-alive"}


@both_transports
def test_no_request_leaves_the_origin(page: Page, sluice: Server, transport: str) -> None:
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    demo = DemoPage(page, sluice)
    demo.ask(QUESTION, transport)
    demo.wait_for_growth()
    assert len(urls) > 3
    assert [url for url in urls if not url.startswith(f"{sluice.url}/")] == []
