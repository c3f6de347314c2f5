"""The app in examples/htmx: its events, and what htmx 2 and htmx 4 make of them in a browser."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, Route, expect

from flask_sluice.testing import read_events
from tests.examples.htmx import COMPLAINTS, VERSIONS, install_htmx
from tests.examples.pages import (
    ANSWER,
    ENDLESS_QUESTION,
    FAILURE,
    QUESTION,
    ExamplePage,
    ExampleServer,
    load_example,
    long_question,
)
from tests.support.chromium import open_tab
from tests.support.server import wait_until


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return load_example("htmx").app.test_client()


def test_an_answer_is_html_fragments_that_end_with_the_event_that_closes(client):
    stream = read_events(client, "/answer", query_string={"question": "<i>1</i>\n\n& 2"})
    assert stream.outcome == "complete"
    assert [(event.event, event.id, event.data) for event in stream.events] == [
        ("message", "", '<p id="text" hx-swap-oob="innerHTML"></p>'),
        ("message", "1", "<span>You asked:</span>"),
        ("message", "2", "<span>\n\n</span>"),
        ("message", "3", "<span>&lt;i&gt;1&lt;/i&gt;</span>"),
        ("message", "4", "<span>\n\n</span>"),
        ("message", "5", "<span>&amp;</span>"),
        ("message", "6", "<span> </span>"),
        ("message", "7", "<span>2</span>"),
        ("done", "7", ""),
    ]


def test_an_answer_goes_on_after_the_piece_that_was_read_last(client):
    headers = {"Last-Event-ID": "3"}
    stream = read_events(client, "/answer", query_string={"question": "1 2"}, headers=headers)
    assert [event.data for event in stream.events] == ["<span> </span>", "<span>2</span>", ""]


def test_a_page_that_has_read_everything_is_told_to_close(client):
    headers = {"Last-Event-ID": "5"}
    stream = read_events(client, "/answer", query_string={"question": "1 2"}, headers=headers)
    assert stream.status == 200
    assert [event.event for event in stream.events] == ["done"]


def test_an_exception_is_an_error_event(client):
    stream = read_events(client, "/answer", query_string={"question": "please fail now"})
    assert (stream.outcome, stream.events[-1].event) == ("error", "error")
    assert "language model" not in stream.text


def test_the_generator_ends_with_its_reader(client):
    stream = read_events(client, "/answer", query_string={"question": "1 2"}, leave_after=3)
    assert (stream.outcome, stream.is_generator_closed) == ("left", True)


def test_a_question_with_markup_is_text_in_the_page(client):
    page = client.post("/ask", data={"question": '"><script>alert(1)</script>'}).text
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """The first number of htmx's version."""
    return request.param


@pytest.fixture(scope="module")
def server(version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    folder = install_htmx(version, tmp_path_factory.mktemp("htmx"))
    with ExampleServer(folder, HTMX=version) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_tab(browser) as page:
        yield page


@pytest.fixture
def disturbed_page(browser: Browser) -> Iterator[Page]:
    """A tab in which errors are expected."""
    with open_tab(browser, COMPLAINTS) as page:
        yield page


def long_query(name: str) -> str:
    return urlencode({"question": long_question(name)})


def wait_until_an_event_source_has_asked_again(page: Page, server: ExampleServer) -> None:
    """Have the browser read an answer without htmx: it asks again each time, a second after the end."""
    asked_before = len(server.last_event_ids("question=again"))
    page.evaluate("plain = new EventSource('/answer?question=again')")
    wait_until(lambda: len(server.last_event_ids("question=again")) >= asked_before + 3)
    page.evaluate("plain.close()")


@pytest.mark.slow
def test_the_answer_in_the_page_is_complete_and_in_order(page, server):
    example = ExamplePage(page, server.url)
    example.record()
    example.ask(QUESTION)
    example.wait_for_answer(ANSWER)
    texts = [shown["text"] for shown in example.recorded]
    assert any("this" in text for text in texts if text != ANSWER)


@pytest.mark.slow
def test_htmx_does_not_ask_again_after_the_end(page, server):
    example = ExamplePage(page, server.url)
    example.ask("once")
    example.wait_for_answer("You asked:\n\nonce")
    wait_until_an_event_source_has_asked_again(page, server)
    assert server.last_event_ids("question=once") == ["-"]


@pytest.mark.slow
def test_an_error_is_shown_below_the_words_before_it_and_htmx_does_not_ask_again(
    disturbed_page, server
):
    example = ExamplePage(disturbed_page, server.url)
    example.ask("fail")
    expect(example.alert).to_have_text(FAILURE)
    example.wait_for_answer("You asked:\n\n")
    wait_until_an_event_source_has_asked_again(disturbed_page, server)
    assert server.last_event_ids("question=fail") == ["-"]


@pytest.mark.measures
@pytest.mark.slow
def test_leaving_the_page_ends_the_generator_within_a_second(page, server):
    example = ExamplePage(page, server.url)
    cancelled_before = server.count_ends("cancelled")
    example.ask(ENDLESS_QUESTION)
    example.wait_for_word("word")
    page.goto("about:blank")
    wait_until(lambda: server.count_ends("cancelled") > cancelled_before, timeout_seconds=1)


@pytest.mark.slow
def test_the_next_question_ends_the_answer_before_it(page, server):
    example = ExamplePage(page, server.url)
    cancelled_before = server.count_ends("cancelled")
    example.ask(ENDLESS_QUESTION)
    example.wait_for_word("word")
    example.ask(QUESTION)
    wait_until(lambda: server.count_ends("cancelled") > cancelled_before)
    example.wait_for_answer(ANSWER)


@pytest.mark.slow
def test_an_answer_whose_connection_breaks_goes_on_after_the_last_piece(disturbed_page, server):
    example = ExamplePage(disturbed_page, server.url)
    example.ask(long_question("broken"))
    example.wait_for_word("2")
    server.kill_worker()
    example.wait_for_answer(f"You asked:\n\n{long_question('broken')}")
    (sent_id,) = wait_until(lambda: server.last_event_ids(long_query("broken")))
    assert int(sent_id) > 4


@pytest.mark.slow
def test_an_answer_is_completed_although_the_first_reconnection_is_refused(
    disturbed_page, server, version
):
    example = ExamplePage(disturbed_page, server.url)
    example.ask(long_question("refused"))
    example.wait_for_word("2")
    refused = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route)
            route.fulfill(status=503, body="not now")

    disturbed_page.route("**/answer?*", refuse_once)
    server.kill_worker()
    example.wait_for_answer(f"You asked:\n\n{long_question('refused')}")
    (sent_id,) = wait_until(lambda: server.last_event_ids(long_query("refused")))
    assert refused
    # The extension of htmx 2 makes a new connection then, which has forgotten what it read.
    assert (sent_id == "-") == (version == "2")
