"""Each time limit and its exception, whatever the server sends in the meantime."""

import socket
import time

import pytest

from flask_sluice.client import (
    ConnectTimeoutError,
    Ending,
    FirstEventTimeoutError,
    IdleEventTimeoutError,
    IdleTimeoutError,
    RefusedError,
    SSEClient,
    StreamTimeoutError,
    Timeouts,
    TotalTimeoutError,
)
from tests.client.answers import (
    DONE,
    EVENT,
    deaf_server,
    failure_of,
    post,
    streams_then_waits,
    texts,
    trickles,
)
from tests.server.raw_upstream import (
    STREAM_HEAD,
    chunk,
    head,
    sends,
    streams,
)

LIMIT = 0.05
LIMIT_WITH_EVENTS = 1
"""For tests in which something must arrive within the limit, on a busy machine as well."""
IN_TIME_SECONDS = 5
"""Far above the limit, for a busy machine, and far below the other limits."""


def limits(**seconds: float) -> Timeouts:
    """Return timeouts with these limits only."""
    none = dict.fromkeys(Timeouts.__dataclass_fields__)
    return Timeouts(**{**none, **{f"{name}_seconds": value for name, value in seconds.items()}})


def times_out(stream, error_type, limit: float = LIMIT) -> StreamTimeoutError:
    started_at = time.monotonic()
    error = failure_of(stream)
    took = time.monotonic() - started_at
    assert type(error) is error_type
    assert limit <= took < IN_TIME_SECONDS
    assert (error.seconds, error.ending) == (limit, Ending.TIMEOUT)
    return error


# Connecting.


def test_connecting_has_a_limit():
    with deaf_server() as url:
        stream = SSEClient(url, timeouts=limits(connect=LIMIT)).stream("POST", "/")
        times_out(stream, ConnectTimeoutError)


def test_the_limit_for_connecting_includes_the_tls_handshake(server):
    client = SSEClient(f"https://{server.host}", timeouts=limits(connect=LIMIT))
    times_out(client.stream("POST", "/"), ConnectTimeoutError)


def test_the_other_limits_hold_while_connecting():
    with deaf_server() as url:
        for name, error in ("first_event", FirstEventTimeoutError), ("total", TotalTimeoutError):
            timeouts = limits(connect=IN_TIME_SECONDS, **{name: LIMIT})
            times_out(SSEClient(url, timeouts=timeouts).stream("POST", "/"), error)


# The first event.

