"""How an answer ends: an incomplete answer is never taken for a complete one."""

import json
import socket

import pytest

from flask_sluice.client import (
    Ending,
    ErrorEventError,
    RefusedError,
    SSEClient,
    StreamClosedError,
    StreamEvent,
    TransportError,
    TruncatedError,
)
from flask_sluice.client.event import RecentEvents
from tests.client.answers import DONE, EVENT, failure_of, post, texts
from tests.server.raw_upstream import (
    STREAM_HEAD,
    RawUpstream,
    breaks_off,
    chunk,
    head,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.support.server import wait_until
from tests.support.stream import reset


def read_all(stream):
    """Read a stream that must be complete, and return its texts."""
    found = texts(stream)
    assert stream.ending is Ending.COMPLETE
    assert stream.error is None
    return found


# Complete.


def test_a_stream_is_complete_with_done_which_is_not_returned_as_an_event(server, client):
    server.handler = streams(EVENT, DONE)
    stream = post(client)
    assert read_all(stream) == ["a"]
    assert stream.event_count == 1
    assert texts(stream) == []


def test_a_stream_is_complete_with_the_event_named_done_which_is_returned(server, client):
    server.handler = streams(EVENT, b"event: done\ndata: b\n\n")
    assert read_all(post(client)) == ["a", "b"]


def test_a_stream_is_complete_when_done_when_says_so(server, client):
    server.handler = streams(EVENT, b"event: message_stop\ndata: b\n\n", b"data: c\n\n")
    stop = post(client, done_when=lambda event: event.event == "message_stop")
    assert read_all(stop) == ["a", "b"]


def test_without_a_terminal_event_the_proper_end_of_the_body_completes(server, client):
    server.handler = streams(EVENT)
    assert read_all(post(client, done_when=None)) == ["a"]


def test_the_connection_is_closed_with_the_terminal_event_whatever_the_server_does(server, client):
    server.handler = sends(STREAM_HEAD, chunk(DONE))
    stream = post(client)
    assert read_all(stream) == []
    wait_until(lambda: server.connections[0].closed_at)


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content"])
def test_no_content_ends_without_events(server, client, status):
    server.handler = sends(head(status))
    with post(client) as stream:
        assert texts(stream) == []
        assert stream.ending is Ending.NO_CONTENT


# Not complete.

CUTS = {
    "in-a-line": b"data: b",
    "behind-a-line": b"data: b\n",
    "behind-an-id": b"id: 8\r\n",
    "in-the-name-of-a-field": b"da",
    "in-a-json-object": b'data: {"a": {}',
    "behind-a-number": b"data: 1\n",
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_cut_inside_an_event_is_reported_with_its_bytes(server, client, cut):
    server.handler = streams(EVENT, cut)
    error = failure_of(post(client))
    assert isinstance(error, TruncatedError)
    assert (error.ending, error.cut_event) == (Ending.CUT_IN_EVENT, cut)
    assert error.last_event_id == "7"


@pytest.mark.parametrize("rest", [b"", b": ping\n", b": pi", b"\n\r\n", b"id: 8\n\n"])
def test_a_proper_end_without_the_terminal_event_is_an_error(server, client, rest):
    server.handler = streams(EVENT, rest) if rest else streams(EVENT)
    error = failure_of(post(client))
    assert isinstance(error, TruncatedError)
    assert (error.ending, error.cut_event) == (Ending.NO_TERMINAL_EVENT, b"")


def test_a_body_without_length_and_chunks_is_never_complete_by_its_end(server, client):
    server.handler = sends_and_closes(head(Content_Type="text/event-stream") + EVENT)
    assert failure_of(post(client, done_when=None)).ending is Ending.NO_TERMINAL_EVENT


def resets(sock: socket.socket, request: bytes) -> None:
    sock.sendall(STREAM_HEAD + chunk(EVENT) + chunk(b"data: b"))
    reset(sock)


BREAKS = {
    "behind-an-event": (breaks_off(EVENT), b""),
    "in-an-event": (breaks_off(EVENT, b"data: b"), b"data: b"),
    "in-a-chunk": (sends_and_closes(STREAM_HEAD, chunk(EVENT), b"ff\r\ndata"), b"data"),
    "in-the-size-of-a-chunk": (sends_and_closes(STREAM_HEAD, chunk(EVENT), b"f"), b""),
    "with-a-reset": (resets, b"data: b"),
    "not-a-chunk": (sends(STREAM_HEAD, chunk(EVENT), b"data: b\n\n\r\n"), b""),
    "before-its-length": (
        sends_and_closes(head(Content_Type="text/event-stream", Content_Length=99) + EVENT),
        b"",
    ),
}


@pytest.mark.parametrize(("handler", "cut"), BREAKS.values(), ids=BREAKS)
def test_a_connection_that_breaks_is_a_transport_error(server, client, handler, cut):
    server.handler = handler
    error = failure_of(post(client, done_when=None))
    assert type(error) is TransportError
    assert (texts(error.events), error.last_event_id) == (["a"], "7")
    assert (error.ending, error.cut_event) == (Ending.TRANSPORT_ERROR, cut)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH_9\r\n", head()[:-2], b"HTTP/2 200\r\n\r\n"]
)
def test_a_response_with_an_incomplete_head_is_a_transport_error(server, client, answer):
    server.handler = sends_and_closes(answer)
    assert type(failure_of(post(client))) is TransportError


def test_a_failure_has_the_events_so_far_and_is_raised_again(server, client):
    server.handler = streams(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\n\n")
    stream = post(client)
    error = failure_of(stream)
    assert [(event.id, event.data) for event in error.events] == [("1", "a"), ("2", "b")]
    assert (error.event_count, error.last_event_id) == (2, "3")
    assert stream.error is error
    assert failure_of(stream) is error


def test_empty_events_do_not_fill_the_memory():
    history = RecentEvents()
    for _ in range(100_000):
        history.add(StreamEvent(""))
    assert len(history.events()) < 30_000
    assert history.count == 100_000


@pytest.mark.parametrize("field", ["event", "id"])
def test_long_names_and_ids_do_not_fill_the_memory(field):
    history = RecentEvents()
    for number in range(6):
        history.add(StreamEvent("", **{field: f"{number}" + "x" * (1 << 20)}))
    assert len(history.events()) == 3


def test_the_last_4_mib_of_a_long_stream_are_remembered():
    history = RecentEvents()
    for number in range(6):
        history.add(StreamEvent(f"{number}" + "x" * (1 << 20)))
    assert [event.data[0] for event in history.events()] == ["3", "4", "5"]
    assert history.count == 6


def test_an_interrupted_read_leaves_the_stream_closed(server, client):
    # Ctrl-C does the same; the rest of the connection would look like a proper end.
    server.handler = streams(b": ping\n", EVENT)

    def interrupts(comment):
        raise KeyboardInterrupt

    stream = post(client, done_when=None, on_comment=interrupts)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    with pytest.raises(StreamClosedError):
        next(stream)


def test_leaving_the_with_block_early_closes_the_connection(server, client):
    server.handler = sends(STREAM_HEAD, chunk(EVENT))
    with post(client) as stream:
        next(stream)
    wait_until(lambda: server.connections[0].closed_at)
    assert stream.ending is Ending.CLOSED


# Errors in the stream.

ERROR_EVENTS = {
    "openai": (
        b'data: {"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}\n\n',
        ("c", "m"),
    ),
    "openai-with-a-number": (b'data: {"error": {"message": "m", "code": 500}}\n\n', ("500", "m")),
    "ollama": (b'data: {"error": "m"}\n\n', ("error_event", "m")),
    "eventsource": (
        b': m\nevent: error\ndata: {"error": {"message": "m", "code": "c"}}\n\n',
        ("c", "m"),
    ),
    "anthropic": (
        b'event: error\ndata: {"type": "error", "error": {"type": "t", "message": "m"}}\n\n',
        ("t", "m"),
    ),
    "responses": (
        b'event: error\ndata: {"type": "error", "code": "c", "message": "m", "param": null}\n\n',
        ("c", "m"),
    ),
    "responses-without-a-name": (
        b'data: {"type": "error", "code": "c", "message": "m"}\n\n',
        ("c", "m"),
    ),
    "responses-failed": (
        b'event: response.failed\ndata: {"type": "response.failed", "response": '
        b'{"status": "failed", "error": {"code": "c", "message": "m"}}}\n\n',
        ("c", "m"),
    ),
    "vllm": (
        b'data: {"object": "error", "message": "m", "type": "t", "code": 400}\n\n',
        ("400", "m"),
    ),
    "openrouter": (
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}], '
        b'"error": {"code": 502, "message": "m"}}\n\n',
        ("502", "m"),
    ),
    "finish-reason-alone": (
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}\n\n',
        ("error_event", "the server ended the answer with finish_reason error"),
    ),
    "named-error-with-bare-json": (
        b'event: error\ndata: {"message": "m", "code": "c"}\n\n',
        ("c", "m"),
    ),
    "message-is-a-list": (b'data: {"error": {"message": ["m"], "code": "c"}}\n\n', ("c", '["m"]')),
    "named-error-with-text": (b"event: error\ndata: m\n\n", ("error_event", "m")),
    "named-error-with-nothing": (b"event: error\ndata\n\n", ("error_event", "unspecified error")),
}


