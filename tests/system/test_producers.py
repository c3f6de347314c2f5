"""Producers that are no web servers: a plain script, and a job of RQ. Readers are in this process."""

import json
import statistics
import subprocess
import time
from collections.abc import Iterator

import pytest

from flask_sluice import Event, Streams
from flask_sluice.journal.errors import (
    JournalLostError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.sse import EventParser
from tests.examples.installed import python_with
from tests.support.server import ROOT, clean_environment, wait_until
from tests.system.redis_server import RedisServer
from tests.unit.journals import ids
from tests.unit.kept_streams import Reader, events, read_with_breaks

# Installing takes half a minute, once.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

LATENCY_SECONDS = 0.050


@pytest.fixture(scope="module")
def bare_python() -> str:
    """A Python without Flask and gevent."""
    return python_with("redis~=8.0", "msgspec~=0.22")


@pytest.fixture(scope="module")
def streams(redis) -> Iterator[Streams]:
    streams = Streams(redis.url)
    yield streams
    streams.close()


@pytest.fixture
def stream_id(streams) -> str:
    return streams.new_id()


@pytest.fixture
def environment(redis) -> dict[str, str]:
    return {**clean_environment(), "REDIS_URL": redis.url, "PYTHONPATH": f"{ROOT}/wsgi:{ROOT}"}


@pytest.fixture
def run(bare_python, environment):
    """Returns a function that runs a job in a script."""
    scripts = []

    def run(*job):
        script = subprocess.Popen(
            [bare_python, "-m", "tests.system.producer_jobs", *map(str, job)],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        scripts.append(script)
        return script

    yield run
    for script in scripts:
        script.kill()
        script.communicate()


def until_begun(streams, stream_id):
    def has_begun():
        try:
            return streams.status(stream_id).last_id > 0
        except UnknownStreamError:
            return False

    wait_until(has_begun, 20)


def until_ended(streams, stream_id, seconds=20):
    def status():
        found = streams.status(stream_id)
        return None if found.state == "running" else found

    return wait_until(status, seconds)


class TestAScript:
    def test_publishes_without_flask_and_gevent(self, streams, stream_id, run):
        run("count_unwanted", stream_id)
        until_begun(streams, stream_id)
        assert events(streams, stream_id) == [("message", "[]"), ("done", "{}")]

    def test_ends_at_once_and_leaves_all_that_it_has_published(self, streams, stream_id, run):
        script = run("publish", stream_id, 20)
        assert script.wait(20) == 0
        assert script.stderr.read() == ""
        assert streams.status(stream_id, owner="ada").state == "complete"
        assert streams.find(key=f"key-of-{stream_id}").last_id == 21
        *numbers, _ = events(streams, stream_id)
        assert [json.loads(data)["number"] for _, data in numbers] == list(range(20))

    def test_that_fails_tells_no_secret(self, streams, stream_id, run):
        script = run("fail", stream_id)
        assert script.wait(20) == 1
        assert streams.status(stream_id).state == "error"
        assert "secret" not in str(events(streams, stream_id))

    @pytest.mark.measures
    def test_hears_within_a_second_of_a_stop(self, streams, stream_id, run):
        run("publish_until_stopped", stream_id)
        until_begun(streams, stream_id)
        stopped_at = time.time()
        streams.stop(stream_id)
        _, (_, heard), (_, error) = events(streams, stream_id)
        assert json.loads(heard)["heard_at"] - stopped_at < 1
        assert json.loads(error)["error"]["code"] == "stopped"

    def test_may_fork_while_it_has_a_stream(self, streams, run, stream_id):
        others = [streams.new_id() for _ in range(3)]
        script = run("publish_in_children", stream_id, *others)
        assert script.wait(20) == 0
        assert events(streams, stream_id)[1] == ("message", "[0,0,0]")
        for other in others:
            assert len(events(streams, other)) == 4

    def test_that_is_killed_is_told_to_readers_within_10_seconds(self, streams, stream_id, run):
        script = run("hang", stream_id)
        until_begun(streams, stream_id)
        unread = streams.new_id()
        other = run("hang", unread)
        until_begun(streams, unread)
        reader = Reader(streams, stream_id)
        killed_at = time.monotonic()
        script.kill()
        other.kill()
        assert reader.read_for(10)
        assert time.monotonic() - killed_at < 10
        reader.close()
        assert b"producer_lost" in reader.received
        # A stream without readers, too, says so when it is asked.
        status = until_ended(streams, unread, 10)
        assert (status.state, status.error["code"]) == ("error", "producer_lost")


def test_a_job_of_rq_publishes_from_the_process_that_rq_forks(streams, stream_id, environment):
    python = python_with("rq~=3.0", "redis~=8.0", "msgspec~=0.22")
    program = (
        "import redis, rq; from tests.system import producer_jobs as jobs\n"
        "connection = redis.Redis.from_url(jobs.os.environ['REDIS_URL'])\n"
        "queue = rq.Queue(connection=connection)\n"
        f"queue.enqueue(jobs.publish, {stream_id!r}, 20)\n"
        "rq.Worker([queue], connection=connection).work(burst=True)\n"
    )
    subprocess.run(
        [python, "-c", program],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert streams.status(stream_id).state == "complete"
    assert len(events(streams, stream_id)) == 21


def test_readers_of_another_process_get_each_event_once_however_often_they_leave(
    streams, stream_id, run
):
    run("publish", stream_id, 200)
    until_begun(streams, stream_id)
    joins, failed = read_with_breaks(streams, stream_id, readers=300, seconds=1)
    assert joins > 600
    assert failed == []


class TestWhenRedisIsAway:
    """The producer and its readers are threads of this process."""

    @pytest.fixture
    def own_redis(self) -> Iterator[RedisServer]:
        with RedisServer() as redis:
            yield redis

    def test_a_producer_goes_on_and_readers_get_everything(self, own_redis):
        streams = Streams(own_redis.url)
        with streams.create() as stream:
            stream.publish(Event(data="before"))
            reader = Reader(streams, stream.id)
            wait_until(lambda: not reader.read_for(0.01) and reader.received)
            own_redis.kill()
            began_at = time.monotonic()
            for _ in range(100):
                stream.publish(Event(data="meanwhile"))
            assert time.monotonic() - began_at < 5
            own_redis.start()
            stream.publish(Event(data="after"))
        assert reader.read_for(20)
        reader.close()
        assert ids(reader.received) == list(range(1, 104))
        assert streams.status(stream.id).state == "complete"
        streams.close()

    def test_a_producer_is_told_when_too_much_waits(self, own_redis):
        streams = Streams(own_redis.url, history_bytes=2_000_000)
        stream = streams.create()
        own_redis.kill()

        def publish():
            with stream:
                for _ in range(50):
                    stream.publish(Event(data="x" * 100_000))

        with pytest.raises(JournalLostError):
            publish()
        own_redis.start()
        status = until_ended(streams, stream.id, 30)
        assert (status.state, status.error["code"]) == ("error", "producer_lost")
        streams.close()

    def test_a_stream_cannot_begin_and_the_owner_is_not_counted(self, own_redis):
        streams = Streams(own_redis.url, streams_per_owner=1)
        own_redis.kill()
        for _ in range(2):
            with pytest.raises(JournalUnavailableError):
                streams.create(owner="a")
            with pytest.raises(JournalUnavailableError):
                streams.start([], owner="a")
        own_redis.start()

        def begins():
            try:
                streams.create(owner="a").close()
            except JournalUnavailableError:
                return False
            return True

        wait_until(begins, 20)
        streams.close()


@pytest.mark.measures
def test_readers_of_another_process_have_an_event_within_50_ms(streams, stream_id, run):
    """From before the producer's publish() to after the reader's take()."""
    run("publish", stream_id, 300)
    until_begun(streams, stream_id)
    reader = Reader(streams, stream_id)
    parser, latencies, seen = EventParser(), [], 0
    while not reader.follower.is_finished:
        reader.read_for(0.002)
        now = time.time()
        latencies += [
            now - json.loads(event.data)["published_at"]
            for event in parser.feed(reader.received[seen:])
            if event.event == "message"
        ]
        seen = len(reader.received)
    reader.close()
    # Those that were there before the reader.
    measured = latencies[50:]
    print(
        f"p50 {statistics.median(measured) * 1000:.1f} ms, p99 {sorted(measured)[-3] * 1000:.1f} ms"
    )
    assert statistics.median(measured) < LATENCY_SECONDS
