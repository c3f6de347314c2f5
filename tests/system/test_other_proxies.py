"""HAProxy, Caddy and Apache in front of Sluice, each with the configuration that is shipped.

What one of them cannot do is an expected failure, so that a release that can is noticed. docs/deployment.md has the table.
"""

import itertools
import os
import signal
import time
from collections.abc import Iterator

import pytest

from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES
from tests.server.observer import Observer
from tests.support.server import wait_until
from tests.support.stream import Response, chat, get
from tests.system.front_proxy import FrontProxy
from tests.system.other_proxies import Apache, Caddy, HaProxy, ProxySite
from tests.system.site import Client

PROXIES = (HaProxy, Caddy, Apache)
COMPLETIONS = "/v1/chat/completions"
AT_ONCE_SECONDS = 5
"""Some hundred times what it takes; what goes wrong here takes for ever."""
EVENT_DELAY_SECONDS = 0.1
"""An event takes one or two milliseconds. HAProxy without its option takes 200."""
READ_AHEAD_BYTES = 8 << 20
"""Measured: 3 to 4.5 MiB, nearly all of it in the kernel's buffers of the two connections."""

_keys = (f"proxied-{number}" for number in itertools.count())

every_proxy = pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.PROGRAM)


@pytest.fixture
def key() -> str:
    return next(_keys)


@pytest.fixture(scope="module")
def sites() -> Iterator["Sites"]:
    with Sites() as sites:
        yield sites


class Sites:
    """Starts each site when a test first asks for it, and ends all of them."""

    def __init__(self) -> None:
        self._started: dict[tuple[type[FrontProxy], str], ProxySite] = {}

    def __enter__(self) -> "Sites":
        return self

    def __exit__(self, *_: object) -> None:
        for site in self._started.values():
            site.__exit__()

    def foreign(self, proxy: type[FrontProxy]) -> ProxySite:
        return self._site(proxy, "tests.system.proxied_app:app")

    def sluice(self, proxy: type[FrontProxy]) -> ProxySite:
        return self._site(proxy, "app:app")

    def _site(self, proxy: type[FrontProxy], app: str) -> ProxySite:
        if (proxy, app) not in self._started:
            self._started[proxy, app] = ProxySite(proxy, app).__enter__()
        return self._started[proxy, app]


def cannot(request: pytest.FixtureRequest, why: str) -> None:
    request.applymarker(pytest.mark.xfail(strict=True, reason=why))


# Events.


