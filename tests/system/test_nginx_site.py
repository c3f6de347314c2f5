"""What else nginx does in front of Sluice: statuses, limits, static files, and what is closed from outside."""

import signal
from collections.abc import Iterator

import pytest

from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES
from tests.server.observer import Observer
from tests.support.http2 import Http2Response
from tests.support.server import ROOT, wait_until
from tests.support.stream import Response, ask, chat, get
from tests.system.site import Site

COMPLETIONS = "/v1/chat/completions"
MODULE = "/static/js/fetch-event-source/fetch-event-source.js"


def error_of(response: Response | Http2Response) -> dict[str, str]:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


# Sluice's own answers pass as they are.


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502, 503, 504])
def test_errors_of_sluice_keep_their_status_their_body_and_retry_after(sluice_site, client, status):
    fault = {"kind": "status", "status": status, "retry_after": 7}
    response = client.post(sluice_site.nginx, COMPLETIONS, chat(simulator={"fault": fault}))
    assert response.status == status
    assert response.headers["retry-after"] == "7"
    assert error_of(response)["code"] != "unavailable"


@pytest.fixture(scope="module")
def shared_small_site() -> Iterator[Site]:
    with Site(max_streams=1) as site:
        yield site


@pytest.fixture
def small_site(shared_small_site) -> Site:
    """Has place for one stream, which is free."""
    observer = Observer(shared_small_site.gunicorn)
    wait_until(lambda: observer.ask("/readyz")["streams"] == 0)
    observer.close()
    return shared_small_site


def test_refusal_of_a_full_worker_passes(small_site, client):
    endless = chat(simulator={"tokens": 100_000, "itl_ms": 10})
    first = client.post(small_site.nginx, COMPLETIONS, endless)
    assert first.until(b"data: ")
    response = client.post(small_site.nginx, COMPLETIONS, chat())
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert error_of(response)["code"] == "overloaded"


def test_request_id_is_the_clients_in_the_answer_and_in_all_logs(sluice_site, client):
    request_id = f"asked-over-{client.protocol}"
    response = client.get(sluice_site.nginx, "/stream_chat?name=x", x_request_id=request_id)
    assert response.headers["x-request-id"] == request_id
    client.leave()
    wait_until(lambda: sluice_site.gunicorn.logged("stream ended", request_id=request_id))
    wait_until(lambda: f"request_id={request_id}" in sluice_site.nginx.access_log.read_text())


def test_request_without_an_id_gets_the_same_one_everywhere(sluice_site, client):
    request_id = client.get(sluice_site.nginx, "/healthz").headers["x-request-id"]
    wait_until(lambda: f"request_id={request_id}" in sluice_site.nginx.access_log.read_text())


def test_questions_and_tickets_are_not_in_the_access_log(sluice_site, client):
    response = client.get(sluice_site.nginx, "/stream_chat?name=my-secret", x_request_id="discreet")
    assert response.status == 200
    client.leave()
    wait_until(lambda: "request_id=discreet" in sluice_site.nginx.access_log.read_text())
    assert "my-secret" not in sluice_site.nginx.access_log.read_text()


def test_gunicorn_is_told_who_asks_and_how(foreign_site, client):
    given = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "ftp", "forwarded": "for=x"}
    path = f"/echo?told-{client.protocol}"
    assert client.get(foreign_site.nginx, path, **given).body() == b"echo"
    seen = Observer(foreign_site.gunicorn).ask("/seen")
    (request,) = [each for each in seen if each["query"] == path.partition("?")[2]]
    headers = dict(request["headers"])
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert "forwarded" not in headers


def test_rate_limit_counts_by_the_clients_address_which_it_cannot_choose(client):
    with Site(rate_limit="1/minute") as site:
        assert client.get(site.nginx, "/stream_chat?name=x").status == 200
        refused = client.get(site.nginx, "/stream_chat?name=x", x_forwarded_for="203.0.113.9")
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) > 0


def test_http_is_sent_on_to_https(sluice_site):
    with sluice_site.nginx.connect_plain() as sock:
        sock.sendall(
            b"POST /v1/x?y=%0d%0az HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0\r\n\r\n"
        )
        response = Response(sock)
    assert response.status == 308
    assert response.headers["location"] == "https://sluice.example.com/v1/x?y=%0d%0az"


# Limits.


