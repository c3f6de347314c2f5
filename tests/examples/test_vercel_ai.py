"""The app in examples/vercel-ai, and the AI SDK's own chat as its client."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.examples.vercel_ai.sdk import EXAMPLE, NEWEST, OLDER_VERSIONS, Page, installed
from tests.server.raw_upstream import RawUpstream
from tests.support.proxy import forwards_to
from tests.support.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUESTION = " ".join(f"word{number}" for number in range(60))
ANSWER = f"You asked: {QUESTION}"
LONG_QUESTION = "word " * 5000

OpenPage = Callable[..., Page]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    environment = {"FLASK_SECRET_KEY": "a key for tests", "FLASK_SECONDS_BETWEEN_WORDS": "0.02"}
    with Server(
        "app:app",
        folder=EXAMPLE,
        configuration="python:flask_sluice.server.settings",
        environment=environment,
    ) as server:
        yield server


@pytest.fixture(scope="module", params=[*OLDER_VERSIONS, NEWEST])
def every_version(request: pytest.FixtureRequest) -> Path:
    return installed(request.config.cache, request.param)


@pytest.fixture(scope="module")
def newest(request: pytest.FixtureRequest) -> Path:
    return installed(request.config.cache, NEWEST)


@pytest.fixture
def chat() -> str:
    return f"chat-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="module")
def ada(server: Server) -> str:
    return new_cookie(server)


@pytest.fixture
def open_page(server: Server, chat: str, ada: str) -> Iterator[OpenPage]:
    """Open a page with the chat of this test."""
    with ExitStack() as pages:

        def open_page(folder: Path, url: str = server.url, cookie: str = ada) -> Page:
            return pages.enter_context(Page(folder, url, chat, cookie))

        yield open_page


def new_cookie(server: Server) -> str:
    """Return the cookie of a new user."""
    response = requests.get(server.url, timeout=30)
    return f"session={response.cookies['session']}"


def stop(server: Server, chat: str, cookie: str) -> None:
    url = f"{server.url}/api/chat/{chat}/stop"
    requests.post(url, headers={"Cookie": cookie}, timeout=30).raise_for_status()


def test_the_answer_comes_word_by_word_and_whole(open_page, every_version):
    page = open_page(every_version)
    page.begin("ask", QUESTION)
    page.wait_for_text()
    assert (page.shown["status"], ANSWER.startswith(page.answer)) == ("streaming", True)
    assert page.answer != ANSWER
    page.wait_until(lambda: page.shown["done"])
    assert (page.shown["status"], page.answer, page.shown["ends"]) == ("ready", ANSWER, ["finish"])
    assert page.shown["answers"] == [{"status": 200, "protocol": "v1"}]


def test_a_page_that_is_opened_after_another_was_killed_gets_the_whole_answer_once(
    open_page, every_version
):
    first = open_page(every_version)
    first.begin("ask", QUESTION)
    first.wait_for_text()
    first.close()
    second = open_page(every_version)
    second.do("resume")
    assert second.shown["answers"] == [{"status": 200, "protocol": "v1"}]
    assert [len(message["parts"]) for message in second.shown["messages"]] == [1]
    assert (second.shown["status"], second.answer) == ("ready", ANSWER)


def test_several_pages_read_the_same_answer(open_page, newest):
    pages = [open_page(newest) for _ in range(3)]
    pages[0].begin("ask", QUESTION)
    pages[0].wait_for_text()
    for page in pages[1:]:
        page.begin("resume")
    for page in pages:
        page.wait_until(lambda page=page: page.shown["done"])
        assert (page.shown["status"], page.answer) == ("ready", ANSWER)


def test_a_page_whose_connection_is_cut_resumes_the_answer_without_repeating_any_of_it(
    server, open_page, every_version
):
    with RawUpstream(forwards_to(server.port)) as relay:
        page = open_page(every_version, url=f"http://{relay.host}")
        page.begin("ask", QUESTION)
        page.wait_for_text()
        relay.close_connections()
        page.wait_until(lambda: page.shown["status"] == "error")
        assert page.answer != ANSWER
        page.do("resume")
    assert [message["role"] for message in page.shown["messages"]] == ["user", "assistant"]
    assert (page.shown["status"], page.answer) == ("ready", ANSWER)


def test_a_chat_without_a_running_answer_has_nothing_to_resume(open_page, every_version):
    page = open_page(every_version)
    page.do("resume")
    page.do("ask", "Why?")
    page.do("resume")
    statuses = [answer["status"] for answer in page.shown["answers"]]
    assert statuses == [204, 200, 204]
    assert (page.shown["status"], page.answer) == ("ready", "You asked: Why?")


def test_another_user_neither_reads_nor_stops_nor_replaces_an_answer(
    server, open_page, newest, chat
):
    ada, grace = open_page(newest), open_page(newest, cookie=(cookie := new_cookie(server)))
    ada.begin("ask", QUESTION)
    ada.wait_for_text()
    grace.do("resume")
    assert (grace.shown["answers"][0]["status"], grace.shown["messages"]) == (204, [])
    stop(server, chat, cookie)
    grace.do("ask", "Why?")
    assert grace.answer == "You asked: Why?"
    ada.wait_until(lambda: ada.shown["done"])
    assert (ada.shown["status"], ada.answer) == ("ready", ANSWER)


def test_a_stop_ends_the_answer_for_all_its_readers(server, open_page, every_version, chat, ada):
    pages = [open_page(every_version), open_page(every_version)]
    pages[0].begin("ask", LONG_QUESTION)
    pages[0].wait_for_text()
    pages[1].begin("resume")
    pages[1].wait_for_text()
    stop(server, chat, ada)
    for page in pages:
        page.wait_until(lambda page=page: page.shown["done"])
        assert (page.shown["status"], page.shown["ends"]) == ("ready", ["finish"])
    assert pages[0].answer == pages[1].answer
    pages[1].do("resume")
    assert pages[1].shown["answers"][-1]["status"] == 204


def test_a_page_that_stops_reading_does_not_end_the_answer(open_page, newest):
    first = open_page(newest)
    first.begin("ask", QUESTION)
    first.wait_for_text()
    first.begin("leave")
    first.wait_until(lambda: first.shown["ends"] == ["abort"])
    second = open_page(newest)
    second.do("resume")
    assert (second.shown["status"], second.answer) == ("ready", ANSWER)


def test_an_exception_reaches_all_pages_as_an_error_without_its_text(
    server, open_page, every_version
):
    pages = [open_page(every_version), open_page(every_version)]
    pages[0].begin("ask", f"{QUESTION} fail now")
    pages[0].wait_for_text()
    pages[1].begin("resume")
    for page in pages:
        page.wait_until(lambda page=page: page.shown["done"])
        assert (page.shown["status"], page.shown["ends"]) == ("error", ["error"])
        assert page.shown["error"] == "The answer could not be finished."
        assert page.answer == ANSWER
    assert "ConnectionError: the language model does not answer" in server.log


def test_a_question_ends_the_answer_that_the_chat_still_has(open_page, newest):
    first, second = open_page(newest), open_page(newest)
    first.begin("ask", LONG_QUESTION)
    first.wait_for_text()
    second.begin("ask", QUESTION)
    second.wait_for_text()
    first.wait_until(lambda: first.shown["done"])
    assert first.shown["status"] == "ready"
    third = open_page(newest)
    third.do("resume")
    assert third.answer == ANSWER


def test_an_answer_is_generated_again_in_place_of_the_first(open_page, every_version):
    page = open_page(every_version)
    page.do("ask", "Why?")
    (_, first) = page.shown["messages"]
    page.do("again")
    (_, second) = page.shown["messages"]
    assert (second["parts"], second["id"] == first["id"]) == (first["parts"], False)


@pytest.mark.parametrize("body", ["[]", "{}", '{"id": "1"}', '{"id": "1", "messages": [7]}'])
def test_a_body_that_is_not_the_sdks_is_refused(server, body):
    headers = {"Content-Type": "application/json"}
    refused = requests.post(f"{server.url}/api/chat", data=body, headers=headers, timeout=30)
    assert refused.status_code == 400
