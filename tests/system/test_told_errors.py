"""What readers of resumable answers were told is what the log and the metrics say of their streams."""

import json
import os
import signal

import pytest

from tests.server.raw_upstream import RawUpstream, breaks_off, sends, whole
from tests.support.metrics import Metrics
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.redis_server import RedisServer

READER = "/v1/streams/<stream_id>"
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


def start(server: Server, **simulator: object) -> str:
    with server.connect() as sock:
        sock.sendall(post("/v1/streams", chat(simulator=simulator)))
        return Response(sock).json()["url"]


def read(server: Server, url: str) -> bytes:
    with server.connect() as sock:
        sock.sendall(get(url))
        return Response(sock).body()


def code_in(body: bytes) -> str:
    """The code of the error event with which a body ends."""
    _, _, end = body.rpartition(b"event: error\n")
    (data,) = [line for line in end.splitlines() if line.startswith(b"data: ")]
    return json.loads(data.removeprefix(b"data: "))["error"]["code"]


def logged_end(server: Server) -> tuple[object, object]:
    (line,) = wait_until(lambda: server.logged("stream ended", route=READER))
    return line["outcome"], line["code"]


def test_a_reader_who_is_told_of_an_upstreams_error_does_not_count_as_complete():
    with RawUpstream(breaks_off(HELLO)) as upstream, Server(upstream=upstream.url) as server:
        metrics = Metrics(server)
        code = code_in(read(server, start(server)))
        assert logged_end(server) == ("error", code)
        metrics.wait_until_added(1, "stream_errors_total", route=READER, code=code)
        metrics.wait_until_added(1, "streams_ended_total", route=READER, outcome="error")


def test_an_upstreams_own_code_is_told_to_the_reader_and_no_label_in_the_metrics():
    refusal = whole(b'{"error":{"message":"m","code":"said-by-upstream"}}', "429 Too Many Requests")
    with RawUpstream(sends(refusal)) as upstream, Server(upstream=upstream.url) as server:
        metrics = Metrics(server)
        assert code_in(read(server, start(server))) == "said-by-upstream"
        assert logged_end(server) == ("error", "upstream_error")
        metrics.wait_until_added(1, "stream_errors_total", route=READER, code="upstream_error")
        assert metrics.value("stream_errors_total", code="said-by-upstream") == 0


def test_a_late_reader_of_an_answer_that_failed_counts_as_an_error():
    with RawUpstream(breaks_off(HELLO)) as upstream, Server(upstream=upstream.url) as server:
        url = start(server)
        wait_until(lambda: server.logged("generation ended"))
        code = code_in(read(server, url))
        assert logged_end(server) == ("error", code)


def test_a_reader_of_an_answer_that_was_stopped_counts_as_cancelled_with_that_code():
    with Server() as server, server.connect() as sock:
        url = start(server, tokens=100_000)
        sock.sendall(get(url))
        response = Response(sock)
        response.until(b"id: 2\n")
        with server.connect() as other:
            other.sendall(get(url).replace(b"GET", b"DELETE", 1))
            assert Response(other).status == 204
        assert code_in(response.body()) == "stopped"
        assert logged_end(server) == ("cancelled", "stopped")


def test_a_reader_who_missed_events_that_were_gone_does_not_count_as_complete():
    with Server(history_bytes=2000) as server:
        url = start(server, tokens=100, itl_ms=0)
        wait_until(lambda: server.logged("generation ended"))
        assert b"event: reset" in read(server, url)
        assert logged_end(server) == ("error", "reset")


def test_a_reader_who_gets_the_whole_answer_counts_as_complete():
    with Server() as server:
        assert b"event: done" in read(server, start(server, tokens=3, itl_ms=0))
        assert logged_end(server) == ("complete", None)
        assert Metrics(server).value("stream_errors_total") == 0


@pytest.mark.slow
def test_each_reader_whose_producer_was_killed_is_counted():
    with (
        RedisServer() as redis,
        Server(redis_url=redis.url) as first,
        Server(redis_url=redis.url) as second,
    ):
        metrics = Metrics(second)
        url = start(first, tokens=100_000)
        with second.connect() as one, second.connect() as two:
            responses = []
            for sock in (one, two):
                sock.sendall(get(url))
                responses.append(Response(sock))
            for response in responses:
                response.until(b"id: 3\n")
            # A worker shows the others ten times a second what it has open.
            Metrics(first).wait_for(1, "worker_streams")
            os.kill(first.workers()[0], signal.SIGKILL)
            codes = [code_in(response.body()) for response in responses]
        assert codes == ["producer_lost"] * 2
        metrics.wait_until_added(2, "stream_errors_total", route=READER, code="producer_lost")
        metrics.wait_until_added(2, "streams_ended_total", route=READER, outcome="error")
        Metrics(first).wait_for(1, "worker_deaths_total")
        Metrics(first).wait_for(1, "worker_lost_streams_total")
