"""A relay in front of several upstreams asks them in turn, and the next where one fails."""

import json
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import (
    RawUpstream,
    breaks_off,
    sends,
    whole,
)
from tests.server.relayed import (
    HELLO,
    PATH,
    ask_chat,
    in_stream_error,
    logged_end,
    stream_of,
)
from tests.support.metrics import Metrics
from tests.support.server import Server
from tests.support.stream import ask, chat, get, post

FIRST = sends(whole(b'{"from":"first"}'))
SECOND = sends(whole(b'{"from":"second"}'))


@pytest.fixture(scope="module")
def two_upstreams() -> Iterator[tuple[RawUpstream, RawUpstream]]:
    with RawUpstream() as first, RawUpstream() as second:
        yield first, second


@pytest.fixture(scope="module")
def pair_server(two_upstreams) -> Iterator[Server]:
    with server_before(*two_upstreams) as server:
        yield server


@pytest.fixture
def first(two_upstreams) -> RawUpstream:
    return two_upstreams[0]


@pytest.fixture
def second(two_upstreams) -> RawUpstream:
    return two_upstreams[1]


@pytest.fixture
def pair(pair_server: Server, first: RawUpstream, second: RawUpstream) -> Server:
    """Stands in front of both. Failures in other tests do not count, because both have answered since."""
    first.handler, second.handler = FIRST, SECOND
    answers(pair_server, 2)
    first.close_connections()
    second.close_connections()
    return pair_server


def server_before(*upstreams: RawUpstream) -> Server:
    urls = ",".join(upstream.url for upstream in upstreams)
    return Server(upstream=urls, first_event_timeout_seconds=2)


def answers(server: Server, count: int) -> list[tuple[int, bytes]]:
    return [
        (response.status, body)
        for response, body in (ask_chat(server, stream=False) for _ in range(count))
    ]


def test_requests_go_to_the_upstreams_in_turn(pair, first, second):
    answers(pair, 6)
    assert (len(first.requests), len(second.requests)) == (3, 3)


@pytest.mark.parametrize(
    "failure",
    [
        sends(whole(b"{}", "502 Bad Gateway")),
        sends(whole(b"{}", "503 Service Unavailable")),
        sends(whole(b"{}", "504 Gateway Timeout")),
        sends(whole(b"{}", "529 Overloaded")),
    ],
    ids=["502", "503", "504", "529"],
)
def test_the_next_upstream_answers_where_one_fails(pair, first, failure):
    first.handler = failure
    assert answers(pair, 2) == [(200, b'{"from":"second"}')] * 2
    assert first.requests


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many Requests"])
def test_no_other_upstream_is_tried_after_a_4xx(pair, first, second, status):
    first.handler = sends(whole(b"{}", status))
    assert sorted(answers(pair, 2)) == [(200, b'{"from":"second"}'), (int(status[:3]), b"{}")]
    assert (len(first.requests), len(second.requests)) == (1, 1)


def test_no_other_upstream_is_tried_after_the_first_event(pair, first, second):
    first.handler = second.handler = breaks_off(HELLO)
    assert in_stream_error(stream_of(pair)) == (HELLO, "upstream_truncated")
    assert len(first.requests) + len(second.requests) == 1


def test_if_all_fail_each_was_tried_once_and_the_last_answer_counts(pair, first, second):
    first.handler = second.handler = sends(whole(b'{"error":{}}', "503 Busy", Retry_After="3"))
    response, body = ask_chat(pair)
    assert (response.status, response.headers["retry-after"], body) == (503, "3", b'{"error":{}}')
    assert (len(first.requests), len(second.requests)) == (1, 1)


def test_an_upstream_that_failed_three_times_is_left_alone_and_readyz_says_so():
    busy = sends(whole(b"{}", "503 Busy"))
    with RawUpstream(busy) as first, RawUpstream(SECOND) as second:
        with server_before(first, second) as server:
            assert {status for status, _ in answers(server, 12)} == {200}
            assert len(first.requests) == 3
            response, body = ask(server, get("/readyz"))
        assert response.status == 200
        states = json.loads(body)["upstreams"]
        assert states[first.url].startswith("out: it has failed three times")
        assert states[second.url] == "ok"


def test_readyz_is_503_only_if_no_upstream_can_be_reached():
    with (
        RawUpstream() as first,
        RawUpstream(SECOND) as second,
        server_before(first, second) as server,
    ):
        first.stop()
        # The next upstream answers where one refuses the connection.
        assert answers(server, 2) == [(200, b'{"from":"second"}')] * 2
        response, body = ask(server, get("/readyz"))
        states = {first.url: "out: it takes no connection", second.url: "ok"}
        assert (response.status, json.loads(body)["upstreams"]) == (200, states)
        second.stop()
        response, body = ask(server, get("/readyz"))
        assert response.status == 503
        assert set(json.loads(body)["upstreams"].values()) == {"out: it takes no connection"}


@pytest.mark.slow
def test_upstreams_on_one_host_have_metrics_and_log_lines_of_their_own():
    with RawUpstream() as upstream:
        paths = {"/a/v1": sends(whole(b"{}", "503 Busy")), "/b/v1": sends(whole(b"{}"))}
        upstream.handler = lambda sock, request: next(
            answer for path, answer in paths.items() if path.encode() in request
        )(sock, request)
        first, second = (f"http://{upstream.host}{path}" for path in paths)
        with Server(upstream=f"{first},{second}") as server:
            assert [status for status, _ in answers(server, 6)] == [200] * 6
            metrics = Metrics(server)
            assert metrics.value("upstream_errors_total", upstream=first, code="503") == 3
            assert metrics.label_values("upstream_errors_total", "upstream") == {first}
            assert metrics.value("upstream_failovers_total", upstream=first) == 3
            assert metrics.value("upstream_failovers_total", upstream=second) == 0
            assert metrics.value("upstream_out", upstream=first) == 1
            assert metrics.value("upstream_out", upstream=second) == 0
            response, _ = ask(server, post(PATH, chat(stream=False)))
            assert logged_end(server, response.headers["x-request-id"])["upstream"] == second
