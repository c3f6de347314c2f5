"""Hand-off of channels: the app names them, and Sluice sends what is published there."""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from flask_sluice import Channels
from flask_sluice.sse import EventParser, ReceivedEvent
from tests.support.server import ROOT, wait_until
from tests.support.stream import Response, ask, get
from tests.system.hand_off import HandOffSite, ticket_target

AT_ONCE_SECONDS = 5
READERS = 200
EVENTS = 100


@pytest.fixture(scope="module")
def site(redis) -> Iterator[HandOffSite]:
    with HandOffSite(
        redis.url,
        "tests.system.handing_app:app",
        folder=ROOT,
        api_keys="a-key-of-the-gateway",
        workers=2,
    ) as site:
        yield site


@pytest.fixture(scope="module")
def channels(redis) -> Iterator[Channels]:
    """Those of a program that is neither the app nor Sluice."""
    channels = Channels(redis.url)
    yield channels
    channels.close()


@pytest.fixture
def name() -> str:
    """A channel's that no other test has, with characters that a URL does not take."""
    return f"user:ä/?&{uuid.uuid4().hex}"


class ChannelClient:
    """A response of the view that hands channels over. query: the view's"""

    def __init__(self, site: HandOffSite, *names: str, last_id: str = "", **query: str) -> None:
        self._sock = site.nginx.connect()
        path = f"/channels?{urlencode({'name': names, **query}, doseq=True)}"
        self._sock.sendall(get(path, **({"Last_Event_ID": last_id} if last_id else {})))
        self.response = Response(self._sock)
        self._parser = EventParser()
        self._events: list[ReceivedEvent] = []
        self.status = self.response.status
        if self.status == 200:
            # It is told an id, or is given an event, before it misses anything.
            self._feed(self.response.until(b"id: "))

    def __enter__(self) -> "ChannelClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def read(self, count: int) -> list[ReceivedEvent]:
        """The next events, so many of them."""
        while len(self._events) < count:
            self._feed(self.response.chunk())
        taken, self._events = self._events[:count], self._events[count:]
        return taken

    def _feed(self, chunk: bytes) -> None:
        assert chunk, "the body ended"
        self._events += self._parser.feed(chunk)


def test_what_is_published_reaches_the_reader_at_once(site, channels, name):
    with ChannelClient(site, name) as client:
        for number in range(3):
            channels.publish(name, {"number": number}, event="job")
            published_at = time.monotonic()
            (event,) = client.read(1)
            assert time.monotonic() - published_at < AT_ONCE_SECONDS
            assert (event.event, event.data) == ("job", f'{{"number":{number}}}')


def test_a_reader_of_several_channels_gets_all_of_them_and_no_other(site, channels, name):
    with ChannelClient(site, name, f"{name}:2") as client:
        channels.publish(f"{name}:3", "not named by the view")
        channels.publish(name, "one")
        channels.publish(f"{name}:2", "two")
        assert {event.data for event in client.read(2)} == {'"one"', '"two"'}


@pytest.mark.parametrize("place", ["last_id", "last_event_id"])
def test_a_reader_that_comes_back_misses_nothing(site, channels, name, place):
    with ChannelClient(site, name) as client:
        channels.publish(name, 1)
        (event,) = client.read(1)
    channels.publish(name, 2)
    with ChannelClient(site, name, **{place: event.id}) as client:
        channels.publish(name, 3)
        assert [event.data for event in client.read(2)] == ["2", "3"]


def test_presence_has_the_readers_that_were_handed_over_while_they_are_there(site, channels, name):
    with ChannelClient(site, name, owner="ada", session="7"):
        (present,) = wait_until(lambda: channels.present(name))
        assert (present.owner, present.details) == ("ada", {"session": "7"})
    left_at = time.monotonic()
    wait_until(lambda: not channels.present(name))
    assert time.monotonic() - left_at < AT_ONCE_SECONDS


def test_a_kick_ends_the_readers_that_were_handed_over(site, channels, name):
    with ChannelClient(site, name, owner="ada") as ada, ChannelClient(site, name) as other:
        channels.kick(name, {"owner": "ada"})
        (event,) = ada.read(1)
        assert (event.event, '"code":"kicked"' in event.data) == ("error", True)
        channels.publish(name, "still here")
        assert other.read(1)[0].data == '"still here"'


def test_an_id_that_no_channel_has_given_out_is_a_400_of_the_view(site):
    assert ask(site.app, get("/channels?name=x&last_event_id=nonsense"))[0].status == 400


@pytest.mark.slow
def test_the_readers_of_an_owner_are_limited_as_the_app_says(redis, name):
    with (
        HandOffSite(
            redis.url,
            "tests.system.handing_app:app",
            folder=ROOT,
            app_settings={"readers_per_owner": 1},
        ) as site,
        ChannelClient(site, name, owner="ada"),
    ):
        assert ChannelClient(site, name, owner="ada").status == 429
        with ChannelClient(site, name, owner="grace") as other:
            assert other.status == 200


def test_the_channels_of_a_ticket_cannot_be_changed(site, name):
    target = ticket_target(site.app, f"/channels?{urlencode({'name': name})}")
    assert ask(site.sluice, get(f"{target}x"))[0].status == 404
    assert ask(site.sluice, get(target.replace("/channels", "/streams/channels")))[0].status == 404
    assert ask(site.sluice, get("/_sluice/channels?name=x"))[0].status == 404


def test_a_ticket_of_channels_never_names_them_in_a_log(site, channels, name):
    with ChannelClient(site, name, owner="grace"):
        wait_until(lambda: channels.present(name))
    wait_until(lambda: site.sluice.logged("stream ended", path="/_sluice/channels"))
    for text in (site.sluice.log, site.nginx.logs()):
        assert name not in text
        assert "ticket=" not in text


def read_in_pieces(site: HandOffSite, name: str, seed: int, seen: dict[int, list[str]]) -> None:
    """An EventSource that disconnects at random places and comes back."""
    pieces = random.Random(seed)
    data: list[str] = []
    last_id = ""
    while len(data) < EVENTS:
        count = min(pieces.randint(1, EVENTS // 3), EVENTS - len(data))
        with ChannelClient(site, name, last_id=last_id) as client:
            seen[seed] = data
            events = client.read(count)
        data += [event.data for event in events]
        last_id = events[-1].id


@pytest.mark.slow
def test_two_hundred_readers_that_come_and_go_get_each_event_once(site, channels, name):
    seen: dict[int, list[str]] = {}
    readers = [
        threading.Thread(target=read_in_pieces, args=(site, name, seed, seen))
        for seed in range(READERS)
    ]
    for reader in readers:
        reader.start()
    wait_until(lambda: len(seen) == READERS, 60)
    for number in range(EVENTS):
        channels.publish(name, number)
        time.sleep(0.03)
        if number % 10 == 0:
            asked_at = time.monotonic()
            assert ask(site.nginx, get("/plain"))[0].status == 200
            assert time.monotonic() - asked_at < AT_ONCE_SECONDS
    for reader in readers:
        reader.join()
    whole = [str(number) for number in range(EVENTS)]
    assert [seed for seed in range(READERS) if seen[seed] != whole] == []
