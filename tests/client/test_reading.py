"""Reading responses of every content type and framing, and the request that is sent."""

import json

import pytest

from flask_sluice.client import Ending, SSEClient, TransportError, TruncatedError
from tests.client.answers import DONE, failure_of, in_thread, post, streams_then_waits, texts
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.support.server import wait_until

# A byte order mark, each line end, a comment, several lines of data, characters of several bytes.
STREAM = (
    b"\xef\xbb\xbfid: 1\r\ndata: \xc3\xa9\r\n\r\n: ping\n\nevent: b\rdata: x\rdata: y\r\rid\ndata: "
    b"\xf0\x9f\x8c\x8a\n\ndata: [DONE]\n\n"
)
EVENTS = [("message", "é", "1"), ("b", "x\ny", "1"), ("message", "🌊", "")]


def seen(stream):
    return [(event.event, event.data, event.id) for event in stream]


# Event streams.


def test_events_are_the_same_wherever_chunks_cut_them(server, client):
    for place in range(1, len(STREAM)):
        server.handler = streams(STREAM[:place], STREAM[place:])
        assert seen(post(client)) == EVENTS


def test_events_are_the_same_wherever_packets_cut_the_response(server, client):
    answer = b"".join([STREAM_HEAD, *[chunk(STREAM[i : i + 7]) for i in range(0, len(STREAM), 7)]])
    answer += LAST_CHUNK
    server.handler = sends(*[bytes([byte]) for byte in answer])
    assert seen(post(client)) == EVENTS


@pytest.mark.parametrize(
    "response",
    [
        whole(STREAM, Content_Type="text/event-stream"),
        head(Content_Type="TEXT/Event-Stream ; charset=utf-8") + STREAM,
        head(Transfer_Encoding="chunked") + chunk(b" \n") + chunk(STREAM[3:]) + LAST_CHUNK,
        head("207 Multi-Status", Content_Type="text/event-stream") + STREAM,
    ],
    ids=["with-a-length", "up-to-the-end-of-the-connection", "without-a-type", "another-2xx"],
)
def test_an_event_stream_is_read_however_it_is_framed(server, client, response):
    server.handler = sends_and_closes(response)
    assert seen(post(client)) == EVENTS


def test_an_event_is_returned_when_it_arrives(server, client, gate):
    server.handler = streams_then_waits(gate, b"data: a\n\n", DONE)
    with post(client) as stream:
        assert next(stream).data == "a"
        assert stream.ending is None
        gate.set()
        assert texts(stream) == []


def test_comments_are_reported_when_they_arrive(server, client, gate):
    server.handler = streams_then_waits(gate, b": ping\n", b"\n" + DONE)
    comments = []
    thread, results = in_thread(lambda: texts(post(client, on_comment=comments.append)))
    wait_until(lambda: comments == ["ping"])
    gate.set()
    thread.join()
    assert results == [[]]


def test_status_and_headers_are_known_before_the_first_event(server, client):
    server.handler = sends(head("201 Created", Content_Type="text/event-stream", X_Request_Id="r"))
    opened = []
    with post(client, on_open=lambda *answer: opened.append(answer)) as stream:
        assert (stream.status, stream.headers["x-request-id"]) == (201, "r")
    assert opened == [(201, stream.headers)]


def test_an_event_of_8_mib_is_read(server, client):
    server.handler = streams(b"data: " + b"x" * (8 << 20) + b"\n\n", DONE)
    assert [len(text) for text in texts(post(client))] == [8 << 20]


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "application/x-ndjson"])
def test_an_event_larger_than_max_event_bytes_is_refused(server, kind):
    body = b'data: ["' + b"x" * 1000 + b'"]\n\n'
    if kind != "text/event-stream":
        body = body.removeprefix(b"data: ").rstrip()
    server.handler = sends(whole(body, Content_Type=kind))
    client = SSEClient(f"http://{server.host}", max_event_bytes=999)
    assert "max_event_bytes=999" in str(failure_of(post(client)))


def test_json_of_data_that_is_not_json_raises_a_value_error_that_quotes_it(server, client):
    server.handler = streams(b'data: {"a": 1}\n\ndata: {"a"\n\n', DONE)
    first, second = post(client)
    assert first.json() == {"a": 1}
    with pytest.raises(ValueError, match=r"""not JSON: '{"a"'"""):
        second.json()


# JSON.

DOCUMENT = b'{"choices": [{"message": {"content": "\xc3\xa9"}}]}'


@pytest.mark.parametrize(
    "response",
    [
        whole(DOCUMENT),
        whole(DOCUMENT, Content_Type="Application/JSON; charset=utf-8"),
        whole(DOCUMENT, Content_Type="application/vnd.api+json"),
        whole(b"\xef\xbb\xbf" + DOCUMENT),
        head(Transfer_Encoding="chunked") + chunk(b"\r\n\t ") + chunk(DOCUMENT) + LAST_CHUNK,
        head(Content_Type="application/json") + DOCUMENT,
    ],
    ids=["plain", "with-charset", "with-suffix", "with-bom", "without-a-type", "without-a-length"],
)
def test_a_json_body_is_one_event_with_the_id_minus_one(server, client, response):
    server.handler = sends_and_closes(response)
    stream = post(client)
    (event,) = stream
    assert event.json() == json.loads(DOCUMENT)
    assert (event.event, event.id) == ("message", "-1")
    assert (stream.ending, stream.last_event_id) == (Ending.COMPLETE, "")


