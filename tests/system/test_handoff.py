"""Hand-off: a view authenticates the reader, and nginx has Sluice send the stream. The app has two threads."""

import socket
import time
from collections.abc import Iterator

import pytest

from flask_sluice import Event, Streams
from flask_sluice.journal.streams import new_id
from flask_sluice.sse import EventParser, ReceivedEvent
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Connects, Response, ask, get, post
from tests.system.hand_off import HandOffSite

EVENTS = 20
AT_ONCE_SECONDS = 5
"""Some hundred times what it takes on a machine with nothing else to do."""
PAGE = "https://page.example.com"
"""The app allows it."""
READERS_PER_OWNER = 3


@pytest.fixture(scope="module")
def site(redis) -> Iterator[HandOffSite]:
    """With a Sluice that would refuse the app's clients, had they come by themselves."""
    with HandOffSite(
        redis.url,
        "tests.system.handing_app:app",
        folder=ROOT,
        app_settings={"readers_per_owner": READERS_PER_OWNER},
        api_keys="a-key-of-the-gateway",
        allowed_hosts="sluice.example.com",
        cors_origins="https://other.example.com",
        keepalive_seconds=0.2,
    ) as site:
        yield site


@pytest.fixture(scope="module")
def streams(redis) -> Iterator[Streams]:
    """The streams of a program that is neither the app nor Sluice."""
    streams = Streams(redis.url)
    yield streams
    streams.close()


@pytest.fixture(scope="module")
def finished(streams) -> str:
    """A stream of ada's that is over: its id."""
    with streams.create(owner="ada") as stream:
        for number in range(EVENTS):
            stream.publish(Event(data=str(number)))
    return stream.id


@pytest.fixture
def running(streams):
    """A stream of ada's that has one event and goes on."""
    with streams.create(owner="ada") as stream:
        stream.publish(Event(data="first"))
        yield stream


def read(server: Connects, path: str, **headers: str) -> list[ReceivedEvent]:
    response, body = ask(server, get(path, **headers))
    assert response.status == 200, body
    return list(EventParser().feed(body))


def numbers(events: list[ReceivedEvent]) -> list[int]:
    return [int(event.id) for event in events]


def open_stream(server: Connects, path: str) -> tuple[socket.socket, Response]:
    sock = server.connect()
    sock.sendall(get(path))
    response = Response(sock)
    assert response.status == 200
    response.until(b"data: first\n")
    return sock, response


def ended(server: Server, stream_id: str, **fields: object) -> list[dict[str, object]]:
    return server.logged("stream ended", path=f"/_sluice/streams/{stream_id}", **fields)


# What the client gets.


def test_the_client_of_a_view_that_hands_over_gets_the_whole_stream(site, finished):
    events = read(site.nginx, f"/streams/{finished}?owner=ada")
    assert numbers(events) == list(range(1, EVENTS + 2))
    assert [event.data for event in events[:-1]] == [str(number) for number in range(EVENTS)]
    assert events[-1].event == "done"


def test_an_event_arrives_when_it_is_published(site, running):
    sock, response = open_stream(site.nginx, f"/streams/{running.id}?owner=ada")
    with sock:
        for number in range(5):
            running.publish(Event(data=f"event-{number}"))
            published_at = time.monotonic()
            response.until(b"data: event-%d\n\n" % number)
            assert time.monotonic() - published_at < AT_ONCE_SECONDS


@pytest.mark.parametrize("given", ["Last-Event-ID", "last_event_id", "lastEventId"])
def test_a_reader_goes_on_after_the_last_event_that_it_has(site, finished, given):
    path = f"/streams/{finished}?owner=ada"
    if given == "Last-Event-ID":
        events = read(site.nginx, path, Last_Event_ID="5")
    else:
        events = read(site.nginx, f"{path}&{given}=5")
    assert numbers(events) == list(range(6, EVENTS + 2))


def test_a_reader_that_has_lost_events_is_told_to_begin_anew(site, redis):
    streams = Streams(redis.url, history_bytes=200)
    with streams.create(owner="ada") as stream:
        for number in range(EVENTS):
            stream.publish(Event(data=str(number) * 10))
    streams.close()
    events = read(site.nginx, f"/streams/{stream.id}?owner=ada", Last_Event_ID="1")
    assert events[0].event == "reset"


def test_a_stream_that_has_not_begun_is_awaited_without_a_thread_of_the_app(site, streams):
    stream_id = new_id()
    with site.nginx.connect() as sock:
        sock.sendall(get(f"/streams/{stream_id}?owner=ada&wait=30"))
        # Both threads are free.
        for _ in range(3):
            assert ask(site.app, get("/plain"))[0].status == 200
        with streams.create(owner="ada", id=stream_id) as stream:
            stream.publish(Event(data="now"))
        assert b"data: now\n" in Response(sock).body()


def test_the_views_keep_alive_and_retry_are_those_of_the_stream(site, running):
    sock, response = open_stream(
        site.nginx, f"/streams/{running.id}?owner=ada&keepalive=0.1&retry=7"
    )
    with sock:
        assert response.until(b": keep-alive\n")
    events = read_start(site, f"/streams/{running.id}?owner=ada&retry=7")
    assert b"retry: 7\n" in events


def test_a_view_that_says_nothing_of_keep_alives_has_those_of_sluice(site, running):
    sock, response = open_stream(site.nginx, f"/streams/{running.id}?owner=ada")
    with sock:
        assert response.until(b": keep-alive\n")