@pytest.mark.measures
@pytest.mark.slow
@every_proxy
def test_each_event_arrives_before_the_next_is_made(sites, proxy, client, key):
    site = sites.foreign(proxy)
    observer = Observer(site.gunicorn)
    response = client.get(site.proxy, f"/told?key={key}")
    assert response.until(b": stream\n")
    delays = []
    for number in range(20):
        told_at = time.monotonic()
        observer.ask(f"/tell?key={key}&text=event-{number}")
        assert response.until(b"\n\n") == b"data: event-%d\n\n" % number
        delays.append(time.monotonic() - told_at)
    assert sorted(delays)[len(delays) // 2] < EVENT_DELAY_SECONDS


@pytest.mark.measures
@pytest.mark.slow
def test_haproxy_delays_no_event_on_a_connection_without_tls(key):
    # There it would wait for more, without its option.
    redirect = "    http-request redirect prefix https://sluice.example.com code 308\n"
    changes = {redirect: "    default_backend sluice\n"}
    with ProxySite(HaProxy, "tests.system.proxied_app:app", changes=changes) as site:
        observer = Observer(site.gunicorn)
        with site.proxy.connect_plain() as sock:
            sock.sendall(get(f"/told?key={key}"))
            response = Response(sock)
            assert response.until(b": stream\n")
            told_at = time.monotonic()
            for _ in range(10):
                observer.ask(f"/tell?key={key}&text=now")
                assert response.until(b"\n\n")
            assert time.monotonic() - told_at < 10 * EVENT_DELAY_SECONDS


@pytest.mark.slow
@every_proxy
def test_keep_alives_pass(sites, proxy, client, key):
    response = client.get(sites.foreign(proxy).proxy, f"/told?key={key}&keepalive=0.2")
    for _ in range(3):
        assert response.until(b": keep-alive\n")


@pytest.mark.slow
@every_proxy
def test_nothing_is_compressed(sites, proxy, client):
    path = "/stream_chat?name=x"
    response = client.get(sites.sluice(proxy).proxy, path, accept_encoding="gzip, br")
    assert response.until(b"data: ")
    assert "content-encoding" not in response.headers


IMPATIENT = {
    HaProxy: {
        "timeout client          30s": "timeout client 500ms",
        "timeout http-request    10s": "timeout http-request 500ms",
        "timeout http-keep-alive 60s": "timeout http-keep-alive 500ms",
    },
    Caddy: {"read_header 10s": "read_header 500ms", "idle 60s": "idle 500ms"},
    Apache: {"Timeout 30": "Timeout 1", "header=10 body=10": "header=1 body=1"},
}


@pytest.mark.slow
@every_proxy
def test_time_limits_for_clients_do_not_end_a_silent_stream(proxy, client, key):
    with ProxySite(proxy, "tests.system.proxied_app:app", changes=IMPATIENT[proxy]) as site:
        response = client.get(site.proxy, f"/stream/waits?key={key}&keepalive=3")
        assert response.until(b": keep-alive\n")


# Clients that leave, and clients that are slow.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["waits", "produces", "floods"])
@every_proxy
def test_generator_ends_at_once_when_the_client_leaves(sites, proxy, client, kind):
    key = next(_keys)
    if proxy is Apache and kind == "waits":
        pytest.skip("Apache may see it only when it next has something to write: the test below")
    site = sites.foreign(proxy)
    response = client.get(site.proxy, f"/stream/{kind}?key={key}")
    assert response.chunk()
    left_at = time.monotonic()
    client.leave()
    ended_at = wait_until(
        lambda: Observer(site.gunicorn).ask(f"/ended/{key}")["at"], AT_ONCE_SECONDS
    )
    assert ended_at - left_at < AT_ONCE_SECONDS


@pytest.mark.slow
def test_apache_sees_that_a_client_has_left_by_the_second_keep_alive(sites, client, key):
    site = sites.foreign(Apache)
    keepalive_seconds = 1
    response = client.get(site.proxy, f"/stream/waits?key={key}&keepalive={keepalive_seconds}")
    assert response.chunk()
    left_at = time.monotonic()
    client.leave()
    ended_at = Observer(site.gunicorn).ended_at(key)
    assert ended_at - left_at < 2 * keepalive_seconds + AT_ONCE_SECONDS


@pytest.mark.slow
@every_proxy
def test_slow_reader_holds_its_producer(sites, proxy, key):
    site = sites.foreign(proxy)
    with site.proxy.connect(receive_buffer_bytes=4096) as sock:
        sock.sendall(get(f"/stream/floods?key={key}"))
        events = Observer(site.gunicorn).until_write_blocks(key)
    assert events * 65_536 < READ_AHEAD_BYTES


# Answers that fail.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "reset"])
@every_proxy
def test_cut_answer_is_visibly_cut(sites, proxy, client, kind, request):
    if proxy is Caddy:
        cannot(request, "Caddy before 2.8 ends the body properly")
    if proxy is HaProxy and client.protocol == "h2":
        cannot(request, "HAProxy 2.6 ends an HTTP/2 stream properly")
    body = chat(simulator={"itl_ms": 0, "fault": {"kind": kind, "after": 3}})
    response = client.post(sites.sluice(proxy).proxy, COMPLETIONS, body)
    with pytest.raises(EOFError):
        response.body()


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502, 503, 504])
@every_proxy
def test_errors_of_sluice_keep_their_status_their_body_and_retry_after(
    sites, proxy, client, status
):
    fault = {"kind": "status", "status": status, "retry_after": 7}
    body = chat(simulator={"fault": fault})
    response = client.post(sites.sluice(proxy).proxy, COMPLETIONS, body)
    assert response.status == status
    assert response.headers["retry-after"] == "7"
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == "simulated"


@pytest.mark.slow
@every_proxy
def test_without_gunicorn_the_answer_is_an_error_that_says_when_to_come_back(proxy):
    with ProxySite(proxy) as site:
        site.gunicorn.signal(signal.SIGTERM)
        site.gunicorn.wait_for_exit()
        for protocol in ("http/1.1", "h2"):
            with Client(protocol) as client:
                response = client.post(site.proxy, COMPLETIONS, chat())
                assert (response.status, response.headers["retry-after"]) == (503, "5")
                assert response.headers["content-type"] == "application/json"
                assert response.json()["error"]["code"] == "unavailable"


