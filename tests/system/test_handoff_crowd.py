"""Hand-off, with the example and its two threads: many readers at once, and what ends while they read."""

import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from flask_sluice import Event, Streams
from flask_sluice.sse import EventParser
from tests.support.server import wait_until
from tests.support.stream import Response, ask, get, post
from tests.system.hand_off import HandOffSite

READERS = 200
EVENTS = 200
GAP_SECONDS = 0.05
PLAIN_SECONDS = 2
"""Each reader that held a thread would hold it for five times as long."""
LOGIN = "/login/ada"


@pytest.fixture(scope="module")
def site(redis) -> Iterator[HandOffSite]:
    with HandOffSite(redis.url, workers=2, drain_seconds=1) as site:
        yield site


@pytest.fixture(scope="module")
def streams(redis) -> Iterator[Streams]:
    streams = Streams(redis.url)
    yield streams
    streams.close()


@pytest.fixture(scope="module")
def cookie(site) -> str:
    return ask(site.nginx, post(LOGIN, b""))[0].headers["set-cookie"].partition(";")[0]


class Reader:
    """An EventSource, which disconnects at random places and comes back."""

    def __init__(self, site: HandOffSite, path: str, cookie: str, seed: int) -> None:
        self._site, self._path, self._cookie = site, path, cookie
        self._random = random.Random(seed)
        self.ids: list[str] = []
        self.connections = 0
        self.refusals: list[int] = []
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            count = self._random.randint(1, EVENTS)
            self._read(count)

    def _read(self, count: int) -> None:
        """Read so many events, or fewer."""
        self.connections += 1
        last_id = {"Last_Event_ID": self.ids[-1]} if self.ids else {}
        with self._site.nginx.connect() as sock:
            sock.sendall(get(self._path, Cookie=self._cookie, **last_id))
            response = Response(sock)
            if response.status != 200:
                self.is_over = response.status == 204
                if not self.is_over:
                    self.refusals.append(response.status)
                return
            parser = EventParser()
            while count > 0 and (chunk := response.chunk()):
                for event in parser.feed(chunk)[:count]:
                    count -= 1
                    if event.event == "error":
                        continue
                    self.ids.append(event.id)


def in_threads(readers: list[Reader]) -> list[threading.Thread]:
    threads = [threading.Thread(target=reader.run) for reader in readers]
    for thread in threads:
        thread.start()
    return threads


class Publisher(threading.Thread):
    """Publishes a stream of so many events, and goes on until it may end.

    path: where readers find it; ids: of all its events, when it is over
    """

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams
        self.path = ""
        self.ids: list[str] = []
        self.may_end = threading.Event()

    def run(self) -> None:
        with self._streams.create(owner="ada") as stream:
            self.path = f"/counts/{stream.id}"
            count = 0
            while count < EVENTS or not self.may_end.is_set():
                stream.publish(Event(data=str(count)))
                count += 1
                time.sleep(GAP_SECONDS)
            # The last is the terminal event's.
            self.ids = [str(number) for number in range(1, count + 2)]


@pytest.fixture
def publisher(streams) -> Iterator[Publisher]:
    publisher = Publisher(streams)
    publisher.start()
    wait_until(lambda: publisher.path)
    yield publisher
    publisher.may_end.set()
    publisher.join()


@pytest.mark.slow
def test_two_hundred_readers_that_come_and_go_get_each_event_once_while_two_threads_are_free(
    site, publisher, cookie
):
    readers = [Reader(site, publisher.path, cookie, seed) for seed in range(READERS)]
    threads = in_threads(readers)
    wait_until(lambda: all(reader.ids for reader in readers), 30)
    publisher.may_end.set()
    waits = []
    while publisher.is_alive() or not waits:
        asked_at = time.monotonic()
        assert ask(site.nginx, post(LOGIN, b""))[0].status == 200
        waits.append(time.monotonic() - asked_at)
    # One or another may be late for what else the machine does.
    assert statistics.median(waits) < PLAIN_SECONDS
    for thread in threads:
        thread.join()
    assert [reader.refusals for reader in readers if reader.refusals] == []
    assert [seed for seed in range(READERS) if readers[seed].ids != publisher.ids] == []
    assert sum(reader.connections for reader in readers) > 2 * READERS


@pytest.mark.slow
def test_readers_miss_nothing_when_the_app_and_sluice_are_reloaded(site, publisher, cookie):
    readers = [Reader(site, publisher.path, cookie, seed) for seed in range(20)]
    threads = in_threads(readers)
    wait_until(lambda: all(reader.ids for reader in readers), 30)
    for server in (site.app, site.sluice):
        workers = set(server.workers())
        server.signal(signal.SIGHUP)
        wait_until(lambda server=server, workers=workers: not workers & set(server.workers()), 30)
    publisher.may_end.set()
    for thread in threads:
        thread.join()
    assert site.sluice.logged("stream ended", code="draining")
    assert [reader.refusals for reader in readers if reader.refusals] == []
    assert [reader.ids for reader in readers if reader.ids != publisher.ids] == []
