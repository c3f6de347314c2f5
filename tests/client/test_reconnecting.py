"""Reconnecting: after which failures, with which request, and how often."""

import random
import time
from dataclasses import dataclass, field

import pytest

from flask_sluice.client import (
    NEVER,
    ConnectError,
    Ending,
    ErrorEventError,
    FirstEventTimeoutError,
    Reconnect,
    RefusedError,
    Timeouts,
    TotalTimeoutError,
    TransportError,
)
from tests.client.answers import DONE, EVENT, failure_of, in_thread, in_turn, post, texts
from tests.server.raw_upstream import (
    STREAM_HEAD,
    breaks_off,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.support.server import wait_until

REST = streams(b"id: 8\ndata: b\n\n", DONE)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    """Removes the random part of the waits; where a test needs a wait, the server asks for it."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)


@dataclass(frozen=True)
class Observed(Reconnect):
    """A policy that records the attempts."""

    attempts: list[int] = field(default_factory=list)

    def delay_seconds(self, attempt, retry_ms, asked_seconds):
        self.attempts.append(attempt)
        return super().delay_seconds(attempt, retry_ms, asked_seconds)


def get(client, **options):
    return client.stream("GET", "/", **options)


def last_event_ids(server):
    return [headers_of(request).get("last-event-id") for request in server.requests]


# Streams that are continued.

BREAKS = {
    "broken-connection": breaks_off(EVENT),
    "no-terminal-event": streams(EVENT),
    "cut-in-an-event": streams(EVENT, b"id: 9\ndata: b\n"),
    "silence": sends(STREAM_HEAD, chunk(EVENT)),
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_a_get_continues_after_its_last_event(server, client, broken):
    server.handler = in_turn(broken, REST)
    stream = get(client, timeouts=Timeouts(idle_seconds=1, total_seconds=10))
    assert texts(stream) == ["a", "b"]
    assert last_event_ids(server) == [None, "7"]
    assert (stream.ending, stream.last_event_id) == (Ending.COMPLETE, "8")


@pytest.mark.parametrize(
    "failing",
    [
        sends_and_closes(),
        sends(whole(b"{}", "503 Busy")),
        sends(whole(b"{}", "502 Bad Gateway", Retry_After="0")),
        sends(STREAM_HEAD),
    ],
    ids=["no-answer", "503", "502", "no-first-event"],
)
def test_a_get_that_failed_before_its_first_event_is_tried_again(server, client, failing):
    server.handler = in_turn(failing, REST)
    stream = get(client, timeouts=Timeouts(first_event_seconds=1, total_seconds=10))
    with stream:
        assert texts(stream) == ["b"]
    assert last_event_ids(server) == [None, None]


def test_a_connection_that_is_refused_is_tried_again(server, client):
    policy = Observed(max_tries=3)
    server.stop()
    assert isinstance(failure_of(get(client, reconnect=policy)), ConnectError)
    assert policy.attempts == [1, 2, 3]


def test_the_last_event_id_is_sent_in_utf_8(server, client):
    server.handler = in_turn(breaks_off("id: é🌊\ndata: a\n\n".encode()), REST)
    texts(get(client))
    assert last_event_ids(server)[1].encode("latin-1").decode() == "é🌊"


def test_the_id_of_an_event_without_data_counts(server, client):
    server.handler = in_turn(breaks_off(EVENT, b"id: 7b\n\n"), REST)
    texts(get(client))
    assert last_event_ids(server) == [None, "7b"]


def test_the_id_of_an_event_without_data_counts_before_the_first_event(server, client):
    server.handler = in_turn(breaks_off(b"id: 3\n\n"), REST)
    texts(get(client))
    assert last_event_ids(server) == [None, "3"]


def test_an_event_that_was_not_returned_is_requested_again(server, client):
    # When the caller stops, the client has received the second event as well.
    server.handler = sends(STREAM_HEAD, chunk(EVENT + b"id: 8\ndata: b\n\n"))
    with get(client) as stream:
        next(stream)
        assert stream.last_event_id == "7"


def test_an_earlier_stream_can_be_continued(server, client):
    server.handler = REST
    assert texts(get(client, last_event_id="7")) == ["b"]
    assert last_event_ids(server) == ["7"]


DRAINING = b'event: error\nretry: 1\ndata: {"error": {"message": "m", "code": "draining"}}\n\n'


def test_the_client_reconnects_after_an_error_event_with_a_retry(server, client):
    server.handler = in_turn(streams(EVENT, DRAINING), REST)
    assert texts(get(client)) == ["a", "b"]


def test_the_first_event_has_a_limit_on_each_connection(server, client):
    # The idle limits apply only from the first event of a connection on.
    both = STREAM_HEAD + chunk(EVENT) + chunk(DRAINING)
    server.handler = in_turn(sends(both), sends(STREAM_HEAD))
    timeouts = Timeouts(first_event_seconds=2, idle_seconds=1, total_seconds=10)
    error = failure_of(get(client, timeouts=timeouts, reconnect=Reconnect(max_tries=1)))
    assert isinstance(error, FirstEventTimeoutError)


# Streams that are not continued.


def test_a_post_is_never_sent_twice(server, client):
    server.handler = in_turn(breaks_off(EVENT), REST)
    assert isinstance(failure_of(post(client)), TransportError)
    assert len(server.requests) == 1


def test_a_post_is_sent_again_with_a_policy_for_reconnecting(server, client):
    server.handler = in_turn(breaks_off(EVENT), REST)
    assert texts(post(client, reconnect=Reconnect())) == ["a", "b"]
    assert [request.rpartition(b"\r\n")[2] for request in server.requests] == [
        b'{"question":"?"}'
    ] * 2


def test_a_get_without_a_policy_is_not_repeated(server, client):
    server.handler = breaks_off(EVENT)
    assert isinstance(failure_of(get(client, reconnect=NEVER)), TransportError)
    assert len(server.requests) == 1


def test_a_stream_without_ids_is_not_started_again(server, client):
    server.handler = in_turn(breaks_off(b"data: a\n\n"), REST)
    error = failure_of(get(client))
    assert texts(error.events) == ["a"]
    assert len(server.requests) == 1


def test_a_feed_without_ids_is_started_again_if_the_policy_says_so(server, client):
    server.handler = in_turn(breaks_off(b"data: a\n\n"), REST)
    assert texts(get(client, reconnect=Reconnect(without_ids=True))) == ["a", "b"]


FINAL = {
    "404": (sends(whole(b"{}", "404 Gone")), RefusedError),
    "500": (sends(whole(b"{}", "500 Oh")), RefusedError),
    "error-event": (streams(b"event: error\ndata: m\n\n"), ErrorEventError),
}


@pytest.mark.parametrize(("handler", "error_type"), FINAL.values(), ids=FINAL)
def test_a_permanent_failure_ends_the_stream_with_the_events_so_far(
    server, client, handler, error_type
):
    server.handler = in_turn(breaks_off(EVENT), handler)
    error = failure_of(get(client))
    assert isinstance(error, error_type)
    assert (texts(error.events), error.last_event_id) == (["a"], "7")
    assert len(server.requests) == 2


def test_a_204_at_a_reconnection_ends_the_stream(server, client):
    server.handler = in_turn(breaks_off(EVENT), sends(head("204 No Content")))
    stream = get(client)
    assert texts(stream) == ["a"]
    assert (stream.ending, stream.error) == (Ending.NO_CONTENT, None)


def test_an_error_event_that_a_204_follows_was_the_end_and_no_success(server, client):
    server.handler = in_turn(streams(EVENT, DRAINING), sends(head("204 No Content")))
    error = failure_of(get(client))
    assert isinstance(error, ErrorEventError)
    assert error.error.code == "draining"
    assert len(server.requests) == 2


def test_the_client_does_not_reconnect_after_the_total_limit(server, client):
    server.handler = sends(STREAM_HEAD, chunk(EVENT))
    error = failure_of(get(client, timeouts=Timeouts(total_seconds=1)))
    assert isinstance(error, TotalTimeoutError)
    assert len(server.requests) == 1


# How often, and when.


def test_consecutive_tries_are_limited(server, client):
    server.handler = breaks_off()
    assert isinstance(failure_of(get(client, reconnect=Reconnect(max_tries=3))), TransportError)
    assert len(server.requests) == 4


def test_an_event_resets_the_count_of_tries(server, client):
    server.handler = in_turn(*[breaks_off(), breaks_off(EVENT)] * 3, REST)
    assert texts(get(client, reconnect=Reconnect(max_tries=2))) == ["a", "a", "a", "b"]


def test_the_client_waits_for_the_retry_of_the_stream(server, client):
    server.handler = in_turn(breaks_off(b"retry: 100\n" + EVENT), REST)
    started_at = time.monotonic()
    assert texts(get(client)) == ["a", "b"]
    assert time.monotonic() - started_at >= 0.1


def test_a_retry_without_an_event_applies_from_then_on(server, client):
    server.handler = in_turn(breaks_off(b"retry: 60\n\n"), breaks_off(), REST)
    started_at = time.monotonic()
    assert texts(get(client)) == ["b"]
    assert time.monotonic() - started_at >= 2 * 0.06


@pytest.mark.parametrize("failing", ["retry", "retry-after"])
def test_the_client_does_not_wait_beyond_the_total_limit(server, client, failing):
    server.handler = {
        "retry": breaks_off(b"retry: 999999999999999\n" + EVENT),
        "retry-after": sends(whole(b"{}", "429 Slow down", Retry_After="3600")),
    }[failing]
    started_at = time.monotonic()
    error = failure_of(get(client))
    assert time.monotonic() - started_at < 5
    if failing == "retry-after":
        assert (error.status, error.retry_after_seconds) == (429, 3600)


def test_close_ends_the_wait_for_the_next_try(server, client):
    server.handler = breaks_off(b"retry: 9000\n" + EVENT)
    policy = Observed()
    stream = get(client, reconnect=policy)
    thread, results = in_thread(lambda: texts(stream))
    wait_until(lambda: policy.attempts)
    stream.close()
    thread.join(5)
    assert [error.ending for error in results] == [Ending.CLOSED]


# What a server can ask for.


@pytest.mark.parametrize("digits", [20, 400, 4300, 5000])
def test_a_retry_of_many_digits_is_no_failure_of_the_client(server, client, digits):
    retry = b"retry: " + b"9" * digits + b"\n"
    server.handler = in_turn(breaks_off(retry + EVENT), REST)
    policy = Observed(max_tries=1)
    stream = get(client, reconnect=policy, timeouts=Timeouts(total_seconds=10))
    if digits > 4300:  # CPython reads no number of more digits, so this one is ignored.
        assert texts(stream) == ["a", "b"]
        return
    # The wait would be longer than the limit of the stream.
    assert type(failure_of(stream)) is TransportError
    assert policy.attempts == [1]


@pytest.mark.parametrize(
    "retry_after",
    ["9" * 400, "-1", "1e9", "Fri, 13 Feb 100000000000000000000 23:31:40 GMT", "soon"],
)
def test_no_retry_after_is_a_failure_of_the_client(server, client, retry_after):
    server.handler = sends(whole(b"{}", "429 Slow Down", Retry_After=retry_after))
    error = failure_of(get(client, reconnect=NEVER))
    assert isinstance(error, RefusedError)
    assert error.retry_after_seconds in (None, 86_400)


def test_a_retry_after_that_was_sent_twice_counts_once(server, client):
    twice = whole(b"{}", "429 Slow Down", Retry_After="7").replace(
        b"Content-Length", b"retry-after: 7\r\nContent-Length"
    )
    server.handler = sends(twice)
    assert failure_of(get(client, reconnect=NEVER)).retry_after_seconds == 7
