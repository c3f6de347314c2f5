"""The app in examples/kept-streams under gunicorn's own workers, and under ours."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from tests.examples.kept_client import User, seconds_since
from tests.support.server import ROOT, Server, wait_until
from tests.system.redis_server import RedisServer

FOLDER = ROOT / "examples/kept-streams"
QUESTION = "Why stream?"
LONG_QUESTION = "word " * 100
ENDS = {"gthread": "draining", "sync": "draining", "gevent": "draining", "ours": None}
"""The code of the error of an answer that a server ends with. Ours lets it complete."""
KINDS = {
    "gthread": (os.devnull, ("-k", "gthread", "--threads", "20")),
    "sync": (os.devnull, ("-k", "sync")),
    "gevent": (os.devnull, ("-k", "gevent")),
    "ours": ("python:flask_sluice.server.settings", ()),
}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module")
def start(redis) -> Iterator[Callable[..., Server]]:
    """Returns a function that starts the example on a kind of server."""
    with ExitStack() as servers:

        def start(kind: str, *arguments: str, redis_url: str | None = redis.url) -> Server:
            configuration, usual = KINDS[kind]
            environment = {"SECONDS_BETWEEN_WORDS": "0.02", "PYTHONPATH": f"{ROOT}/wsgi"}
            if redis_url is not None:
                environment["REDIS_URL"] = redis_url
            server = Server(
                configuration=configuration,
                arguments=(*usual, "--no-control-socket", *arguments),
                folder=FOLDER,
                environment=environment,
            )
            return servers.enter_context(server)

        yield start


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(kind, start) -> Server:
    """Two workers, whose app was made before they were forked."""
    return start(kind, "--workers", "2", "--preload")


@pytest.fixture
def user(server) -> User:
    return User(server, "/answers")


def error_of(status) -> str | None:
    assert status["state"] == ("complete" if status["error"] is None else "error")
    return status["error"] and status["error"]["code"]


def data_of(events) -> list:
    return [json.loads(event.data) for event in events]


pytestmark = pytest.mark.slow


class TestTwoWorkers:
    def test_have_each_answer(self, user):
        stream_id = user.begin(QUESTION)
        for _ in range(6):
            assert data_of(user.events(stream_id)) == [{"word": "Why"}, {"word": "stream?"}, {}]
        assert [event.id for event in user.events(stream_id, after="1")] == ["2", "3"]
        assert user.open(stream_id, after="3").status_code == 204
        assert user.status(stream_id)["state"] == "complete"

    def test_find_the_newest_answer_of_each_user(self, server, user):
        other = User(server, "/answers")
        mine, theirs = user.begin(QUESTION), other.begin(QUESTION)
        for _ in range(4):
            assert user.get("/newest").json()["stream"]["id"] == mine
            assert other.get("/newest").json()["stream"]["id"] == theirs
        assert other.open(mine).status_code == 404

    def test_stop_an_answer_wherever_it_runs(self, user):
        for _ in range(3):
            stream_id = user.begin(LONG_QUESTION)
            stopped_at = time.monotonic()
            user.stop(stream_id)
            assert user.until_ended(stream_id)["state"] == "stopped"
            assert seconds_since(stopped_at) < 5

    def test_tell_why_an_answer_failed(self, user):
        stream_id = user.begin("please fail now")
        *_, last = user.events(stream_id)
        assert json.loads(last.data)["error"]["message"] == "the model does not answer"
        assert user.until_ended(stream_id)["error"]["code"] == "model_error"

    def test_end_the_answers_of_a_worker_that_is_replaced(self, kind, server, user):
        stream_id = user.begin(LONG_QUESTION)
        before = set(server.workers())
        server.signal(signal.SIGHUP)
        assert error_of(user.until_ended(stream_id)) == ENDS[kind]
        wait_until(lambda: not before & set(server.workers()), 20, lambda: server.log)
        again = user.begin(QUESTION)
        assert data_of(user.events(again))[-1] == {}

    def test_each_refuse_an_owner_with_too_many_answers(self, user):
        started = []
        for _ in range(7):
            response = user.ask(LONG_QUESTION)
            if response.status_code == 429:
                break
            started.append(response.json()["id"])
        assert response.status_code == 429
        for stream_id in started:
            user.stop(stream_id)
            user.until_ended(stream_id)


def test_a_server_that_ends_ends_its_answers(start, kind):
    server = start(kind, "--workers", "1")
    user = User(server, "/answers")
    # gunicorn's gevent worker waits for the idle connection of this client, for two seconds.
    stream_id = user.begin(LONG_QUESTION if ENDS[kind] is None else 5 * LONG_QUESTION)
    ended_at = time.monotonic()
    server.signal(signal.SIGTERM)
    server.wait_for_exit()
    assert seconds_since(ended_at) < 10
    successor = User(start("gthread", "--workers", "1"), "/answers")
    successor.session = user.session
    assert error_of(successor.status(stream_id)) == ENDS[kind]


def test_two_workers_without_redis_say_what_is_missing(start):
    user = User(start("gthread", "--workers", "2", redis_url=None), "/answers")
    response = user.ask(QUESTION)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "needs_redis")


@pytest.mark.parametrize("kind", ["gthread", "ours"])
def test_the_page_shows_the_answer_again_after_a_reload(start, browser: Browser, kind):
    server = start(kind, "--workers", "1", redis_url=None)
    page = browser.new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("Why stream").wait_for()
    page.reload()
    page.get_by_text("Why stream answers that anybody may lose at any moment?").wait_for()
    page.get_by_text("complete", exact=True).wait_for()
    page.reload()
    page.get_by_text("Why stream answers that anybody may lose at any moment?").wait_for()
    page.close()
