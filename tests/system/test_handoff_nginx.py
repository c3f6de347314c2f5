"""Hand-off: what nginx makes of the app's response, with the file that is shipped and with the example's."""

import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from flask_sluice import Event, Streams
from tests.support.server import ROOT, Server
from tests.support.stream import Response, ask, get, post
from tests.system.hand_off import SECRET_KEY, HandOffNginx, HandOffSite, app_server
from tests.system.nginx_server import Nginx
from tests.system.site import Client, Site

HANDING_APP = "tests.system.handing_app:app"
NO_METRICS = "location = /metrics { return 404; }"


def with_app(path: Path) -> dict[str, str]:
    """The shipped file's lines for an app beside Sluice."""
    location = f"location /streams/ {{ proxy_pass http://unix:{path}; proxy_buffer_size 16k; proxy_buffers 8 16k; }}"
    return {NO_METRICS: f"{NO_METRICS}\n    {location}"}


@pytest.fixture(scope="module")
def app(redis) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        path = Path(folder, "app.sock")
        with app_server(path, HANDING_APP, ROOT, redis_url=redis.url, secret_key=SECRET_KEY) as app:
            yield app


@pytest.fixture(scope="module")
def streams(redis) -> Iterator[Streams]:
    streams = Streams(redis.url)
    yield streams
    streams.close()


@pytest.fixture(scope="module")
def stream_id(streams) -> str:
    with streams.create() as stream:
        stream.publish(Event(data="x"))
    return stream.id


class Recorded(NamedTuple):
    """An nginx, and what stands in Sluice's place behind it and records what comes."""

    connect: Callable[[], socket.socket]
    recorder: Server

    def seen(self) -> dict[str, object]:
        """The latest request that was handed over."""
        requests = json.loads(ask(self.recorder, get("/seen"))[1])
        return [seen for seen in requests if seen["path"].startswith("/_sluice/")][-1]


@pytest.fixture(scope="module", params=["shipped", pytest.param("example", marks=pytest.mark.slow)])
def recorded(request, app) -> Iterator[Recorded]:
    with ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="sluice-"))
        path = Path(folder, "recorder.sock")
        recorder = running.enter_context(
            Server("tests.system.proxied_app:app", unix_socket=path, trusted_proxies="unix")
        )
        nginx: Nginx | HandOffNginx
        if request.param == "shipped":
            nginx = Nginx(path, with_app(app.unix_socket))
        else:
            nginx = HandOffNginx(app.unix_socket, path)
        running.enter_context(nginx)
        yield Recorded(nginx.connect, recorder)


def hand_over(recorded: Recorded, request: bytes) -> dict[str, object]:
    """What arrives of a request at Sluice's place, which answers it with 404."""
    with recorded.connect() as sock:
        sock.sendall(request)
        assert Response(sock).status == 404
    return recorded.seen()


def headers_of(seen: dict[str, object]) -> dict[str, str]:
    return dict(seen["headers"])


def test_nginx_asks_sluice_for_the_path_and_the_ticket_and_not_with_the_clients_query(
    recorded, stream_id
):
    seen = hand_over(recorded, get(f"/streams/{stream_id}?secret=5"))
    assert (seen["method"], seen["path"]) == ("GET", f"/_sluice/streams/{stream_id}")
    assert seen["query"].startswith("ticket=")
    assert "secret" not in seen["query"]


def test_nginx_passes_on_the_clients_headers_but_not_its_credentials(recorded, stream_id):
    request = get(
        f"/streams/{stream_id}",
        Last_Event_ID="1",
        User_Agent="the client's",
        Cookie="session=1",
        Authorization="Bearer x",
        X_Forwarded_For="1.2.3.4",
    )
    headers = headers_of(hand_over(recorded, request))
    assert headers["last-event-id"] == "1"
    assert headers["user-agent"] == "the client's"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert not headers.keys() & {"cookie", "authorization"}


