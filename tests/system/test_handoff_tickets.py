"""The tickets of a hand-off: for one reader, for half a minute, for one purpose."""

import json
import time
from collections.abc import Iterator

import pytest

from flask_sluice import Event, Streams
from flask_sluice.extension.handed_readers import HandoffTickets, StreamReader
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import ask, chat, get, post
from tests.system.hand_off import SECRET_KEY, HandOffSite, ticket_target

OTHER_KEY = "another-key-for-tests"
API_KEY = "a-key-of-the-gateway"


@pytest.fixture(scope="module")
def site(redis) -> Iterator[HandOffSite]:
    with HandOffSite(
        redis.url,
        "tests.system.handing_app:app",
        folder=ROOT,
        api_keys=API_KEY,
        secret_key=f"{OTHER_KEY}-1,{SECRET_KEY}",
    ) as site:
        yield site


@pytest.fixture(scope="module")
def stream_ids(redis) -> tuple[str, str]:
    streams = Streams(redis.url)
    ids = []
    for _ in range(2):
        with streams.create() as stream:
            stream.publish(Event(data="x"))
        ids.append(stream.id)
    streams.close()
    return ids[0], ids[1]


@pytest.fixture
def target(site, stream_ids) -> str:
    """What the app tells nginx for the first stream."""
    return ticket_target(site.app, f"/streams/{stream_ids[0]}")


def status(server: Server, target: str) -> int:
    """Of Sluice itself, asked without nginx."""
    return ask(server, get(target))[0].status


def target_of(stream_id: str, *, key: str = SECRET_KEY, expires_in_seconds: int = 30) -> str:
    reader = StreamReader(
        stream_id=stream_id, expires_at=int(time.time()) + expires_in_seconds, retry_ms=1
    )
    return "/_sluice/" + HandoffTickets([key]).target(reader)


def test_sluice_takes_the_ticket_that_the_app_has_signed_with_one_of_its_keys(site, target):
    assert status(site.sluice, target) == 200


def test_the_ticket_of_one_stream_is_not_for_another(site, target, stream_ids):
    assert status(site.sluice, target.replace(*stream_ids)) == 404


@pytest.mark.parametrize("place", [-1, -20, 60, 100])
def test_a_ticket_that_was_changed_is_refused(site, target, place):
    changed = "A" if target[place] != "A" else "B"
    there = place % len(target)
    assert status(site.sluice, target[:there] + changed + target[there + 1 :]) == 404


@pytest.mark.parametrize("query", ["", "?ticket=", "?ticket=x", "?ticket=.", "?ticket=%FF.%00"])
def test_without_a_ticket_there_is_nothing(site, stream_ids, query):
    response, body = ask(site.sluice, get(f"/_sluice/streams/{stream_ids[0]}{query}"))
    assert response.status == 404
    assert body.replace(stream_ids[0].encode(), b"ID") == ask(
        site.sluice, get(f"/_sluice/streams/unknown{query}")
    )[1].replace(b"unknown", b"ID")


def test_a_ticket_expires(site, stream_ids):
    assert status(site.sluice, target_of(stream_ids[0])) == 200
    assert status(site.sluice, target_of(stream_ids[0], expires_in_seconds=0)) == 404


def test_a_ticket_signed_with_another_key_is_refused_and_the_log_says_what_to_set(site, stream_ids):
    assert status(site.sluice, target_of(stream_ids[0], key=OTHER_KEY)) == 404
    wait_until(lambda: "not signed with a key of SLUICE_SECRET_KEY" in site.sluice.log)


def test_a_ticket_of_a_streams_url_is_refused_here(site):
    body = chat(stream=False, simulator={"tokens": 1})
    response, answer = ask(
        site.sluice, post("/v1/streams", body, authorization=f"Bearer {API_KEY}")
    )
    assert response.status == 201, answer
    url = json.loads(answer)["url"]
    assert status(site.sluice, url) == 200
    assert status(site.sluice, url.replace("/v1/", "/_sluice/")) == 404


def test_a_ticket_of_a_hand_off_is_refused_in_a_streams_url(site, target):
    assert status(site.sluice, target.replace("/_sluice/", "/v1/")) == 401


@pytest.mark.parametrize("has_ticket", [True, False])
def test_nginx_lets_no_client_ask_for_the_location_itself(site, target, stream_ids, has_ticket):
    path = target if has_ticket else f"/_sluice/streams/{stream_ids[0]}"
    response, body = ask(site.nginx, get(path))
    assert (response.status, b"nginx" in body) == (404, True)


@pytest.mark.parametrize(
    "path", ["/_sluice/", "/_sluice/../_sluice/streams/x", "//_sluice/streams/x", "/%5Fsluice/x"]
)
def test_no_other_spelling_of_the_location_reaches_sluice(site, path):
    assert ask(site.nginx, get(path))[0].status == 404
    assert not site.sluice.logged("stream ended", path=path)
