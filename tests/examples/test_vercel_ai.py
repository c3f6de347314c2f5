"""The app in examples/vercel-ai, and the AI SDK's own chat as its client."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.examples.vercel_ai.sdk import NEWEST, OLDER_VERSIONS, Page, installed
from tests.examples.vercel_ai.serving import LONG_QUESTION, ChatServer, GatedQuestion
from tests.server.raw_upstream import RawUpstream
from tests.support.proxy import forwards_to
from tests.support.server import wait_until
from tests.system.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OpenPage = Callable[..., Page]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    with ChatServer(tmp_path_factory.mktemp("gates")) as server:
        yield server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


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
def ada(server: ChatServer) -> str:
    return server.new_user()


@pytest.fixture
def open_page(server: ChatServer, chat: str, ada: str) -> Iterator[OpenPage]:
    """Open a page with the chat of this test."""
    with ExitStack() as pages:

        def open_page(folder: Path, url: str = server.url, cookie: str = ada) -> Page:
            return pages.enter_context(Page(folder, url, chat, cookie))

        yield open_page


@pytest.fixture
def question(server: ChatServer) -> GatedQuestion:
    return GatedQuestion(server)


def test_the_answer_comes_word_by_word_and_whole(open_page, every_version, question):
    page = open_page(every_version)
    page.begin("ask", question.text)
    page.wait_for(question.half)
    assert page.shown["status"] == "streaming"
    question.go_on()
    page.wait_until_done()
    assert (page.shown["status"], page.answer) == ("ready", question.answer)
    assert page.shown["ends"] == ["finish"]
    assert page.shown["answers"] == [{"status": 200, "protocol": "v1"}]


def test_a_page_that_is_opened_after_another_was_killed_gets_the_whole_answer_once(
    open_page, every_version, question
):
    first = open_page(every_version)
    first.begin("ask", question.text)
    first.wait_for(question.half)
    first.close()
    second = open_page(every_version)
    second.begin("resume")
    second.wait_for(question.half)
    question.go_on()
    second.wait_until_done()
    assert second.shown["answers"] == [{"status": 200, "protocol": "v1"}]
    assert [len(message["parts"]) for message in second.shown["messages"]] == [1]
    assert (second.shown["status"], second.answer) == ("ready", question.answer)


def test_several_pages_read_the_same_answer(open_page, newest, question):
    pages = [open_page(newest) for _ in range(3)]
    pages[0].begin("ask", question.text)
    pages[0].wait_for(question.half)
    for page in pages[1:]:
        page.begin("resume")
        page.wait_for(question.half)
    question.go_on()
    for page in pages:
        page.wait_until_done()
        assert (page.shown["status"], page.answer) == ("ready", question.answer)


def test_a_page_whose_connection_is_cut_resumes_the_answer_without_repeating_any_of_it(
    server, open_page, every_version, question
):
    with RawUpstream(forwards_to(server.port)) as relay:
        page = open_page(every_version, url=f"http://{relay.host}")
        page.begin("ask", question.text)
        page.wait_for(question.half)
        relay.close_connections()
        page.wait_until(lambda: page.shown["status"] == "error")
        page.begin("resume")
        page.wait_until(lambda: page.shown["status"] == "streaming")
        question.go_on()
        page.wait_until_done()
    assert [message["role"] for message in page.shown["messages"]] == ["user", "assistant"]
    assert (page.shown["status"], page.answer) == ("ready", question.answer)


def test_a_chat_without_a_running_answer_has_nothing_to_resume(open_page, every_version):
    page = open_page(every_version)
    for command in ("resume", "ask", "resume"):
        page.begin(command, "Why?")
        page.wait_until_done()
    statuses = [answer["status"] for answer in page.shown["answers"]]
    assert statuses == [204, 200, 204]
    assert (page.shown["status"], page.answer) == ("ready", "You asked: Why?")


def test_another_user_neither_reads_nor_stops_nor_replaces_an_answer(
    server, open_page, newest, chat, question
):
    other_user = server.new_user()
    page, other_page = open_page(newest), open_page(newest, cookie=other_user)
    page.begin("ask", question.text)
    page.wait_for(question.half)
    other_page.begin("resume")
    other_page.wait_until_done()
    assert (other_page.shown["answers"][0]["status"], other_page.shown["messages"]) == (204, [])
    server.stop_answer(chat, other_user)
    other_page.begin("ask", "Why?")
    other_page.wait_until_done()
    assert other_page.answer == "You asked: Why?"
    question.go_on()
    page.wait_until_done()
    assert (page.shown["status"], page.answer) == ("ready", question.answer)


def test_a_stop_ends_the_answer_for_all_its_readers(server, open_page, every_version, chat, ada):
    question = GatedQuestion(server)
    pages = [open_page(every_version), open_page(every_version)]
    pages[0].begin("ask", question.text)
    pages[0].wait_for(question.half)
    pages[1].begin("resume")
    pages[1].wait_for(question.half)
    server.stop_answer(chat, ada)
    for page in pages:
        page.wait_until_done()
        assert (page.shown["status"], page.shown["ends"]) == ("ready", ["finish"])
        assert page.answer == question.half
    pages[1].begin("resume")
    pages[1].wait_until_done()
    assert pages[1].shown["answers"][-1]["status"] == 204


def test_a_page_that_stops_reading_does_not_end_the_answer(open_page, newest, question):
    first = open_page(newest)
    first.begin("ask", question.text)
    first.wait_for(question.half)
    first.begin("leave")
    first.wait_until(lambda: first.shown["ends"] == ["abort"])
    second = open_page(newest)
    second.begin("resume")
    second.wait_for(question.half)
    question.go_on()
    second.wait_until_done()
    assert (second.shown["status"], second.answer) == ("ready", question.answer)


def test_an_exception_reaches_all_pages_as_an_error_without_its_text(
    server, open_page, every_version, question
):
    pages = [open_page(every_version), open_page(every_version)]
    pages[0].begin("ask", f"{question.text} fail now")
    pages[0].wait_for(question.half)
    pages[1].begin("resume")
    pages[1].wait_for(question.half)
    question.go_on()
    for page in pages:
        page.wait_until_done()
        assert (page.shown["status"], page.shown["ends"]) == ("error", ["error"])
        assert page.shown["error"] == "The answer could not be finished."
        assert page.answer == question.answer
    wait_until(lambda: "ConnectionError: the language model does not answer" in server.log)


def test_a_question_ends_the_answer_that_the_chat_still_has(server, open_page, newest, question):
    first, second, third = (open_page(newest) for _ in range(3))
    first.begin("ask", GatedQuestion(server).text)
    first.wait_for(question.half)
    second.begin("ask", question.text)
    second.wait_for(question.half)
    first.wait_until_done()
    assert (first.shown["status"], first.answer) == ("ready", question.half)
    third.begin("resume")
    third.wait_for(question.half)
    question.go_on()
    third.wait_until_done()
    assert third.answer == question.answer


def test_an_answer_is_generated_again_in_place_of_the_first(open_page, every_version):
    page = open_page(every_version)
    page.begin("ask", "Why?")
    page.wait_until_done()
    (_, first) = page.shown["messages"]
    page.begin("again")
    page.wait_until_done()
    (_, second) = page.shown["messages"]
    assert (second["parts"], second["id"] == first["id"]) == (first["parts"], False)


@pytest.mark.parametrize("body", ["[]", "{}", '{"id": "1"}', '{"id": "1", "messages": [7]}'])
def test_a_body_that_is_not_the_sdks_is_refused(server, body):
    headers = {"Content-Type": "application/json"}
    refused = requests.post(f"{server.url}/api/chat", data=body, headers=headers, timeout=30)
    assert refused.status_code == 400


def check_that_an_answer_is_resumed_and_stopped(
    server: ChatServer, folder: Path, chat: str
) -> None:
    cookie, question = server.new_user(), GatedQuestion(server)
    with ExitStack() as pages:
        first, *others = (
            pages.enter_context(Page(folder, server.url, chat, cookie)) for _ in range(4)
        )
        first.begin("ask", question.text)
        first.wait_for(question.half)
        first.close()
        for page in others:
            page.begin("resume")
            page.wait_for(question.half)
        question.go_on()
        for page in others:
            page.wait_until_done()
            assert (page.shown["status"], page.answer) == ("ready", question.answer)
        others[0].begin("ask", LONG_QUESTION)
        others[0].wait_until(lambda: len(others[0].shown["messages"]) == 3)
        server.stop_answer(chat, cookie)
        others[0].wait_until_done()
        assert others[0].shown["status"] == "ready"


def test_pages_find_the_answer_on_a_server_with_threads(newest, chat, tmp_path):
    arguments = ("-k", "gthread", "--threads", "20")
    with ChatServer(tmp_path, *arguments, configuration=os.devnull) as server:
        check_that_an_answer_is_resumed_and_stopped(server, newest, chat)


def test_pages_find_the_answer_on_any_of_several_workers(newest, chat, tmp_path, redis):
    with ChatServer(tmp_path, "-w", "3", FLASK_SLUICE_REDIS_URL=redis.url) as server:
        check_that_an_answer_is_resumed_and_stopped(server, newest, chat)


def test_a_page_is_told_that_the_worker_with_its_answer_was_killed(newest, chat, tmp_path, redis):
    with ChatServer(tmp_path, FLASK_SLUICE_REDIS_URL=redis.url) as server:
        cookie, question = server.new_user(), GatedQuestion(server)
        with Page(newest, server.url, chat, cookie) as first:
            first.begin("ask", question.text)
            first.wait_for(question.half)
            (worker,) = server.workers()
            os.kill(worker, signal.SIGKILL)
            first.wait_until(lambda: first.shown["status"] == "error")
        wait_until(lambda: server.workers() not in ([], [worker]))
        with Page(newest, server.url, chat, cookie) as second:
            second.begin("resume")
            second.wait_until_done()
            assert second.shown["error"] == "The answer could not be finished."
            assert second.answer == question.half
