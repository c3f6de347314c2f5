"""Streams through nginx, with the configuration that is shipped."""

import itertools
import os
import signal
import socket
import time

import pytest

from tests.server.observer import Observer
from tests.support.http2 import Http2Connection, Http2Response
from tests.support.server import wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.site import Site

COMPLETIONS = "/v1/chat/completions"
AT_ONCE_SECONDS = 5
"""Some hundred times what it takes; what goes wrong here takes for ever."""

_keys = (f"nginx-{number}" for number in itertools.count())


@pytest.fixture
def key() -> str:
    return next(_keys)


@pytest.fixture
def observer(foreign_site: Site) -> Observer:
    """Asks gunicorn itself."""
    return Observer(foreign_site.gunicorn)


def test_each_event_arrives_before_the_next_is_made(foreign_site, client, observer, key):
    response = client.get(foreign_site.nginx, f"/told?key={key}")
    assert response.until(b": stream\n")
    for number in range(5):
        observer.ask(f"/tell?key={key}&text=event-{number}")
        assert response.until(b"\n\n") == b"data: event-%d\n\n" % number


def test_keep_alives_pass(foreign_site, client, key):
    response = client.get(foreign_site.nginx, f"/told?key={key}&keepalive=0.2")
    for _ in range(3):
        assert response.until(b": keep-alive\n")


def test_nothing_is_compressed(sluice_site, client):
    response = client.get(sluice_site.nginx, "/stream_chat?name=x", accept_encoding="gzip, br")
    assert response.until(b"data: ")
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("kind", ["waits", "produces", "floods"])
def test_generator_ends_when_the_client_leaves(foreign_site, client, observer, key, kind):
    response = client.get(foreign_site.nginx, f"/stream/{kind}?key={key}")
    assert response.chunk()
    left_at = time.monotonic()
    client.leave()
    assert observer.ended_at(key) - left_at < AT_ONCE_SECONDS


def test_no_connection_to_gunicorn_is_left_when_the_client_has_left(
    foreign_site, client, observer, key
):
    files_before = observer.until_idle()["files"]
    assert client.get(foreign_site.nginx, f"/stream/waits?key={key}").chunk()
    client.leave()
    observer.ended_at(key)
    wait_until(lambda: observer.ask("/inspect")["files"] <= files_before)


def test_in_stream_error_is_the_end_of_a_whole_body(sluice_site, client):
    fault = {"kind": "error_event", "after": 2}
    body = chat(simulator={"itl_ms": 0, "fault": fault})
    answer = client.post(sluice_site.nginx, COMPLETIONS, body).body()
    assert b'"code":"upstream_error"' in answer
    assert b"[DONE]" not in answer


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_cut_answer_is_visibly_cut(sluice_site, client, kind):
    body = chat(simulator={"itl_ms": 0, "fault": {"kind": kind, "after": 3}})
    response = client.post(sluice_site.nginx, COMPLETIONS, body)
    with pytest.raises(EOFError):
        response.body()


def test_answer_is_visibly_cut_when_the_worker_is_killed(client):
    with Site("tests.system.proxied_app:app") as site:
        response = client.get(site.nginx, "/stream/paces")
        assert response.until(b"data: ")
        os.kill(Observer(site.gunicorn).ask("/inspect")["pid"], signal.SIGKILL)
        with pytest.raises(EOFError):
            response.body()


def test_http_1_0_client_gets_each_event_at_once(foreign_site, observer, key):
    with foreign_site.nginx.connect() as sock:
        sock.sendall(f"GET /told?key={key} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, _, data = received_until(sock, b": stream\n").partition(b"\r\n\r\n")
        assert b"\r\nConnection: close" in head
        assert b"chunked" not in head
        assert data == b": stream\n"
        observer.ask(f"/tell?key={key}&text=now")
        assert received_until(sock, b"\n\n") == b"data: now\n\n"


def received_until(sock: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        data += sock.recv(65536)
    return data


def test_slow_reader_slows_itself_alone(foreign_site, observer, key):
    nginx = foreign_site.nginx
    with nginx.connect(receive_buffer_bytes=4096) as slow, nginx.connect() as sock:
        slow.sendall(get(f"/stream/floods?key={key}"))
        sock.sendall(get("/stream/paces"))
        until_it_stands_still(observer, key, Response(sock))


def test_slow_reader_slows_itself_alone_on_a_shared_connection(foreign_site, observer, key):
    with foreign_site.nginx.connect("h2") as sock:
        connection = Http2Connection(sock)
        slow = connection.get(f"/stream/floods?key={key}")
        connection.stalled.add(slow.stream)
        until_it_stands_still(observer, key, connection.get("/stream/paces"))


def until_it_stands_still(observer: Observer, key: str, other: Response | Http2Response) -> None:
    """Waits until the stream ``key`` makes nothing while the other gets twenty events, each in time."""

    def stands_still() -> bool:
        made = observer.ask(f"/produced/{key}")["events"]
        delays = [seconds_behind(other) for _ in range(20)]
        assert max(delays) < AT_ONCE_SECONDS
        return 0 < made == observer.ask(f"/produced/{key}")["events"]

    wait_until(stands_still)


def seconds_behind(response: Response | Http2Response) -> float:
    """How old an event of /stream/paces is on its arrival."""
    sent_at = float(response.until(b"data: ").rpartition(b"data: ")[2])
    return time.monotonic() - sent_at


def test_one_stream_of_a_connection_is_left_and_the_others_go_on(foreign_site, observer, key):
    with foreign_site.nginx.connect("h2") as sock:
        connection = Http2Connection(sock)
        left = connection.get(f"/stream/produces?key={key}")
        stays = connection.get("/stream/paces")
        assert left.until(b"data: ")
        assert stays.until(b"data: ")
        left_at = time.monotonic()
        connection.leave(left.stream)
        assert observer.ended_at(key) - left_at < AT_ONCE_SECONDS
        assert stays.until(b"data: ")


def test_slow_request_body_does_not_reach_gunicorn_before_it_is_whole(foreign_site, observer):
    path = f"/echo?{next(_keys)}"
    request = post(path, b"x" * 100)
    with foreign_site.nginx.connect() as sock:
        sock.sendall(request[:-1])
        with foreign_site.nginx.connect() as other:
            other.sendall(get("/plain"))
            assert Response(other).body() == b"plain"
        assert not seen(observer, path)
        sock.sendall(request[-1:])
        assert Response(sock).body() == b"echo"
    (arrived,) = seen(observer, path)
    assert dict(arrived["headers"])["content-length"] == "100"


def seen(observer: Observer, path: str) -> list[dict]:
    return [each for each in observer.ask("/seen") if f"{each['path']}?{each['query']}" == path]