CHUNKED = (
    b"POST /streams/ID HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nwhole\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("size", [10, 200_000, None], ids=["small", "in a file", "chunked"])
def test_nginx_makes_a_get_without_a_body_of_a_post(recorded, stream_id, size):
    if size is None:
        request = CHUNKED.replace(b"ID", stream_id.encode())
    else:
        request = post(f"/streams/{stream_id}", b"x" * size)
    seen = hand_over(recorded, request)
    assert (seen["method"], seen["body"]) == ("GET", "")
    headers = headers_of(seen)
    assert not headers.keys() & {"content-length", "content-type", "transfer-encoding"}


def test_the_same_connection_takes_the_next_request(recorded, stream_id):
    with recorded.connect() as sock:
        sock.sendall(post(f"/streams/{stream_id}", b"x" * 1000))
        first = Response(sock)
        assert (first.status, first.body() != b"") == (404, True)
        sock.sendall(get(f"/streams/{stream_id}"))
        assert first.following().status == 404


# With the file that is shipped, and Sluice itself.


@pytest.fixture(scope="module")
def shipped_site(redis, app) -> Iterator[Site]:
    with Site(
        changes=with_app(app.unix_socket), redis_url=redis.url, secret_key=SECRET_KEY
    ) as site:
        yield site


@pytest.fixture
def target(app, stream_id) -> str:
    return ask(app, get(f"/streams/{stream_id}"))[0].headers["x-accel-redirect"]


def test_a_stream_is_handed_over_with_the_file_that_is_shipped(shipped_site, client, stream_id):
    response = client.get(shipped_site.nginx, f"/streams/{stream_id}")
    assert response.status == 200
    assert response.headers["x-from-app"] == "yes"
    assert response.headers["x-accel-buffering"] == "no"
    assert b"data: x\n" in response.body()


@pytest.mark.parametrize("prefix", ["", "/.", "//", "/streams/.."])
def test_the_location_is_a_404_to_clients(shipped_site, client: Client, target, prefix):
    response = client.get(shipped_site.nginx, prefix + target)
    assert (response.status, b"nginx" in response.body()) == (404, True)


def test_a_sluice_without_keys_leaves_the_page_and_the_host_to_the_app(shipped_site, stream_id):
    request = get(
        f"/streams/{stream_id}", Origin="https://other.example.com", Sec_Fetch_Site="cross-site"
    ).replace(b"Host: localhost", b"Host: app.example.com")
    assert ask(shipped_site.nginx, request)[0].status == 200
    # Without a ticket it looks at both.
    assert ask(shipped_site.gunicorn, request)[0].status == 400


# With other locations.


@pytest.mark.slow
def test_the_location_may_have_another_name(redis, stream_id):
    with HandOffSite(
        redis.url,
        HANDING_APP,
        folder=ROOT,
        app_settings={"handoff_location": "/kept/by/sluice/"},
        nginx_changes={
            "location /_sluice/": "location /kept/by/sluice/",
            "proxy_pass http://sluice;": "proxy_pass http://sluice/_sluice/;",
        },
    ) as site:
        assert b"data: x\n" in ask(site.nginx, get(f"/streams/{stream_id}"))[1]
        assert ask(site.nginx, get("/kept/by/sluice/x"))[0].status == 404


@pytest.mark.slow
def test_a_location_of_two_lines_hands_over_too(redis, stream_id, streams):
    """Somebody's own: HTTP/1.0, and with the client's body, its credentials and another host."""
    lines = (
        *("proxy_http_version 1.1;", "proxy_pass_request_body off;"),
        *('proxy_set_header Content-Length "";', 'proxy_set_header Content-Type "";'),
        *('proxy_set_header Authorization "";', 'proxy_set_header Cookie "";'),
        "proxy_set_header Host $http_host;",
    )
    with HandOffSite(
        redis.url,
        HANDING_APP,
        folder=ROOT,
        nginx_changes=dict.fromkeys(lines, ""),
    ) as site:
        response, body = ask(site.nginx, post(f"/streams/{stream_id}", b"x", Cookie="a=b"))
        assert (response.status, b"event: done\n" in body) == (200, True)
        with streams.create() as stream, site.nginx.connect() as sock:
            sock.sendall(get(f"/streams/{stream.id}"))
            response = Response(sock)
            for data in ("first", "second"):
                stream.publish(Event(data=data))
                assert response.until(f"data: {data}\n\n".encode())
