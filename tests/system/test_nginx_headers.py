"""Headers with which an upstream could act on nginx, and one that another nginx in front has to see."""

import socket
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from benchmarks.ports import free_port
from tests.server.observer import Observer
from tests.server.raw_upstream import head, sends, sends_and_closes, whole
from tests.server.relayed import ANSWER
from tests.support.server import ROOT
from tests.support.stream import Response, chat, get
from tests.system.site import Site

COMPLETIONS = "/v1/chat/completions"
IGNORED = (
    "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;"
)
# A location that only nginx itself may lead to; the file in it is one that every checkout has.
INTERNAL = {
    "location = /metrics { return 404; }": "location = /metrics { return 404; }\n"
    f"    location /internal/ {{ internal; alias {ROOT}/; }}"
}
ACCEL = {
    "X-Accel-Redirect": "/internal/LICENSE",
    "X-Accel-Expires": "3600",
    "X-Accel-Limit-Rate": "1",
    "X-Accel-Charset": "koi8-r",
}


@pytest.fixture(scope="module")
def upstream_of_naive_site(raw_upstream) -> Iterator[Site]:
    """Has an nginx that obeys."""
    with Site(upstream=raw_upstream.url, changes={**INTERNAL, IGNORED: ""}) as site:
        yield site


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "503 Unavailable"])
def test_sluice_tells_nginx_nothing_that_an_upstream_says(
    upstream_of_naive_site, upstream, client, status
):
    upstream.handler = sends(whole(b'{"from": "upstream"}', status, **ACCEL))
    response = client.post(upstream_of_naive_site.nginx, "/v1/files", {})
    assert (response.status, response.json()) == (int(status[:3]), {"from": "upstream"})


def test_sluice_tells_nginx_nothing_that_a_stream_says(upstream_of_naive_site, upstream, client):
    stream_head = head(**{"Content-Type": "text/event-stream"}, **ACCEL, X_Accel_Buffering="yes")
    upstream.handler = sends_and_closes(stream_head, ANSWER)
    response = client.post(upstream_of_naive_site.nginx, COMPLETIONS, chat())
    assert (response.headers["x-accel-buffering"], response.body()) == ("no", ANSWER)


# nginx alone, in front of an app that sends anything.


@pytest.fixture(scope="module")
def site_and_outer_port() -> Iterator[tuple[Site, int]]:
    """nginx as it is shipped, and on that port one before it that buffers, as nginx does by default."""
    inner_port, outer_port = free_port(), free_port()
    tickets, monitoring = "ssl_session_tickets off;", "# For monitoring on this host,"
    outer = (
        f"server {{ listen 127.0.0.1:{outer_port};"
        f" location / {{ proxy_pass http://127.0.0.1:{inner_port}; }} }}\n"
    )
    changes = {
        **INTERNAL,
        tickets: f"{tickets} listen 127.0.0.1:{inner_port};",
        monitoring: f"{outer}{monitoring}",
    }
    with Site("tests.system.proxied_app:app", changes=changes) as site:
        yield site, outer_port


def test_nginx_obeys_none_of_these_headers(site_and_outer_port, client):
    site, _ = site_and_outer_port
    response = client.get(site.nginx, f"/sends?{urlencode(ACCEL)}")
    assert (response.status, response.body()) == (200, b"the app's")
    assert not ACCEL.keys() & response.headers.keys()


def test_each_event_passes_two_nginx_at_once(site_and_outer_port):
    site, outer_port = site_and_outer_port
    observer = Observer(site.gunicorn)
    with socket.create_connection(("127.0.0.1", outer_port), timeout=10) as sock:
        sock.sendall(get("/told?key=chained"))
        response = Response(sock)
        for number in range(5):
            observer.ask(f"/tell?key=chained&text=event-{number}")
            assert response.until(b"event-%d\n\n" % number)
    observer.close()


def test_nginx_passes_on_that_a_stream_is_not_to_be_buffered(site_and_outer_port, client):
    site, _ = site_and_outer_port
    response = client.get(site.nginx, "/told?key=unbuffered")
    assert response.headers["x-accel-buffering"] == "no"