@pytest.mark.parametrize(("event", "expected"), ERROR_EVENTS.values(), ids=ERROR_EVENTS)
def test_an_error_in_the_stream_is_raised_after_the_events_before_it(
    server, client, event, expected
):
    server.handler = sends(STREAM_HEAD, chunk(EVENT + event + DONE))
    stream = post(client)
    assert next(stream).data == "a"
    error = failure_of(stream)
    assert isinstance(error, ErrorEventError)
    assert (error.code, str(error)) == expected
    assert (stream.ending, stream.event_count) == (Ending.ERROR_EVENT, 1)
    wait_until(lambda: server.connections[0].closed_at)


@pytest.mark.parametrize(
    "data", ['{"error": null}', '{"a": {"error": "b"}}', '["error"]', '{"error"', '"error"']
)
def test_an_event_that_only_mentions_an_error_is_an_event(server, client, data):
    server.handler = streams(f"data: {data}\n\n".encode(), DONE)
    assert read_all(post(client)) == [data]


def test_an_error_in_a_json_body_of_status_200_is_an_error(server, client):
    server.handler = sends(whole(b'{"error": {"message": "m", "code": "c"}}'))
    assert failure_of(post(client)).code == "c"


@pytest.mark.parametrize("field", ["message", "code", "type"])
def test_a_long_error_is_shortened_and_says_so(server, client, field):
    details = {"message": "m", "code": None, field: "x" * 10_000_000}
    server.handler = streams(b"data: %s\n\n" % json.dumps({"error": details}).encode())
    error = failure_of(post(client))
    assert isinstance(error, ErrorEventError)
    assert getattr(error.error, field).endswith("… (shortened from 10,000,000 characters)")
    assert max(len(str(error)), len(error.code), len(getattr(error.error, field))) < 10_000