def test_the_search_for_a_missing_content_type_ends_after_64_kib(server, client):
    server.handler = sends(head(Content_Length=200_007) + b" " * 200_000 + b'{"a":1}')
    assert failure_of(post(client)).ending is Ending.CUT_IN_EVENT


def test_an_array_without_a_content_type_is_json(server, client):
    server.handler = sends(head(Content_Length=5) + b" [1] ")
    assert [event.json() for event in post(client)] == [[1]]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (head(Content_Type="application/json", Content_Length=99) + DOCUMENT[:20], TransportError),
        (whole(DOCUMENT[:20]), TruncatedError),
        (head(Content_Type="application/json") + DOCUMENT[:20], TruncatedError),
    ],
    ids=["connection-broke", "framed-as-if-whole", "without-a-length"],
)
def test_a_json_body_that_is_cut_is_reported_with_its_bytes(server, client, response, error):
    server.handler = sends_and_closes(response)
    failure = failure_of(post(client))
    assert type(failure) is error
    assert failure.cut_event == DOCUMENT[:20]


def test_an_empty_json_body_is_an_error(server, client):
    server.handler = sends(whole(b""))
    assert failure_of(post(client)).ending is Ending.NO_TERMINAL_EVENT


# JSON, one document a line.


@pytest.mark.parametrize(
    "kind", ["application/x-ndjson", "application/jsonl", "application/stream+json; charset=utf-8"]
)
def test_each_line_of_ndjson_is_an_event(server, client, kind):
    server.handler = sends(whole(b'{"a":1}\r\n\n{"a":2}', Content_Type=kind))
    stream = post(client, done_when=None)
    assert [event.json() for event in stream] == [{"a": 1}, {"a": 2}]
    assert stream.ending is Ending.COMPLETE


def test_a_line_of_ndjson_is_returned_when_it_arrives(server, client, gate):
    def handler(sock, request):
        sock.sendall(head(Content_Type="application/x-ndjson") + b'{"a":1}\n{"a"')
        gate.wait()
        sock.sendall(b':2,"done":true}\n')

    server.handler = handler
    with post(client) as stream:
        assert next(stream).json() == {"a": 1}
        gate.set()
        assert [event.json() for event in stream] == [{"a": 2, "done": True}]
        assert stream.ending is Ending.COMPLETE


@pytest.mark.parametrize(
    ("body", "cut"), [(b'{"a":1,"done":false}\n', b""), (b'{"a":1}\n{"a"', b'{"a"')]
)
def test_ndjson_without_its_last_line_is_truncated(server, client, body, cut):
    server.handler = sends(whole(body, Content_Type="application/x-ndjson"))
    error = failure_of(post(client))
    assert isinstance(error, TruncatedError)
    assert (len(error.events), error.cut_event) == (1, cut)


# The request.


def test_the_request_is_json_with_the_headers_of_client_and_call(server):
    server.handler = streams(DONE)
    client = SSEClient(f"{server.url}/", headers={"Authorization": "Bearer k", "X-A": "1"})
    texts(client.stream("POST", "/chat", json={"a": "é"}, headers={"x-a": "2"}))
    (request,) = server.requests
    headers = headers_of(request)
    assert request.startswith(b"POST /v1/chat HTTP/1.1\r\n")
    assert request.endswith('\r\n\r\n{"a":"é"}'.encode())
    assert headers["content-type"] == "application/json"
    assert headers["host"] == server.host
    assert headers["accept"].startswith("text/event-stream")
    assert (headers["authorization"], headers["x-a"]) == ("Bearer k", "2")


def test_a_request_has_the_headers_of_an_eventsource(server, client):
    server.handler = streams(DONE)
    texts(client.stream("GET", "/"))
    headers = headers_of(server.requests[0])
    assert (headers["accept"], headers["cache-control"]) == ("text/event-stream", "no-cache")


@pytest.mark.parametrize("name", ["Accept", "CACHE-CONTROL"])
def test_the_callers_headers_replace_those_of_the_client(server, name):
    server.handler = streams(DONE)
    client = SSEClient(f"http://{server.host}", headers={name: "mine"})
    texts(client.stream("GET", "/"))
    assert headers_of(server.requests[0])[name.lower()] == "mine"
    assert server.requests[0].lower().count(name.lower().encode() + b":") == 1


def test_nothing_is_sent_before_the_stream_is_entered_or_read(server, client):
    post(client)
    assert server.connections == []


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://", "http://u:p@host"])
def test_a_base_url_that_is_not_valid_is_refused(url):
    with pytest.raises(ValueError, match="URL"):
        SSEClient(url)