@pytest.mark.slow
@every_proxy
def test_a_large_body_passes_and_one_over_the_limit_is_refused(sites, proxy, client, request):
    if proxy is Caddy and client.protocol == "http/1.1":
        cannot(request, "Caddy closes the connection while the client still sends")
    site = sites.sluice(proxy)
    limit = Settings().max_body_bytes
    # The largest that the simulator takes.
    large = client.post(site.proxy, COMPLETIONS, b"x" * MAX_BODY_BYTES)
    assert large.json()["error"]["code"] == "invalid_json"
    too_large = client.post(site.proxy, COMPLETIONS, b"x" * (limit + 1))
    told = (too_large.status, too_large.json()["error"]["code"])
    refusals = [(413, "body_too_large")]
    if proxy is Apache and client.protocol == "h2":
        # Now and then it takes the response that comes before the body's end for a broken connection.
        refusals.append((502, "unavailable"))
    assert told in refusals


# What gunicorn is told, and what others are not.


@pytest.mark.slow
@every_proxy
def test_gunicorn_is_told_who_asks_and_how_and_under_which_name(sites, proxy, client, key):
    site = sites.foreign(proxy)
    forged = {
        "x_forwarded_for": "203.0.113.9",
        "x_forwarded_proto": "ftp",
        "x_forwarded_host": "evil.test",
        "x_forwarded_prefix": "/evil",
        "forwarded": "for=203.0.113.9",
    }
    response = client.get(site.proxy, f"/echo?{key}", **forged)
    assert response.body() == b"echo"
    seen = Observer(site.gunicorn).ask("/seen")
    (headers,) = [dict(each["headers"]) for each in seen if each["query"] == key]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers.get("x-forwarded-host", headers["host"]) == headers["host"]
    assert "evil" not in headers["host"]
    assert headers.keys() & {"x-forwarded-prefix", "forwarded"} == set()


@pytest.mark.slow
@every_proxy
def test_rate_limit_counts_by_the_clients_address_which_it_cannot_choose(proxy, client):
    with ProxySite(proxy, rate_limit="1/minute") as site:
        assert client.get(site.proxy, "/stream_chat?name=x").status == 200
        refused = client.get(site.proxy, "/stream_chat?name=x", x_forwarded_for="203.0.113.9")
        assert refused.status == 429


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        *("/metrics", "/readyz", "//readyz", "/./readyz", "/x/../readyz", "/%72eadyz"),
        *("/readyz?x", "/readyz/", "/%2572eadyz", "/READYZ", "/readyz;x", "//./metrics"),
    ],
)
@every_proxy
def test_operations_are_closed_from_outside(sites, proxy, client, target):
    assert client.get(sites.sluice(proxy).proxy, target).status == 404


@pytest.mark.slow
@every_proxy
def test_operations_are_open_on_the_host_itself(sites, proxy):
    for path, status in [("/readyz", 200), ("/healthz", 200), ("/metrics", 200), ("/", 404)]:
        with sites.sluice(proxy).proxy.connect_monitoring() as sock:
            sock.sendall(get(path))
            assert Response(sock).status == status


@pytest.mark.slow
@every_proxy
def test_questions_tickets_and_keys_are_in_no_log_of_the_proxy(proxy, client):
    with ProxySite(proxy, "tests.system.proxied_app:app") as site:
        path = "/stream/paces?key=my-secret"
        response = client.get(site.proxy, path, x_api_key="my-secret", authorization="my-secret")
        assert response.until(b"data: ")
        os.kill(Observer(site.gunicorn).ask("/inspect")["pid"], signal.SIGKILL)
        client.leave()
        wait_until(lambda: "/stream/paces" in site.proxy.logs())
        assert "my-secret" not in site.proxy.logs()


@pytest.mark.slow
@every_proxy
def test_http_is_sent_on_to_https(sites, proxy):
    with sites.sluice(proxy).proxy.connect_plain() as sock:
        sock.sendall(b"POST /v1/x?y=%0d%0az HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        response = Response(sock)
    assert response.status == 308
    assert response.headers["location"].startswith("https://")
    assert response.headers["location"].endswith("/v1/x?y=%0d%0az")
