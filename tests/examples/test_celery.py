"""The app in examples/celery: a real Celery worker publishes, and a web server with threads has the readers."""

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.examples.celery_worker import FOLDER, CeleryWorker, celery_python, environment_of
from tests.examples.kept_client import User, seconds_since
from tests.support.server import Server
from tests.system.redis_server import RedisServer

# Installing takes half a minute, once.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="class", params=["prefork", "threads"])
def worker(request, redis) -> Iterator[CeleryWorker]:
    with CeleryWorker(redis.url, request.param) as worker:
        yield worker


@pytest.fixture(scope="module")
def threads(redis) -> Iterator[Server]:
    """Two workers with threads, where gevent is not installed."""
    arguments = ("-k", "gthread", "--threads", "20", "--workers", "2", "--no-control-socket")
    with Server(
        configuration=os.devnull,
        arguments=arguments,
        folder=FOLDER,
        python=celery_python(),
        environment=environment_of(redis.url),
    ) as server:
        yield server


@pytest.fixture
def user(threads) -> User:
    return User(threads, "/jobs")


class TestATask:
    def test_is_read_as_it_goes_on(self, worker, user):
        stream_id = user.begin("Why stream?")
        events = user.events(stream_id)
        assert json.loads(next(events).data) == {"step": 1}
        assert user.status(stream_id)["state"] == "running"
        *others, last = events
        assert [int(event.id) for event in others] == list(range(2, 31))
        assert (last.event, last.id) == ("done", "31")
        assert user.status(stream_id)["state"] == "complete"
        assert user.open(stream_id, after="31").status_code == 204

    @pytest.mark.measures
    def test_is_stopped_within_a_second(self, worker, user):
        stream_id = user.begin("Why stream?")
        events = user.events(stream_id)
        next(events)
        stopped_at = time.monotonic()
        user.stop(stream_id)
        *_, last = events
        assert seconds_since(stopped_at) < 1
        assert json.loads(last.data)["error"]["code"] == "stopped"
        assert user.status(stream_id)["state"] == "stopped"

    def test_that_fails_tells_why(self, worker, user):
        stream_id = user.begin("please fail")
        *_, last = user.events(stream_id)
        assert json.loads(last.data)["error"]["message"] == "the library is closed"
        assert user.status(stream_id)["state"] == "error"

    def test_of_another_user_is_not_found(self, worker, threads, user):
        stream_id = user.begin("Why stream?")
        next(user.events(stream_id))
        other = User(threads, "/jobs")
        other.get("/")
        assert "error" in other.status(stream_id)
        assert "state" not in other.status(stream_id)
        user.stop(stream_id)


def test_tasks_complete_when_the_worker_is_asked_to_end(redis, user):
    with CeleryWorker(redis.url, "prefork") as worker:
        stream_id = user.begin("Why stream?")
        events = user.events(stream_id)
        next(events)
        worker.terminate()
        *_, last = events
        assert last.event == "done"
        assert worker.wait() == 0


def test_the_readers_of_a_task_that_was_killed_are_told_within_10_seconds(redis, user):
    with CeleryWorker(redis.url, "prefork") as worker:
        stream_id = user.begin("Why stream?")
        events = user.events(stream_id)
        next(events)
        killed_at = time.monotonic()
        for process in worker.pool_processes():
            os.kill(process, signal.SIGKILL)
        *_, last = events
        assert seconds_since(killed_at) < 10
        assert json.loads(last.data)["error"]["code"] == "producer_lost"
        status = user.status(stream_id)
        assert (status["state"], status["error"]["code"]) == ("error", "producer_lost")
