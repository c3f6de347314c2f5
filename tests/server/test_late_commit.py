"""The status is sent with the first event, so that an early failure keeps its own."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, post

pytestmark = pytest.mark.measures


@pytest.fixture(scope="module")
def quick_commit() -> Iterator[Server]:
    with Server("tests.server.inspected_app:app", commit_seconds=0.2) as server:
        yield server


def test_a_refusal_keeps_its_status_and_retry_after(sluice):
    fault = {"kind": "status", "status": 429, "retry_after": 7}
    response, body = ask(sluice, post("/v1/chat/completions", chat(simulator={"fault": fault})))
    assert response.status == 429
    assert response.headers["retry-after"] == "7"
    assert json.loads(body)["error"]["type"] == "rate_limit_error"


def test_an_error_as_the_first_event_becomes_a_status(sluice):
    # A text completion has no opening chunk, so the error comes first.
    simulator = {"fault": {"kind": "error_event", "after": 0}}
    request = {"model": "m", "prompt": "hi", "stream": True, "simulator": simulator}
    response, body = ask(sluice, post("/v1/completions", request))
    assert response.status == 502
    assert json.loads(body)["error"]["code"] == "upstream_error"


def test_nothing_is_sent_before_the_first_event(sluice):
    with sluice.connect() as sock:
        started_at = time.monotonic()
        sock.sendall(post("/v1/chat/completions", chat(simulator={"ttft_ms": 400, "tokens": 1})))
        assert Response(sock).status == 200
        assert time.monotonic() - started_at >= 0.35


def test_after_the_commit_time_the_200_goes_out_with_a_keepalive(quick_commit):
    with quick_commit.connect() as sock:
        started_at = time.monotonic()
        sock.sendall(post("/v1/chat/completions", chat(simulator={"ttft_ms": 2000, "tokens": 1})))
        response = Response(sock)
        assert response.chunk() == b": keep-alive\n"
        assert time.monotonic() - started_at < 1.5
        assert response.until(b"data: [DONE]\n\n")


def test_a_client_that_leaves_before_the_commit_stops_the_generator(quick_commit):
    observer = Observer(quick_commit)
    observer.until_idle()
    sock = quick_commit.connect()
    body = chat(simulator={"ttft_ms": 3_600_000}, stream=False)
    sock.sendall(post("/v1/chat/completions", body, X_Request_Id="left-early"))
    wait_until(lambda: observer.ask("/inspect")["inflight"] == 1)
    sock.close()
    end = {"request_id": "left-early", "outcome": "cancelled"}
    wait_until(lambda: quick_commit.logged("stream ended", **end))
    observer.until_idle()
    assert "Traceback" not in quick_commit.log
