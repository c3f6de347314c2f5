"""Channels in a Flask app on gunicorn, read over real connections."""

import os
import random
import signal
import threading
import time
import uuid

import pytest

from flask_sluice.channels import Channels
from flask_sluice.sse import EventParser
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, get, post
from tests.system.redis_server import RedisServer

ON_THREADS = {
    "configuration": os.devnull,
    "arguments": ("-k", "gthread", "--threads", "20", "--no-control-socket"),
}

ON_MANY_THREADS = {
    **ON_THREADS,
    "arguments": ("-k", "gthread", "--threads", "60", "--no-control-socket"),
}


@pytest.fixture(scope="module")
def on_gevent():
    with Server("tests.server.channels_app:app") as server:
        yield server


@pytest.fixture(scope="module")
def on_threads():
    with Server("tests.server.channels_app:app", **ON_THREADS) as server:
        yield server


@pytest.fixture(params=["on_gevent", "on_threads"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def name():
    return f"test-{uuid.uuid4().hex}"


def publish(server, name, data):
    return ask(server, post(f"/publish/{name}", data))[1]


def present(server, name):
    return ask_json(server, f"/present/{name}")


def ask_json(server, path):
    with server.connect() as sock:
        sock.sendall(get(path))
        return Response(sock).json()


class Connection:
    """A client that reads, as an EventSource does. last_event_id: None: it is new"""

    def __init__(self, server, path, last_event_id=None, cache_control="no-cache"):
        self._sock = server.connect()
        headers = {"Last_Event_ID": last_event_id} if last_event_id else {}
        headers["Cache_Control"] = cache_control
        self.received = b""
        try:
            self._sock.sendall(get(path, **headers))
            self.response = Response(self._sock)
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._sock.close()

    def until(self, text):
        self.received += self.response.until(text)
        return self

    @property
    def events(self):
        return EventParser().feed(self.received)

    @property
    def last_event_id(self):
        parser = EventParser()
        parser.feed(self.received)
        return parser.last_event_id


def test_a_reader_gets_events_as_they_are_published(server, name):
    with Connection(server, f"/read?channel={name}") as reader:
        assert reader.response.status == 200
        assert reader.response.headers["x-read"] == "yes"
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        reader.until(b"id: ")
        for number in range(3):
            publish(server, name, {"number": number})
            reader.until(b'data: {"number":%d}\n\n' % number)
        assert len({event.id for event in reader.events}) == 3
        assert b"\nretry: 2000\n" in reader.received


def test_a_reader_that_comes_back_goes_on_after_its_last_event(server, name):
    with Connection(server, f"/read?channel={name}") as reader:
        reader.until(b"\n\n")
        first_id = reader.last_event_id
    for number in range(3):
        publish(server, name, number)
    with Connection(server, f"/read?channel={name}", first_id) as again:
        again.until(b"data: 2\n\n")
        assert [event.data for event in again.events] == ["0", "1", "2"]
        middle_id = again.events[1].id
    with Connection(server, f"/read?channel={name}&last_event_id={middle_id}") as third:
        third.until(b"\n\n")
        assert [event.data for event in third.events] == ["2"]


def test_a_client_that_is_not_an_event_source_gets_no_block_without_data(server, name):
    with Connection(server, f"/read?channel={name}", cache_control="no-store") as reader:
        reader.until(b"\nid: ")
        publish(server, name, 1)
        reader.until(b"data: 1\n\n")
        assert reader.received.count(b"\n\n") == 1
        assert reader.events[0].id == reader.received.split(b"\nid: ")[-1].split(b"\n")[0].decode()


def test_beyond_the_history_a_reader_is_told_a_reset(server, name):
    with Connection(server, f"/read?channel={name}") as reader:
        reader.until(b"\n\n")
        first_id = reader.last_event_id
    publish_in_bulk(server, name, 510)
    with Connection(server, f"/read?channel={name}", first_id) as again:
        again.until(b"data: 509\n\n")
        assert [event.event for event in again.events[:2]] == ["reset", "message"]
        assert len(again.events) == 501


def publish_in_bulk(server, name, count):
    with server.connect() as sock:
        for number in range(count):
            sock.sendall(post(f"/publish/{name}", number))
            response = Response(sock)
            response.body()


def test_a_kicked_reader_gets_an_error_event_and_the_proper_end(server, name):
    with Connection(server, f"/read?channel={name}&owner=7") as reader:
        reader.until(b"\n\n")
        ask(server, post(f"/kick/{name}?owner=7", {}))
        rest = reader.response.body()
        (event,) = EventParser().feed(rest)
        assert event.event == "error"
        assert '"code":"kicked"' in event.data
        assert event.retry is None


def test_a_kick_is_in_the_log_as_a_stream_that_was_cancelled(on_gevent, name):
    with Connection(on_gevent, f"/read?channel={name}&owner=7") as reader:
        reader.until(b"\n\n")
        ask(on_gevent, post(f"/kick/{name}?owner=7", {}))
        reader.response.body()
    wait_until(lambda: on_gevent.logged("stream ended", outcome="cancelled", code="kicked"))
    assert name not in str(on_gevent.logged_lines())


def test_the_app_is_told_at_once_when_an_owner_comes_and_leaves(server, name):
    with Connection(server, f"/read?channel={name}&owner=7") as reader:
        reader.until(b"\n\n")
        wait_until(lambda: present(server, name) == ["7"])
        left_at = time.monotonic()
    wait_until(lambda: present(server, name) == [])
    # Well before the keep-alive with which the leaving would be noticed at the latest.
    assert time.monotonic() - left_at < 5
    told = "tests.server.channels_app"
    wait_until(lambda: ["leave", name, "7", told] in ask_json(server, "/told"))
    assert ["join", name, "7", told] in ask_json(server, "/told")


def test_an_owner_with_too_many_readers_is_refused_and_may_come_when_one_has_left(server, name):
    path = f"/read?channel={name}&owner=busy"
    readers = [Connection(server, path).until(b"\n\n") for _ in range(3)]
    response, body = ask(server, get(path))
    assert response.status == 429
    assert int(response.headers["retry-after"]) > 0
    assert b"rate_limit_exceeded" in body
    for reader in readers:
        reader.__exit__()
    wait_until(lambda: present(server, name) == [])
    with Connection(server, path) as reader:
        reader.until(b"\n\n")


def test_garbage_in_last_event_id_is_refused_with_what_it_takes(server, name):
    response, body = ask(server, get(f"/read?channel={name}", Last_Event_ID="garbage"))
    assert response.status == 400
    assert b"Last-Event-ID takes the id of an event of these channels" in body


def test_a_head_request_leaves_no_reader(server, name):
    with server.connect() as sock:
        sock.sendall(f"HEAD /read?channel={name}&owner=7 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in sock.recv(100)
        wait_until(lambda: present(server, name) == [])


def test_a_silent_channel_is_kept_alive(server, name):
    with Connection(server, f"/read?channel={name}&keepalive=0.1") as reader:
        reader.until(b": keep-alive\n: keep-alive\n")
        publish(server, name, "still there")
        reader.until(b'data: "still there"\n\n')
        assert [event.data for event in reader.events] == ['"still there"']


def test_several_workers_without_redis_say_that_they_need_it(name):
    with Server("tests.server.channels_app:app", arguments=("--workers", "2")) as server:
        for request in (get(f"/read?channel={name}"), post(f"/publish/{name}", 1)):
            response, body = ask(server, request)
            assert response.status == 503
            assert b"needs_redis" in body


_CLIENT_SECONDS = 30


class Client(threading.Thread):
    """An EventSource that loses its connection again and again, and comes back with what it has."""

    def __init__(self, server, path, end):
        super().__init__()
        self._server, self._path, self._end = server, path, end
        self.data, self.resets, self.connections = [], 0, 0
        self.error = None
        self.is_ready = threading.Event()
        self._last_event_id = None

    def run(self):
        try:
            gives_up_at = time.monotonic() + _CLIENT_SECONDS
            while self._end not in self.data and time.monotonic() < gives_up_at:
                self._read_for(random.uniform(0.01, 0.3))
        except Exception as error:  # noqa: BLE001 - the test raises it
            self.error = error

    def _read_for(self, seconds):
        try:
            connection = Connection(self._server, self._path, self._last_event_id)
        except (OSError, EOFError):
            return  # The worker that had it was killed.
        ends_at = time.monotonic() + seconds
        parser = EventParser()
        with connection:
            self.connections += 1
            while time.monotonic() < ends_at and self._end not in self.data:
                try:
                    chunk = connection.response.chunk()
                except (OSError, EOFError):
                    break
                for event in parser.feed(chunk):
                    self.resets += event.event == "reset"
                    self.data.append(event.data)
                self._last_event_id = parser.last_event_id or self._last_event_id
                if self._last_event_id:
                    self.is_ready.set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "kills"),
    [({}, False), ({}, True), (ON_MANY_THREADS, False)],
    ids=["gevent", "gevent, one killed", "gthread"],
)
def test_readers_of_two_workers_get_each_event_once_over_random_reconnects(name, options, kills):
    with RedisServer() as redis, two_workers(redis, **options) as server:
        clients = [
            Client(server, f"/read?channel={name}&channel={name}-{number}&keepalive=0.05", '"end"')
            for number in range(40)
        ]
        for client in clients:
            client.start()
        for client in clients:
            assert client.is_ready.wait(20)
        channels = Channels(redis.url)
        for number in range(300):
            channels.publish(name, number)
            if kills and number == 150:
                os.kill(server.workers()[0], signal.SIGKILL)
            time.sleep(0.003)
        channels.publish(name, "end")
        for client in clients:
            client.join(_CLIENT_SECONDS + 5)
            assert client.error is None
            assert client.data == [*(str(number) for number in range(300)), '"end"']
        assert sum(client.connections for client in clients) > 2 * len(clients)


def two_workers(redis, arguments=(), **options):
    return Server(
        "tests.server.channels_app:app",
        redis_url=redis.url,
        arguments=("--workers", "2", *arguments),
        **options,
    )


@pytest.mark.measures
@pytest.mark.slow
def test_presence_is_right_within_a_second_after_a_worker_is_killed(name):
    with RedisServer() as redis, two_workers(redis) as server:
        readers = []
        while len(set(pids(server, name))) < 2:
            path = f"/read?channel={name}&owner={len(readers)}"
            readers.append(Connection(server, path).until(b"\n\n"))
            wait_until(lambda: len(present(server, name)) == len(readers))
        victim = server.workers()[0]
        left = pids(server, name).count(victim)
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        wait_until(lambda: len(present(server, name)) == len(readers) - left)
        assert time.monotonic() - killed_at < 1
        assert victim not in pids(server, name)
        for reader in readers:
            reader.__exit__()
        wait_until(lambda: present(server, name) == [])


def pids(server, name):
    return ask_json(server, f"/pids/{name}")