def test_the_largest_body_is_the_same_for_nginx_and_for_sluice(sluice_site, client):
    limit = Settings().max_body_bytes
    too_large = client.post(sluice_site.nginx, COMPLETIONS, b"x" * (limit + 1))
    assert too_large.status == 413
    assert error_of(too_large)["code"] == "body_too_large"
    assert too_large.headers["x-request-id"]
    # The simulator takes less, and says so itself: nginx has let it through.
    largest = client.post(sluice_site.nginx, COMPLETIONS, b"x" * limit)
    assert f"larger than {MAX_BODY_BYTES} bytes" in error_of(largest)["message"]


# Static files.


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (MODULE, "application/javascript"),
        ("/static/css/page.css", "text/css"),
        ("/static/favicon.svg", "image/svg+xml"),
    ],
)
def test_static_files_come_with_their_type_and_are_asked_for_again(sluice_site, client, path, kind):
    response = client.get(sluice_site.nginx, path)
    assert response.headers["content-type"] == kind
    assert response.headers["cache-control"] == "no-cache"
    assert response.body() == (ROOT / path.removeprefix("/")).read_bytes()
    again = client.get(sluice_site.nginx, path, if_none_match=response.headers["etag"])
    assert again.status == 304


def test_static_files_are_compressed(sluice_site, client):
    response = client.get(sluice_site.nginx, MODULE, accept_encoding="gzip")
    assert response.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "path",
    [
        "/static../app.py",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/js/../../app.py",
        "/static/",
        "/static/js",
    ],
)
def test_nothing_but_static_files_is_served_from_the_disk(sluice_site, path):
    response, body = ask(sluice_site.nginx, get(path))
    assert response.status in (301, 400, 403, 404)
    assert b"import" not in body


# What is not for everybody.


@pytest.mark.parametrize(
    "target",
    [
        *("/metrics", "/readyz", "//readyz", "/./readyz", "/x/../readyz", "/%72eadyz"),
        *(
            "/x%2f..%2freadyz",
            "/readyz?x",
            "/readyz#x",
            "/readyz/",
            "/%2572eadyz",
            "/static/../readyz",
        ),
        *(
            "http://test/readyz",
            "http://test//readyz",
            "/readyz%20",
            "/readyz;x",
            "/READYZ",
            "/x/..;/readyz",
        ),
    ],
)
def test_operations_are_closed_from_outside(sluice_site, target):
    response, body = ask(sluice_site.nginx, get(target))
    assert response.status == 404
    assert b'"streams"' not in body


def test_operations_are_open_on_the_host_itself(sluice_site):
    for path, begins in [
        ("/readyz", b'{"status":"ok"'),
        ("/healthz", b"{"),
        ("/metrics", b"# HELP"),
    ]:
        with sluice_site.nginx.connect_monitoring() as sock:
            sock.sendall(get(path))
            assert Response(sock).body().startswith(begins)
    with sluice_site.nginx.connect_monitoring() as sock:
        sock.sendall(get("/"))
        assert Response(sock).status == 404


# gunicorn is not there.


@pytest.fixture(scope="module")
def stopped_site() -> Iterator[Site]:
    with Site() as site:
        site.gunicorn.signal(signal.SIGTERM)
        site.gunicorn.wait_for_exit()
        yield site


def test_without_gunicorn_the_answer_is_an_error_that_says_when_to_come_back(stopped_site, client):
    response = client.post(stopped_site.nginx, COMPLETIONS, chat())
    assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert error_of(response)["code"] == "unavailable"
    assert response.headers["x-request-id"]


def test_without_gunicorn_static_files_are_still_served(stopped_site, client):
    response = client.get(stopped_site.nginx, MODULE)
    assert response.body() == (ROOT / MODULE.removeprefix("/")).read_bytes()


IMPATIENT = {"proxy_read_timeout    330s;": "proxy_read_timeout 200ms;"}


@pytest.fixture(scope="module")
def impatient_site() -> Iterator[Site]:
    with Site(changes=IMPATIENT) as site:
        yield site


def test_gunicorn_that_takes_too_long_is_a_timeout(impatient_site, client):
    body = chat(stream=False, simulator={"ttft_ms": 60_000})
    response = client.post(impatient_site.nginx, COMPLETIONS, body)
    assert response.status == 504
    assert error_of(response)["code"] == "timeout"