NO_EVENTS = {
    "no-answer": sends(),
    "no-body": sends(STREAM_HEAD),
    "keep-alives": trickles(STREAM_HEAD, chunk(b": ping\n\n")),
    "ids-without-data": trickles(STREAM_HEAD, chunk(b"id: 1\n\n")),
    "interim-answers": trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("handler", NO_EVENTS.values(), ids=NO_EVENTS)
def test_the_first_event_has_a_limit(server, client, handler):
    server.handler = handler
    stream = post(client, timeouts=limits(first_event=LIMIT, total=10))
    error = times_out(stream, FirstEventTimeoutError)
    assert error.events == ()


def test_the_limit_for_the_first_event_ends_with_that_event(server, client, gate):
    server.handler = streams_then_waits(gate, EVENT, DONE)
    with post(client, timeouts=limits(first_event=LIMIT_WITH_EVENTS, total=10)) as stream:
        next(stream)
        time.sleep(LIMIT_WITH_EVENTS)
        gate.set()
        assert texts(stream) == []


# Silence between events.


def test_silence_after_an_event_has_a_limit(server, client):
    server.handler = sends(STREAM_HEAD, chunk(EVENT), chunk(b"data: b"))
    stream = post(client, timeouts=limits(idle=LIMIT_WITH_EVENTS, total=10))
    error = times_out(stream, IdleTimeoutError, LIMIT_WITH_EVENTS)
    assert (texts(error.events), error.last_event_id) == (["a"], "7")
    assert error.cut_event == b"data: b"


def test_keep_alives_reset_the_idle_limit_but_do_not_hide_a_stall(server, client):
    server.handler = trickles(STREAM_HEAD + chunk(EVENT + b": ping\n\n"), chunk(b": ping\n\n"))
    comments = []
    timeouts = limits(idle=IN_TIME_SECONDS, idle_event=LIMIT_WITH_EVENTS)
    stream = post(client, timeouts=timeouts, on_comment=comments.append)
    error = times_out(stream, IdleEventTimeoutError, LIMIT_WITH_EVENTS)
    assert (texts(error.events), error.last_event_id) == (["a"], "7")
    assert comments


def test_an_event_that_never_ends_is_a_stall(server, client):
    server.handler = trickles(STREAM_HEAD + chunk(EVENT + b"data: b\n"), chunk(b"data: b\n"))
    timeouts = limits(idle=IN_TIME_SECONDS, idle_event=LIMIT_WITH_EVENTS)
    error = times_out(post(client, timeouts=timeouts), IdleEventTimeoutError, LIMIT_WITH_EVENTS)
    assert error.cut_event.startswith(b"data: b\n")


def test_the_time_that_the_caller_takes_does_not_count(server, client):
    server.handler = streams(b"data: a\n\n", b"data: b\n\n", DONE)
    timeouts = limits(idle=LIMIT_WITH_EVENTS, idle_event=LIMIT_WITH_EVENTS)
    with post(client, timeouts=timeouts) as stream:
        for _ in stream:
            time.sleep(1.1 * LIMIT_WITH_EVENTS)
        assert stream.ending is Ending.COMPLETE


# The whole stream.

TRICKLES = {
    "in-the-status-line": trickles(b"HTTP/1.1 200 ", b"O"),
    "in-the-head": trickles(head()[:-2], b"X-Y: z\r\n"),
    "in-a-header": trickles(b"HTTP/1.1 200 OK\r\nX-Y: ", b"z"),
    "in-the-size-of-a-chunk": trickles(STREAM_HEAD + chunk(EVENT), b"0"),
    "in-an-extension-of-a-chunk": trickles(STREAM_HEAD + chunk(EVENT) + b"9;", b"x"),
    "in-an-event": trickles(STREAM_HEAD + chunk(EVENT), chunk(b"x")),
    "in-a-chunk": trickles(STREAM_HEAD + chunk(EVENT) + b"ffff\r\n", b"x"),
    "in-the-trailers": trickles(STREAM_HEAD + chunk(EVENT) + b"0\r\n", b"x"),
    "with-events": trickles(STREAM_HEAD, chunk(EVENT)),
    "in-json": trickles(head(Content_Type="application/json") + b"[", b" "),
    "in-white-space": trickles(head(), b" "),
}


@pytest.mark.parametrize("handler", TRICKLES.values(), ids=TRICKLES)
def test_the_total_limit_applies_to_a_trickle(server, client, handler):
    server.handler = handler
    timeouts = Timeouts(total_seconds=LIMIT)
    times_out(post(client, timeouts=timeouts), TotalTimeoutError)


def test_the_total_limit_applies_to_a_flood(server, client):
    def floods(sock, request):
        sock.sendall(STREAM_HEAD)
        while True:
            sock.sendall(chunk(b": ping\n\n") * 1000)

    server.handler = floods
    times_out(post(client, timeouts=limits(total=LIMIT)), TotalTimeoutError)


def test_a_refusal_that_trickles_is_raised_when_the_total_limit_is_reached(server, client):
    server.handler = trickles(head("500 Oh", Content_Length=9999), b"x")
    started_at = time.monotonic()
    error = failure_of(post(client, timeouts=limits(total=LIMIT_WITH_EVENTS)))
    assert LIMIT_WITH_EVENTS <= time.monotonic() - started_at < IN_TIME_SECONDS
    # The status says more than a timeout would.
    assert isinstance(error, RefusedError)
    assert error.body.strip(b"x") == b""


def test_the_total_limit_applies_while_the_server_does_not_read_the_request():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = SSEClient(url, timeouts=limits(total=LIMIT))
        times_out(client.stream("POST", "/", json="x" * 50_000_000), TotalTimeoutError)


def test_the_defaults_are_those_of_an_answer():
    assert Timeouts().total_seconds == 360


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_that_is_not_above_0_is_refused(seconds):
    with pytest.raises(ValueError, match="idle_seconds takes seconds above 0 or None"):
        Timeouts(idle_seconds=seconds)


def test_the_client_can_wait_with_the_longest_limit(server, client, gate):
    # poll() accepts at most 2**31 milliseconds.
    gate.set()
    server.handler = streams_then_waits(gate, EVENT, DONE)
    assert texts(post(client, timeouts=limits(total=1e9))) == ["a"]
