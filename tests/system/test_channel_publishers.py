"""Programs that are no web servers publish to channels: a script, its forked children, jobs of RQ, tasks of a Celery worker."""

import json
import os
import signal
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Iterator

import pytest

from flask_sluice import Channels
from flask_sluice.sse import EventParser
from tests.examples.installed import python_with
from tests.support.server import ROOT, Server, clean_environment, wait_until
from tests.support.stream import Response, get
from tests.unit.channels import Reader

# Installing takes half a minute, once.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

TIMEOUT_SECONDS = 60


@pytest.fixture(scope="module")
def python() -> str:
    """A Python without Flask and gevent."""
    return python_with("celery[redis]~=5.7", "rq~=3.0", "msgspec~=0.22")


@pytest.fixture(scope="module")
def environment(redis) -> dict[str, str]:
    return {**clean_environment(), "REDIS_URL": redis.url, "PYTHONPATH": f"{ROOT}/wsgi:{ROOT}"}


@pytest.fixture
def start(python, environment):
    """Returns a function that starts Python with these arguments, and has it killed at the end."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [python, *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            text=True,
            start_new_session=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def run(start):
    """Returns a function that runs Python with these arguments to its end."""

    def run(*arguments):
        process = start(*arguments, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0, errors

    return run


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def reader(redis, name) -> Iterator[Reader]:
    channels = Channels(redis.url)
    reader = Reader(channels, name)
    yield reader
    reader.leave()
    channels.close()


def until_has(reader, count):
    """Return the values of the events when there are so many."""
    wait_until(lambda: len(reader.data) >= count, explain=lambda: reader.data)
    return [json.loads(data) for data in reader.data]


def numbers_of_each(values):
    """Return the numbers that each process has published, as they came."""
    numbers = defaultdict(list)
    for value in values:
        numbers[value["pid"]].append(value["number"])
    return list(numbers.values())


class TestAScript:
    JOBS = ("-m", "tests.system.channel_jobs")

    def test_publishes_without_flask_and_gevent(self, run, name, reader):
        run(*self.JOBS, "tell_what_is_imported", name)
        assert until_has(reader, 1) == [[]]

    def test_that_ends_at_once_leaves_all_that_it_has_published(self, run, name, reader):
        run(*self.JOBS, "publish", name, 500)
        assert numbers_of_each(until_has(reader, 500)) == [list(range(500))]
        assert {event.event for event in reader.events} == {"job"}

    def test_that_is_killed_leaves_all_of_which_it_knows_that_it_is_published(
        self, start, name, reader
    ):
        script = start(*self.JOBS, "publish_for_ever", name, stdout=subprocess.PIPE)
        until_has(reader, 100)
        script.kill()
        printed = [int(line) for line in script.stdout.read().split()]
        values = until_has(reader, len(printed))
        assert values == list(range(len(values)))
        assert len(values) - len(printed) in (0, 1)

    def test_may_fork_when_it_has_published(self, run, name, reader):
        run(*self.JOBS, "publish_in_children", name, 3, 100)
        first, *values, last = until_has(reader, 402)
        assert (first, last) == ("begun", [0, 0, 0])
        assert numbers_of_each(values) == [list(range(100))] * 4


def test_a_job_of_rq_publishes_from_the_process_that_rq_forks(run, name, reader):
    program = (
        "import redis, rq; from tests.system import channel_jobs as jobs\n"
        "connection = redis.Redis.from_url(jobs.os.environ['REDIS_URL'])\n"
        "queue = rq.Queue(connection=connection)\n"
        f"queue.enqueue(jobs.publish, {name!r}, 20)\n"
        "rq.Worker([queue], connection=connection).work(burst=True)\n"
    )
    run("-c", program)
    assert numbers_of_each(until_has(reader, 20)) == [list(range(20))]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_celery_task_publishes_to_the_readers_of_an_app(redis, start, run, name, pool):
    celery = ("-m", "celery", "-A", "tests.system.channel_tasks")
    start(*celery, "worker", "--pool", pool, "--concurrency", 2, stderr=subprocess.DEVNULL)
    with (
        Server("tests.server.channels_app:app", redis_url=redis.url) as server,
        server.connect() as sock,
    ):
        sock.sendall(get(f"/read?channel={name}"))
        response = Response(sock)
        # The id is sent when the reader is there.
        received = response.until(b"id: ")
        for _ in range(3):
            run(*celery, "call", "publish", "--args", json.dumps([name, 50]))
        parser = EventParser()
        events = parser.feed(received)
        while len(events) < 150:
            events += parser.feed(response.chunk())
    numbers = [json.loads(event.data)["number"] for event in events]
    assert sorted(numbers) == sorted(list(range(50)) * 3)
    assert len({event.id for event in events}) == 150
