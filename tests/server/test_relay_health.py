"""An upstream that takes connections and does not answer: it is found out by health requests, or by one request."""

import json
import socket
from collections.abc import Iterator

import pytest

from flask_sluice.gateway.relay.health.health import FAILURES_UNTIL_OUT
from tests.server.raw_upstream import (
    Handler,
    RawUpstream,
    headers_of,
    sends,
    sends_and_closes,
    target_of,
    whole,
)
from tests.server.relayed import JSON_ANSWER, SILENT, ask_chat
from tests.support.metrics import Metrics
from tests.support.server import Server, wait_until
from tests.support.stream import ask, get

KEY = "sk-upstream-of-the-tests"
HEALTH_PATH = "/health?full=1"
WELL = sends(whole(b"{}"))


class Engine:
    """An upstream that can be well or not, apart from how it answers chats."""

    def __init__(self, upstream: RawUpstream) -> None:
        self.upstream = upstream
        self.health: Handler = WELL
        self.chat: Handler = sends(whole(JSON_ANSWER))
        self.chats = 0
        self.checks: list[bytes] = []
        upstream.handler = self.answer

    def answer(self, sock: socket.socket, request: bytes) -> None:
        if target_of(request) == HEALTH_PATH:
            self.checks.append(request)
            self.health(sock, request)
        else:
            self.chats += 1
            self.chat(sock, request)


@pytest.fixture
def engines() -> Iterator[tuple[Engine, Engine]]:
    with RawUpstream() as first, RawUpstream() as second:
        yield Engine(first), Engine(second)


def server_before(*engines: Engine, **settings: object) -> Server:
    urls = ",".join(engine.upstream.url for engine in engines)
    return Server("tests.server.checked_app:app", upstream=urls, **settings)


@pytest.fixture
def checked(engines) -> Iterator[Server]:
    with server_before(*engines, upstream_health_path=HEALTH_PATH, upstream_api_key=KEY) as server:
        yield server


def state_of(server: Server, engine: Engine) -> str:
    _, body = ask(server, get("/readyz"))
    return json.loads(body)["upstreams"][engine.upstream.url]


def statuses(server: Server, count: int) -> list[int]:
    return [ask_chat(server, stream=False)[0].status for _ in range(count)]


UNWELL = {
    "no answer": (SILENT, "no answer within 0.3 seconds"),
    "a trickle": (sends(b"HTTP/1.1 200 OK\r\nX: "), "no answer within 0.3 seconds"),
    "an error": (sends(whole(b"{}", "503 Busy")), "status 503"),
    "a redirect": (sends(whole(b"", "302 Found", Location="/")), "status 302"),
    "another protocol": (sends(b"220 smtp\r\n\r\n"), "its first line is not one of HTTP/1"),
    "the end": (sends_and_closes(), "its answer is not HTTP"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNWELL)
def test_an_upstream_whose_health_request_fails_gets_no_request(checked, engines, kind):
    first, second = engines
    first.health, reason = UNWELL[kind]
    wait_until(lambda: state_of(checked, first) == f"out: its health request fails: {reason}")
    chats_before = first.chats
    assert statuses(checked, 6) == [200] * 6
    assert (first.chats, second.chats) == (chats_before, 6)
    metrics = Metrics(checked)
    metrics.wait_for(1, "upstream_out", upstream=first.upstream.host)
    metrics.wait_for(0, "upstream_out", upstream=second.upstream.host)
    assert (
        metrics.value("upstream_errors_total", upstream=first.upstream.host, code="health_check")
        >= 3
    )
    first.health = WELL
    wait_until(lambda: state_of(checked, first) == "ok")
    assert statuses(checked, 6) == [200] * 6
    assert first.chats == chats_before + 3
    assert "is out: " in checked.log
    assert "is well again" in checked.log


def test_the_health_request_has_the_key_and_a_connection_of_its_own(checked, engines):
    first, _ = engines
    wait_until(lambda: len(first.checks) >= 2)
    headers = headers_of(first.checks[0])
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["host"] == first.upstream.host
    assert headers["connection"] == "close"
    assert all(len(each.requests) <= 1 for each in first.upstream.connections)


@pytest.mark.slow
def test_without_another_upstream_it_is_asked_all_the_same(engines):
    first, _ = engines
    first.health = SILENT
    with server_before(first, upstream_health_path=HEALTH_PATH) as server:
        wait_until(lambda: state_of(server, first).startswith("out: its health request fails"))
        assert statuses(server, 3) == [200] * 3


def test_no_health_request_is_sent_unless_it_is_set(engines):
    first, _ = engines
    with server_before(first) as server:
        assert statuses(server, 3) == [200] * 3
    assert first.checks == []


@pytest.mark.slow
def test_without_health_requests_only_one_request_waits_for_an_upstream_that_is_silent(engines):
    first, second = engines
    first.chat = SILENT
    with server_before(*engines, first_event_timeout_seconds=1) as server:
        assert sorted(statuses(server, 8)) == [200] * 7 + [504]
        assert first.chats == 1 < FAILURES_UNTIL_OUT
        assert state_of(server, first).startswith("out: ")
        assert second.chats == 7