def read_start(site: HandOffSite, path: str) -> bytes:
    with site.nginx.connect() as sock:
        sock.sendall(get(path))
        return Response(sock).until(b"data: first\n")


def test_the_client_gets_what_the_app_sets_of_headers_and_cookies(site, finished):
    response, _ = ask(site.nginx, get(f"/streams/{finished}?owner=ada", X_Request_ID="the-clients"))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-from-view"] == "also"
    assert response.headers["x-from-app"] == "yes"
    assert response.headers["set-cookie"] == "seen=1; Path=/"
    assert "x-accel-redirect" not in response.headers


def test_a_page_that_the_app_allows_may_read_whatever_sluice_says_of_its_origin(site, finished):
    request = get(f"/streams/{finished}?owner=ada", Origin=PAGE, Sec_Fetch_Site="cross-site")
    with site.nginx.connect() as sock:
        sock.sendall(request)
        head = sock.recv(65536).partition(b"\r\n\r\n")[0].lower()
    assert head.count(b"access-control-allow-origin") == 1
    assert f"access-control-allow-origin: {PAGE}".encode() in head


def test_a_host_that_sluice_does_not_know_is_the_apps_affair(site, finished):
    request = get(f"/streams/{finished}?owner=ada").replace(b"localhost", b"app.example.com")
    assert ask(site.nginx, request)[0].status == 200


def test_a_post_is_answered_with_the_stream_too(site, finished):
    response, body = ask(site.nginx, post(f"/streams/{finished}?owner=ada", {"question": "?"}))
    assert response.status == 200
    assert b"event: done\n" in body


def test_a_head_request_gets_the_headers_alone(site, finished):
    with site.nginx.connect() as sock:
        sock.sendall(get(f"/streams/{finished}?owner=ada").replace(b"GET", b"HEAD", 1))
        assert Response(sock).status == 200


# What the app refuses is never handed over.


def test_a_stream_of_another_owner_is_a_404_of_the_view(site, finished):
    response, body = ask(site.app, get(f"/streams/{finished}?owner=eve"))
    assert (response.status, b"not_found" in body) == (404, True)
    assert "x-accel-redirect" not in response.headers


def test_an_unknown_stream_is_a_404_of_the_view(site):
    assert ask(site.app, get("/streams/unknown?owner=ada"))[0].status == 404


def test_a_reader_that_has_the_end_gets_204_from_the_view(site, finished):
    request = get(f"/streams/{finished}?owner=ada", Last_Event_ID=str(EVENTS + 1))
    assert ask(site.app, request)[0].status == 204


@pytest.mark.parametrize("given", ["x", "-1", str(EVENTS + 2)])
def test_an_id_of_no_event_of_the_stream_is_a_400_of_the_view(site, finished, given):
    request = get(f"/streams/{finished}?owner=ada", Last_Event_ID=given)
    assert ask(site.app, request)[0].status == 400


def test_a_refusal_of_sluice_reaches_the_client(site, streams):
    response, body = ask(site.nginx, get(f"/streams/{new_id()}?owner=ada&wait=0.01"))
    assert (response.status, b"not_found" in body) == (404, True)


def test_the_readers_of_an_owner_are_limited_as_the_app_says(site, running):
    path = f"/streams/{running.id}?owner=ada"
    wait_until(lambda: not read_count(site, running.id))
    opened = [open_stream(site.nginx, path)[0] for _ in range(READERS_PER_OWNER)]
    response, body = ask(site.nginx, get(path))
    assert (response.status, b"rate_limit_exceeded" in body) == (429, True)
    opened.pop().close()
    wait_until(lambda: ended(site.sluice, running.id))
    opened.append(open_stream(site.nginx, path)[0])
    for sock in opened:
        sock.close()
    wait_until(lambda: len(ended(site.sluice, running.id)) == READERS_PER_OWNER + 1)


def read_count(site: HandOffSite, stream_id: str) -> int:
    return len(ended(site.sluice, stream_id))


# Who sees what of it.


def test_a_reader_that_leaves_is_seen_at_once(site, running):
    sock, _ = open_stream(site.nginx, f"/streams/{running.id}?owner=ada&keepalive=0")
    left_at = time.monotonic()
    sock.close()
    wait_until(lambda: ended(site.sluice, running.id, outcome="cancelled"))
    assert time.monotonic() - left_at < AT_ONCE_SECONDS


def test_the_line_at_the_streams_end_has_the_id_of_the_apps_request(site, running):
    sock, response = open_stream(site.nginx, f"/streams/{running.id}?owner=ada")
    sock.close()
    wait_until(lambda: ended(site.sluice, running.id, request_id=response.headers["x-request-id"]))


def test_no_log_has_a_ticket(site, finished):
    read(site.nginx, f"/streams/{finished}?owner=ada")
    wait_until(lambda: ended(site.sluice, finished))
    assert "ticket=" not in site.sluice.log
    assert "ticket=" not in site.nginx.logs()


def test_the_metrics_count_it_by_its_route(site, finished):
    read(site.nginx, f"/streams/{finished}?owner=ada")

    def counted() -> bool:
        _, body = ask(site.sluice, get("/metrics"))
        return b'route="/_sluice/streams/<stream_id>"' in body and finished.encode() not in body

    wait_until(counted)


@pytest.mark.slow
def test_readers_stay_while_the_app_is_restarted(site, running):
    sock, response = open_stream(site.nginx, f"/streams/{running.id}?owner=ada")
    with sock:
        site.restart_app()
        running.publish(Event(data="after the restart"))
        assert response.until(b"data: after the restart\n")
    assert ask(site.nginx, get("/plain"))[0].status == 200