def test_a_long_text_of_an_event_named_error_is_shortened(server, client):
    server.handler = streams(b"event: error\ndata: " + b"x" * 10_000_000 + b"\n\n")
    assert str(failure_of(post(client))) == "x" * 200 + "…"


# Refusals.

REFUSAL = b'{"error": {"message": "no model x", "type": "t", "param": "model", "code": "no_model"}}'


def test_a_refusal_has_status_headers_and_the_error(server, client):
    server.handler = sends(whole(REFUSAL, "404 Not Found", X_Request_Id="r", Retry_After="7"))
    with pytest.raises(RefusedError) as raised, post(client):
        pass
    error = raised.value
    assert (error.status, error.headers["x-request-id"], error.body) == (404, "r", REFUSAL)
    assert (error.error.type, error.error.param) == ("t", "model")
    assert (error.code, str(error)) == ("no_model", "404 Not Found: no model x")
    assert (error.ending, error.retry_after_seconds) == (Ending.REFUSED, 7)
    wait_until(lambda: server.connections[0].closed_at)


@pytest.mark.parametrize("body", [b"", b"<h1>Bad\nGateway</h1>", b"[1]", b'{"error": {"a"'])
def test_the_body_of_a_refusal_without_an_error_object_is_quoted(server, client, body):
    server.handler = sends(whole(body, "502 Bad Gateway", Content_Type="text/html"))
    error = failure_of(post(client))
    assert (error.code, error.error, error.body) == ("status_502", None, body)
    assert str(error) == f"502 Bad Gateway: {' '.join(body.decode().split())}".removesuffix(": ")


def test_64_kib_of_the_body_of_a_refusal_are_read(server, client):
    server.handler = sends(head("500 Oh", Content_Length=1 << 30) + b"x" * 1_000_000)
    assert failure_of(post(client)).body == b"x" * 65536


def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(server, client):
    server.handler = sends_and_closes(head("500 Oh", Content_Length=99) + b"x")
    error = failure_of(post(client))
    assert (error.status, error.body) == (500, b"x")


@pytest.mark.parametrize("status", ["300 Choices", "304 Not Modified", "302 Found", "999 Odd"])
def test_any_status_but_2xx_is_a_refusal(server, client, status):
    server.handler = sends(head(status, Content_Length=0))
    assert failure_of(post(client)).status == int(status[:3])


class HastyServer(RawUpstream):
    """Sends a refusal after the first bytes of a request, and closes the connection."""

    def _read_request(self, connection):
        if connection.sock.recv(100):
            connection.sock.sendall(head("413 Too Large", Content_Length=0))
        return b""


def test_a_refusal_is_read_though_the_server_hung_up_before_it_had_the_whole_request():
    with HastyServer() as server:
        client = SSEClient(f"http://{server.host}")
        stream = client.stream("POST", "/", json={"text": "x" * 10_000_000})
        assert failure_of(stream).status == 413
