"""The metrics of a running server."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.raw_upstream import RawUpstream, breaks_off, sends, streams, whole
from tests.support.metrics import Metrics
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, chat, get, post

PATH = "/v1/chat/completions"
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"no memory","type":"server_error","code":"503"}}\n\n'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """It looks at each stream ten times a second: four times in the write timeout."""
    with Server(write_timeout_seconds=0.4, keepalive_seconds=0.2) as server:
        # A model's name becomes a label once it has given a complete answer.
        ask_chat(server, simulator={"tokens": 1})
        Metrics(server).wait_for(1, "streams_ended_total", model="test")
        yield server


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def relay(upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=upstream.url, first_event_timeout_seconds=1) as server:
        yield server


@pytest.fixture
def metrics(server: Server) -> Metrics:
    return metrics_at_rest(server)


def metrics_at_rest(server: Server) -> Metrics:
    """The metrics from when the streams of the tests before have ended, which is later than their clients have left."""
    Metrics(server).wait_for(0, "open_streams")
    return Metrics(server)


def ask(server: Server, request: bytes) -> Response:
    """Return the response when its body has ended, complete or cut."""
    with server.connect() as sock:
        return ask_on(sock, request)


def ask_on(sock: socket.socket, request: bytes) -> Response:
    sock.sendall(request)
    response = Response(sock)
    with contextlib.suppress(EOFError):
        response.body()
    return response


def ask_chat(server: Server, **fields: object) -> Response:
    return ask(server, post(PATH, chat(**fields)))


def open_chat(server: Server, **simulator: object) -> socket.socket:
    """Open a stream; return its connection when the first event has come."""
    sock = server.connect()
    sock.sendall(post(PATH, chat(simulator={"itl_ms": 5, **simulator})))
    Response(sock).until(b"\n\n")
    return sock


# Streams.


def test_every_end_is_counted_by_its_outcome(server, metrics):
    ask_chat(server, simulator={"tokens": 2, "itl_ms": 0})
    ask_chat(server, stream=False, simulator={"tokens": 2})
    ask_chat(server, simulator={"itl_ms": 0, "fault": {"kind": "error_event"}})
    ask_chat(server, simulator={"itl_ms": 0, "fault": {"kind": "cut"}})
    open_chat(server, tokens=100_000).close()
    for outcome, count in {"complete": 2, "error": 2, "cancelled": 1}.items():
        labels = {"route": PATH, "model": "test", "outcome": outcome}
        metrics.wait_until_added(count, "streams_ended_total", **labels)
    metrics.wait_until_added(5, "stream_duration_seconds_count", route=PATH)
    metrics.wait_until_added(1, "stream_errors_total", code="upstream_error")


@pytest.mark.measures
def test_a_client_that_leaves_is_released_within_milliseconds(server, metrics):
    for _ in range(5):
        open_chat(server, tokens=100_000).close()
    metrics.wait_until_added(5, "disconnect_release_seconds_count")
    assert metrics.added("disconnect_release_seconds_bucket", le="0.1") >= 4


def test_a_stream_shows_before_its_end(server, metrics):
    with open_chat(server, tokens=100_000):
        assert metrics.value("open_streams", route=PATH) == 1
        wait_until(lambda: metrics.added("sent_events_total") >= 10)
        again = Metrics(server)
        wait_until(lambda: again.added("sent_events_total") >= 10)
        assert metrics.added("sent_bytes_total") >= 20 * 100
        assert metrics.added("event_gap_seconds_count") >= 10
        assert metrics.added("loop_lag_seconds_count") > 0
        assert metrics.added("streams_ended_total") == 0
    metrics.wait_for(0, "open_streams", route=PATH)


def test_times_are_those_that_the_simulator_took(server, metrics):
    asked_at = time.monotonic()
    ask_chat(server, simulator={"tokens": 5, "ttft_ms": 120, "itl_ms": 300})
    metrics.wait_until_added(1, "streams_ended_total")
    took = time.monotonic() - asked_at
    first_event = metrics.added("first_event_seconds_sum", model="test")
    gaps = metrics.added("event_gap_seconds_sum")
    duration = metrics.added("stream_duration_seconds_sum", route=PATH)
    assert first_event >= 0.12
    # There are four gaps, from one token to the next; role, finish_reason and [DONE] come without a gap. The gaps are
    # shorter by as much as the first token is late, since the last one comes when it is due.
    assert first_event + gaps > 0.12 + 4 * 0.3 - 0.01
    assert first_event + gaps <= duration <= took
    gap_count = metrics.added("event_gap_seconds_count")
    assert gap_count - metrics.added("event_gap_seconds_bucket", le="0.15") == 4


def test_keepalives_are_counted_while_they_are_sent(server, metrics):
    with open_chat(server, fault={"kind": "stall"}):
        wait_until(lambda: metrics.added("sent_keepalives_total") >= 2)


def test_resumable_streams_and_their_readers_are_told_apart(server, metrics):
    with server.connect() as sock:
        sock.sendall(post("/v1/streams", chat(simulator={"tokens": 100_000})))
        url = Response(sock).json()["url"]
        sock.sendall(get(url))
        Response(sock).until(b"id: 2\n")
        assert metrics.value("open_streams", route="/v1/streams") == 1
        assert metrics.value("open_streams", route="/v1/streams/<stream_id>") == 1
        with server.connect() as other:
            other.sendall(get(url).replace(b"GET", b"DELETE"))
            assert Response(other).status == 204
    labels = {"route": "/v1/streams", "model": "test", "outcome": "cancelled"}
    metrics.wait_until_added(1, "streams_ended_total", **labels)
    metrics.wait_for(0, "open_streams")


@pytest.mark.slow
def test_few_of_a_thousand_model_names_become_labels(server, metrics):
    with server.connect() as sock:
        for number in range(1000):
            fields = {"model": f"model-{number}", "simulator": {"tokens": 1, "itl_ms": 0}}
            ask_on(sock, post(PATH, chat() | fields))
    metrics.wait_until_added(1000, "streams_ended_total")
    seen = metrics.label_values("streams_ended_total", "model")
    assert len(seen) <= 32 + len({"other", "none"})
    assert metrics.added("streams_ended_total", model="other") >= 1000 - 32
    assert metrics.label_values("first_event_seconds_count", "model") <= seen


# Requests that are refused.


def test_refusals_are_counted_by_status_and_code():
    limits = {
        "api_keys": "a-key-0123456789",
        "models": "test",
        "max_streams": 1,
        "max_body_bytes": 10_000,
    }
    key = {"Authorization": "Bearer a-key-0123456789"}
    with Server(**limits) as server, server.connect() as sock:
        metrics = Metrics(server)
        assert metrics.value("open_streams_limit") == 1
        refused = {
            ("401", "invalid_api_key"): post(PATH, chat()),
            ("404", "model_not_found"): post(PATH, chat() | {"model": "none"}, **key),
            ("404", "not_found"): get("/unknown"),
            ("405", "method_not_allowed"): get(PATH, **key),
            ("413", "body_too_large"): post(PATH, chat("x" * 20_000), **key),
            ("415", "unsupported_media_type"): post(PATH, b"x", Content_Type="text/x", **key),
            ("400", "invalid_json"): post(PATH, b"{", **key),
            ("414", "invalid_request"): get("/" + "x" * 9000),
            ("503", "overloaded"): post(PATH, chat(), **key),
        }
        sock.sendall(post(PATH, chat(simulator={"tokens": 100_000}), **key))
        Response(sock).until(b"\n\n")
        for (status, _), request in refused.items():
            assert ask(server, request).status == int(status)
        for status, code in refused:
            assert metrics.value("requests_refused_total", status=status, code=code) == 1


def test_a_refusal_of_the_upstreams_is_counted_as_well(upstream, relay):
    upstream.handler = sends(whole(b'{"error":{"message":"no"}}', "429 Too Many Requests"))
    metrics = metrics_at_rest(relay)
    assert ask(relay, post(PATH, chat())).status == 429
    metrics.wait_until_added(1, "requests_refused_total", status="429", code="upstream_error")


# Upstreams.


def test_an_upstream_that_is_out_shows_and_so_do_failovers(upstream):
    upstream.handler = streams(HELLO, STOP, DONE)
    with RawUpstream() as dead:
        dead.stop()
    with Server(upstream=f"{dead.url},{upstream.url}") as server:
        metrics = Metrics(server)
        for _ in range(8):
            assert ask_chat(server).status == 200
        metrics.wait_until_added(8, "streams_ended_total", outcome="complete")
        # After three failures running it gets no requests.
        failed = {"upstream": dead.host, "code": "upstream_unreachable"}
        assert metrics.value("upstream_errors_total", **failed) == 3
        assert metrics.value("upstream_failovers_total", upstream=dead.host) == 3
        assert metrics.value("upstream_failovers_total", upstream=upstream.host) == 0
        assert metrics.value("upstream_out", upstream=dead.host) == 1
        assert metrics.value("upstream_out", upstream=upstream.host) == 0


def test_upstreams_on_one_host_are_told_apart(upstream):
    upstream.handler = sends(whole(b"{}", "429 Slow"))
    urls = [f"http://{upstream.host}/{name}/v1" for name in ("a", "b")]
    with Server(upstream=",".join(urls)) as server:
        metrics = Metrics(server)
        for _ in range(4):
            ask_chat(server)
        metrics.wait_until_added(4, "streams_ended_total")
        for url in urls:
            assert metrics.value("upstream_errors_total", upstream=url, code="429") == 2
            assert metrics.value("upstream_out", upstream=url) == 0


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (sends(whole(b"{}", "429 Slow")), "429"),
        (sends(b"no HTTP at all\r\n\r\n"), "upstream_invalid"),
        (breaks_off(HELLO), "upstream_truncated"),
        (streams(ERROR), "upstream_error"),
        (streams(HELLO, ERROR), "upstream_error"),
        (sends(), "upstream_timeout"),
    ],
    ids=["refuses", "no-http", "breaks-off", "error-first", "error-later", "silent"],
)
def test_each_failure_of_an_upstream_is_counted_once(relay, upstream, handler, code):
    metrics = metrics_at_rest(relay)
    upstream.handler = handler
    ask_chat(relay)
    metrics.wait_until_added(1, "streams_ended_total", outcome="error", route=PATH)
    assert metrics.added("upstream_errors_total") == 1
    assert metrics.added("upstream_errors_total", upstream=upstream.host, code=code) == 1


def test_paths_that_are_passed_on_share_a_route(relay, upstream):
    upstream.handler = sends(whole(b"{}"))
    metrics = metrics_at_rest(relay)
    for path in ("/v1/models", "/v1/files/1", "/v1/files/2"):
        ask(relay, get(path))
    metrics.wait_until_added(3, "streams_ended_total")
    routes = metrics.label_values("streams_ended_total", "route")
    assert routes <= {PATH, "/v1/models", "/v1/<path:rest>"}


# The page.


def test_the_page_is_in_prometheuss_text_format_and_needs_no_key():
    with Server(api_keys="a-key-0123456789") as server:
        response = ask(server, get("/metrics"))
        assert response.status == 200
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_each_metric_has_a_help_text_and_a_name_that_says_what_it_is(metrics):
    lines = [line.split(maxsplit=3)[1:] for line in metrics.text().splitlines() if line[0] == "#"]
    kinds = {name: rest[0] for kind, name, *rest in lines if kind == "TYPE"}
    helps = {name: rest[0] for kind, name, *rest in lines if kind == "HELP"}
    assert kinds.keys() == helps.keys()
    for name, kind in kinds.items():
        assert name.startswith("sluice_")
        assert name.endswith("_total") == (kind == "counter")
        assert name.endswith("_seconds") == (kind == "histogram")


# Several workers.


def pid_of_worker(sock: socket.socket) -> int:
    """The worker that has this connection."""
    sock.sendall(get("/inspect"))
    return Response(sock).json()["pid"]


@pytest.mark.slow
def test_the_numbers_of_all_workers_are_summed_and_outlive_them():
    with Server("tests.server.inspected_app:app", workers=2) as server:
        metrics = Metrics(server)
        pids: set[int] = set()
        asked = 0
        while len(pids) < 2:
            with server.connect() as sock:
                ask_on(sock, post(PATH, chat(simulator={"tokens": 1, "itl_ms": 0})))
                pids.add(pid_of_worker(sock))
            asked += 1
        # The numbers of the worker that does not answer the scrape are up to a second old.
        metrics.wait_for(asked, "streams_ended_total", outcome="complete")
        metrics.wait_for(asked, "first_event_seconds_count")
        with open_chat(server, tokens=100_000):
            metrics.wait_for(1, "open_streams")
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: server.log.count("Booting worker") == 4)
            server.wait_until_ready()
            metrics.wait_for(0, "open_streams")
        metrics.wait_for(2 * 9000, "open_streams_limit")
        assert metrics.value("streams_ended_total") == asked
        # The stream that was killed had its first event in the last second, or before it.
        assert metrics.value("first_event_seconds_count") - asked in (0, 1)


@pytest.mark.slow
def test_a_reload_loses_none_of_the_last_second():
    with Server() as server, server.connect() as sock:
        sock.sendall(post(PATH, chat(simulator={"tokens": 30, "itl_ms": 20})))
        response = Response(sock)
        response.until(b"\n\n")
        server.signal(signal.SIGHUP)
        assert response.body()
        wait_until(lambda: server.log.count("Worker exiting") == 1)
        Metrics(server).wait_for(1, "streams_ended_total", outcome="complete")


def test_no_file_is_needed_or_left(tmp_path):
    with Server(environment={"TMPDIR": str(tmp_path)}, workers=2) as server:
        ask_chat(server, simulator={"tokens": 1})
        Metrics(server).wait_for(1, "streams_ended_total")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_apps_own_folder_is_used_and_its_own_page_shows_our_numbers(tmp_path):
    def value(name: str) -> float:
        with server.connect() as sock:
            sock.sendall(get("/app/metrics"))
            body = Response(sock).body().decode()
        families = text_string_to_metric_families(body)
        return sum(
            each.value for family in families for each in family.samples if each.name == name
        )

    folder = tmp_path / "the-apps"
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with Server("tests.server.metered_app:app", environment=environment) as server:
        ask_chat(server, simulator={"tokens": 1})
        wait_until(lambda: value("sluice_streams_ended_total") == 1)
        before = value("app_scrapes_total")
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log.count("Worker exiting") == 1)
        server.wait_until_ready()
        # Of both workers; the gauge of the one that has ended is gone.
        assert value("app_scrapes_total") == before + 1
        assert value("sluice_streams_ended_total") == 1
        wait_until(lambda: value("sluice_open_streams_limit") == 9000)
        server.signal(signal.SIGTERM)
        server.wait_for_exit()
    assert len(list(folder.glob("counter_*.db"))) == 2


@pytest.mark.parametrize(
    "before", ["import prometheus_client", pytest.param("", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("arguments", [("--preload",), pytest.param((), marks=pytest.mark.slow)])
def test_numbers_are_counted_whenever_the_app_and_prometheus_client_are_loaded(
    before, arguments, tmp_path
):
    """prometheus-client looks for its folder when it is imported, which a gunicorn file may do, and --preload does."""
    configuration = tmp_path / "configuration.py"
    configuration.write_text(f"{before}\nexec(open({str(ROOT / 'gunicorn.conf.py')!r}).read())")
    with Server(configuration=str(configuration), arguments=arguments, workers=2) as server:
        metrics = Metrics(server)
        for number in range(1, 5):
            ask_chat(server, simulator={"tokens": 1})
            metrics.wait_for(number, "streams_ended_total", outcome="complete")
        metrics.wait_for(2 * 9000, "open_streams_limit")
