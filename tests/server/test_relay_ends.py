"""How a relayed stream ends: whole, cut off by its upstream, or too late."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    RawUpstream,
    breaks_off,
    chunk,
    sends,
    sends_and_closes,
    streams,
)
from tests.server.relayed import (
    ANSWER,
    HELLO,
    PATH,
    SILENT,
    STOP,
    ask_chat,
    in_stream_error,
    refusal,
    stream_of,
)
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, post


@pytest.fixture(scope="module")
def impatient(raw_upstream: RawUpstream) -> Iterator[Server]:
    timeouts = {"first_event_timeout_seconds": 1, "idle_timeout_seconds": 1}
    with Server(upstream=raw_upstream.url, **timeouts) as server:
        yield server


@pytest.mark.parametrize("usage", [b"", b'data: {"choices":[],"usage":{}}\n\n'])
def test_a_proper_end_after_a_finish_reason_is_complete_without_done(relay, upstream, usage):
    upstream.handler = streams(HELLO, STOP, *filter(None, [usage]))
    assert stream_of(relay) == HELLO + STOP + usage


def test_comments_after_the_finish_reason_do_not_hide_it(relay, upstream):
    def handler(sock, request):
        sock.sendall(STREAM_HEAD + chunk(HELLO) + chunk(STOP))
        for _ in range(5):
            time.sleep(0.01)  # The relay reads each by itself.
            sock.sendall(chunk(b": ping\n\n"))
        sock.sendall(LAST_CHUNK)

    upstream.handler = handler
    assert stream_of(relay) == HELLO + STOP + b": ping\n\n" * 5


def test_comments_without_blank_lines_are_passed_on_with_the_next_event(relay, upstream):
    ping = b": keep-alive\n"
    upstream.handler = streams(ping, HELLO, ping, ping + STOP)
    assert stream_of(relay) == ping + HELLO + ping + ping + STOP


def test_a_comment_without_a_blank_line_at_the_end_is_not_half_an_event(relay, upstream):
    upstream.handler = streams(HELLO, STOP, b": keep-alive\n")
    assert stream_of(relay) == HELLO + STOP


@pytest.mark.parametrize("end", [streams, breaks_off])
def test_an_end_without_finish_reason_or_done_ends_as_truncated(relay, upstream, end):
    upstream.handler = end(HELLO, HELLO)
    assert in_stream_error(stream_of(relay)) == (HELLO * 2, "upstream_truncated")


def test_half_an_event_at_the_end_is_not_forwarded(relay, upstream):
    upstream.handler = streams(HELLO, STOP, b'data: {"cho')
    assert in_stream_error(stream_of(relay)) == (HELLO + STOP, "upstream_truncated")


def test_an_early_close_in_a_chunk_size_ends_as_truncated(relay, upstream):
    upstream.handler = sends_and_closes(STREAM_HEAD, chunk(HELLO), b"2")
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_truncated")


def test_an_early_close_in_an_event_ends_as_truncated(relay, upstream):
    upstream.handler = sends_and_closes(STREAM_HEAD, chunk(HELLO), chunk(HELLO)[:-20])
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_truncated")


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
def test_bytes_that_are_not_a_chunk_end_the_stream_as_invalid(relay, upstream, path):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO))
    with relay.connect() as sock:
        sock.sendall(post(path, chat()))
        response = Response(sock)
        assert response.until(HELLO) == HELLO
        upstream.connections[0].sock.sendall(b"no size\r\n")
        assert b'"code":"upstream_invalid"' in response.body()


def test_the_events_before_such_bytes_still_arrive(relay, upstream):
    upstream.handler = sends(STREAM_HEAD + chunk(HELLO) + b"no size\r\n")
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_invalid")


def test_a_truncated_stream_of_messages_ends_with_an_event_named_error(relay, upstream):
    upstream.handler = breaks_off(b'event: message_start\ndata: {"type": "message_start"}\n\n')
    *_, last, end = stream_of(relay, "/v1/messages").split(b"\n\n")
    assert end == b""
    assert last.startswith(b'event: error\ndata: {"type":"error","error":')
    assert b"upstream_truncated" in last


def test_an_error_event_of_the_upstream_is_the_only_one(relay, upstream):
    error = b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'
    upstream.handler = streams(HELLO, error)
    assert stream_of(relay) == HELLO + error


def test_done_ends_the_answer_although_the_upstream_lingers(relay, upstream):
    upstream.handler = sends(STREAM_HEAD, chunk(ANSWER))
    assert stream_of(relay) == ANSWER


# The timeouts.


def test_headers_that_never_come_are_a_504(impatient, upstream):
    upstream.handler = SILENT
    assert refusal(impatient) == (504, "upstream_timeout")


def test_headers_that_never_come_are_a_504_also_without_a_stream(impatient, upstream):
    upstream.handler = SILENT
    response, body = ask_chat(impatient, stream=False)
    assert response.status == 504
    assert json.loads(body)["error"]["code"] == "upstream_timeout"


def test_a_first_event_that_never_comes_is_a_504(impatient, upstream):
    upstream.handler = sends(STREAM_HEAD, chunk(b"data: half"))
    assert refusal(impatient) == (504, "upstream_timeout")


def test_silence_after_the_first_event_ends_the_stream(impatient, upstream):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO))
    started_at = time.monotonic()
    assert in_stream_error(stream_of(impatient)) == (HELLO, "upstream_timeout")
    assert 1 <= time.monotonic() - started_at < 5
    assert wait_until(lambda: upstream.connections[0].closed_at)


@pytest.mark.slow
def test_a_stream_that_takes_too_long_is_ended(upstream):
    def handler(sock, request):
        sock.sendall(STREAM_HEAD)
        while True:  # Until the connection is closed.
            sock.sendall(chunk(HELLO))
            time.sleep(0.02)

    upstream.handler = handler
    with Server(upstream=upstream.url, stream_timeout_seconds=1) as server:
        events, code = in_stream_error(stream_of(server))
        assert code == "stream_timeout"
        assert events == HELLO * events.count(HELLO)
        wait_until(lambda: server.logged("stream ended", outcome="error", code=code))
