"""The page of examples/vercel-ai in Chromium: React and the AI SDK's ``useChat``."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.examples.vercel_ai.sdk import NEWEST, OLDER_VERSIONS, built, installed
from tests.examples.vercel_ai.serving import ChatServer, GatedQuestion
from tests.server.raw_upstream import RawUpstream
from tests.support.proxy import forwards_to

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=[*OLDER_VERSIONS, NEWEST])
def major(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def chat_server(
    major: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatServer]:
    packages = installed(pytestconfig.cache, major)
    folder = built(packages, tmp_path_factory.mktemp("chat") / "vercel-ai")
    with ChatServer(tmp_path_factory.mktemp("gates"), folder=folder) as server:
        yield server


@pytest.fixture
def question(chat_server: ChatServer) -> GatedQuestion:
    return GatedQuestion(chat_server)


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports a response that breaks off."""
    return ["Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING"]


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask").click()


def answer(page: Page) -> Locator:
    return page.locator(".assistant")


def status(page: Page) -> Locator:
    return page.locator("output")


def test_an_answer_is_whole_after_the_page_was_reloaded_in_the_middle(page, chat_server, question):
    page.goto(chat_server.url)
    ask(page, question.text)
    expect(answer(page)).to_have_text(question.half)
    page.reload()
    expect(answer(page)).to_have_text(question.half)
    question.go_on()
    expect(status(page)).to_have_text("ready")
    assert answer(page).all_text_contents() == [question.answer]


def test_an_answer_is_whole_after_the_connection_was_cut_and_the_user_came_back_to_the_page(
    page, chat_server, major, question
):
    if major == "5":
        pytest.skip("useChat of version 5 adds what it resumes to what it has")
    with RawUpstream(forwards_to(chat_server.port)) as relay:
        page.goto(f"http://{relay.host}")
        ask(page, question.text)
        expect(answer(page)).to_have_text(question.half)
        relay.close_connections()
        expect(status(page)).to_have_text("error")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(status(page)).to_have_text("streaming")
        question.go_on()
        expect(status(page)).to_have_text("ready")
        assert answer(page).all_text_contents() == [question.answer]


def test_the_stop_button_ends_the_answer_so_that_there_is_nothing_to_resume(
    page, chat_server, question
):
    page.goto(chat_server.url)
    ask(page, question.text)
    expect(answer(page)).to_have_text(question.half)
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_have_text("ready")
    with page.expect_response("**/stream") as resumed:
        page.reload()
    assert resumed.value.status == 204
    expect(status(page)).to_have_text("ready")


def test_the_page_shows_that_an_answer_failed(page, chat_server):
    page.goto(chat_server.url)
    ask(page, "two words fail")
    expect(page.get_by_role("alert")).to_have_text("The answer could not be finished.")
    expect(page.get_by_role("button", name="Ask")).to_be_visible()
