"""An upstream misbehaves: its own client gets an error, and no other stream is affected."""

import gzip
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Handler,
    RawUpstream,
    chunk,
    head,
    sends,
    streams,
    whole,
)
from tests.server.relayed import ANSWER, DONE, HELLO, PATH, STOP
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, post
from tests.system.bystanders import Bystanders, check_log

MIB = 1024 * 1024
TIMEOUT_SECONDS = 2


@pytest.fixture(scope="module")
def server(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(
        "tests.system.attacked_app:app",
        upstream=raw_upstream.url,
        first_event_timeout_seconds=TIMEOUT_SECONDS,
        idle_timeout_seconds=20,
        streams_per_client=1000,
    ) as server:
        yield server
        check_log(server.log)


@pytest.fixture(scope="module")
def others(server: Server, raw_upstream: RawUpstream) -> Iterator[Bystanders]:
    raw_upstream.handler = streams(ANSWER)
    with server.connect() as sock:
        sock.sendall(
            post("/v1/streams", chat())
        )  # The first one makes the objects that keep histories, and they stay.
        Response(sock).body()
    with Bystanders(server, idle_connections=3) as others:
        yield others


def ask(server: Server, **fields: object) -> tuple[Response, bytes]:
    with server.connect() as sock:
        sock.sendall(post(PATH, chat(**fields)))
        response = Response(sock)
        return response, response.body()


def code_of(server: Server) -> tuple[int, str]:
    """Return status and code of a refusal, or of the error event at a stream's end."""
    response, body = ask(server)
    _, mark, code = body.rpartition(b'"code":"')
    assert mark, body
    return response.status, code.partition(b'"')[0].decode()


def forever(first: bytes, again: bytes) -> Handler:
    """Send faster than the relay reads, until the connection is closed."""

    def handler(sock: socket.socket, request: bytes) -> None:
        sock.sendall(first)
        while True:
            sock.sendall(again)

    return handler


# Parts that never end.

ENDLESS = {
    "informational-responses": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
    "headers-that-say-the-same": forever(b"HTTP/1.1 200 OK\r\n", b"a:\r\n" * 10_000),
    "headers": forever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000),
    "a-header": forever(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 60_000),
    "a-chunk-extension": forever(STREAM_HEAD + b"5;", b"x" * 60_000),
    "an-event": forever(STREAM_HEAD, chunk(b"x" * 60_000)),
    "comments": forever(STREAM_HEAD, chunk(b":\n\n" * 20_000)),
    "comments-without-blank-lines": forever(STREAM_HEAD, chunk(b":\n" * 20_000)),
    "blank-lines": forever(STREAM_HEAD, chunk(b"\n" * 60_000)),
    "blank-lines-of-cr": forever(STREAM_HEAD, chunk(b"\r" * 60_000)),
    "pings": forever(STREAM_HEAD, chunk(b"event: ping\ndata: {}\n\n" * 2000)),
    "an-event-of-lines-with-cr": forever(STREAM_HEAD, chunk(b"data:\r" * 10_000)),
    "an-event-that-always-seems-to-end": forever(STREAM_HEAD, chunk(b"x[DONE]")),
    "an-event-of-many-lines": forever(STREAM_HEAD, chunk(b"data: x\n" * 8000)),
    "an-event-in-chunks-of-one-byte": forever(STREAM_HEAD, chunk(b"x") * 10_000),
    "an-event-in-chunks-with-extensions": forever(
        STREAM_HEAD, (b"1;" + b"e" * 4000 + b"\r\nx\r\n") * 10
    ),
}


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("answer", ENDLESS)
def test_what_never_ends_is_given_up_and_disturbs_nobody(server, others, upstream, answer):
    upstream.handler = ENDLESS[answer]
    codes: list[tuple[int, str]] = []
    with others.undisturbed():
        threads = [threading.Thread(target=lambda: codes.append(code_of(server))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(codes) == 2
    assert set(codes) <= {(502, "upstream_invalid"), (504, "upstream_timeout")}


def test_trailers_without_end_are_no_http(server, upstream):
    upstream.handler = forever(STREAM_HEAD + chunk(HELLO) + b"0\r\n", b"X: y\r\n" * 1000)
    assert code_of(server) == (200, "upstream_invalid")


# Answers that end, and are much work to read.


def many_empty_objects() -> bytes:
    return b",".join([b"{}"] * (5 * MIB))


# Made when they are sent: together they are half a gigabyte.
LABORIOUS = {
    "an-error-with-millions-of-values": lambda: (
        b'data: {"error":{"message":"no"},"a":[%s]}\n\n' % many_empty_objects()
    ),
    "an-error-of-millions-of-values": lambda: b'data: {"error":[%s]}\n\n' % many_empty_objects(),
    "millions-of-choices": lambda: b'data: {"choices":[%s]}\n\n' % many_empty_objects(),
    "millions-of-values-that-are-no-json": lambda: b'data: {"a":[%s]\n\n' % many_empty_objects(),
    "a-picture": lambda: (
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"A" * 15 * MIB)
    ),
    "a-text-of-escapes": lambda: (
        b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"\\n" * 7 * MIB)
    ),
    "a-number": lambda: b'data: {"usage":%s}\n\n' % (b"9" * 15 * MIB),
    "empty-events": lambda: b"data:\n\n" * (MIB // 8),
    "events-without-json": lambda: b"data: x\n\n" * (MIB // 8),
    "tiny-objects": lambda: b"data: {}\n\n" * (MIB // 8),
    "tiny-chunks-of-choices": lambda: (
        b'data: {"choices":[{"finish_reason":"a"}]}\n\n' * (MIB // 16)
    ),
    "sequence-numbers": lambda: (
        b'event: response.x\ndata: {"type":"response.x","sequence_number":1}\n\n' * (MIB // 16)
    ),
}


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("answer", LABORIOUS)
def test_what_is_much_work_to_read_disturbs_nobody(server, others, upstream, answer):
    body = LABORIOUS[answer]()
    upstream.handler = sends(STREAM_HEAD, b"%x\r\n" % len(body), body, b"\r\n", LAST_CHUNK)
    with others.undisturbed():
        response, received = ask(server)
    assert response.status in (200, 502)
    # All of it, or that it is an error; and never a success that was not one.
    assert received.startswith(body) or b'"error"' in received
    assert "error" not in answer or response.status == 502


def test_an_event_over_the_limit_is_refused_and_the_limit_is_named(server, upstream):
    upstream.handler = streams(HELLO, b"data: " + b"x" * 17 * MIB + b"\n\n")
    _, body = ask(server)
    assert body.startswith(HELLO)
    assert b"SLUICE_MAX_EVENT_BYTES=16777216" in body


@pytest.mark.slow
def test_all_unfinished_events_together_have_a_limit(upstream):
    whole_event = b"data: " + b"x" * (MIB - 10) + b"\n\n"
    may_end = threading.Event()

    def handler(sock: socket.socket, request: bytes) -> None:
        sock.sendall(STREAM_HEAD + chunk(HELLO) + b"%x\r\n" % len(whole_event) + whole_event[:-1])
        may_end.wait(TIMEOUT_SECONDS * 5)
        sock.sendall(whole_event[-1:] + b"\r\n" + chunk(STOP + DONE) + LAST_CHUNK)

    upstream.handler = handler
    bodies: list[bytes] = []
    with Server(upstream=upstream.url, max_event_bytes=MIB) as server:
        threads = [
            threading.Thread(target=lambda: bodies.append(ask(server)[1])) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        # Those for which there is no room are told so while the others wait.
        wait_until(lambda: len(bodies) == 4)
        assert all(b"unfinished events of all streams together" in body for body in bodies)
        may_end.set()
        for thread in threads:
            thread.join()
        assert bodies[4:] == [HELLO + whole_event + STOP + DONE] * 8
        # All of it has been given back.
        assert ask(server)[1] == HELLO + whole_event + STOP + DONE


@pytest.mark.slow
def test_an_event_without_end_takes_16_mib_and_gives_them_back(server, upstream):
    upstream.handler = forever(STREAM_HEAD + chunk(HELLO), chunk(b"x" * 60_000))
    observer = Observer(server)
    before = observer.ask("/inspect")["resident_kib"]
    assert code_of(server) == (200, "upstream_invalid")
    wait_until(lambda: observer.ask("/inspect")["resident_kib"] < before + 32 * 1024)
    observer.close()


# Bodies that are compressed although the relay asked for plain ones.

BOMB = gzip.compress(bytes(64 * MIB))


def test_a_decompression_bomb_is_passed_on_as_it_is(server, upstream):
    upstream.handler = sends(whole(BOMB, Content_Encoding="gzip"))
    observer = Observer(server)
    before = observer.ask("/inspect")["resident_kib"]
    response, body = ask(server, stream=False)
    assert (response.headers["content-encoding"], body) == ("gzip", BOMB)
    assert observer.ask("/inspect")["resident_kib"] < before + 8 * 1024
    observer.close()


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP"])
def test_a_stream_that_is_compressed_is_none(server, upstream, encoding):
    stream_head = head(
        Content_Type="text/event-stream",
        Content_Encoding=encoding,
        Content_Length=len(BOMB),
    )
    upstream.handler = sends(stream_head, BOMB)
    assert code_of(server) == (502, "upstream_invalid")


def test_a_stream_of_another_route_that_is_compressed_passes_as_bytes(server, upstream):
    # Here a client may ask for compression, and gets it.
    compressed = gzip.compress(ANSWER)
    stream_head = head(
        Content_Type="text/event-stream", Content_Encoding="gzip", Content_Length=len(compressed)
    )
    upstream.handler = sends(stream_head + compressed)
    with server.connect() as sock:
        sock.sendall(post("/v1/responses", {"model": "m"}, Accept_Encoding="gzip"))
        assert Response(sock).body() == compressed


# Headers.


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0", b"\x1b[31m", b"\r\n "])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_a_control_character_in_a_header_is_no_http(server, upstream, bad, content_type):
    answer = whole(ANSWER, Content_Type=content_type, X="a|b").replace(b"|", bad)
    upstream.handler = sends(answer)
    assert code_of(server) == (502, "upstream_invalid")


@pytest.mark.parametrize("stream", [True, False])
def test_cookies_and_headers_between_neighbours_stay_there(server, upstream, stream):
    headers = {
        "Set_Cookie": "a=b",
        "Connection": "close, X-Secret",
        "X_Secret": "1",
        "Upgrade": "h2c",
        "Trailer": "X-T",
        "Proxy_Connection": "keep-alive",
        "Proxy_Authenticate": "Basic",
    }
    content_type = "text/event-stream" if stream else "application/json"
    upstream.handler = sends(whole(ANSWER, Content_Type=content_type, **headers))
    response, body = ask(server, stream=stream)
    assert body == ANSWER
    assert response.headers["connection"] == "keep-alive"
    assert not response.headers.keys() & {
        "set-cookie",
        "x-secret",
        "upgrade",
        "trailer",
        "proxy-connection",
        "proxy-authenticate",
    }


@pytest.mark.parametrize(
    "lengths",
    [["-1"], ["+2"], ["2, 3"], ["2", "3"], ["9" * 19], ["9" * 5000], ["0x2"], ["٢"], [""]],
)
def test_a_content_length_that_is_none_is_no_http(server, upstream, lengths):
    lines = "".join(f"Content-Length: {length}\r\n" for length in lengths)
    upstream.handler = sends(
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{lines}\r\n{{}}".encode()
    )
    assert code_of(server) == (502, "upstream_invalid")


def test_an_answer_without_a_content_type_gets_none(server, upstream):
    upstream.handler = sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\n<script>")
    response, body = ask(server)
    assert (response.status, body) == (404, b"<script>")
    assert "content-type" not in response.headers


# Connections.

NOT_USED_AGAIN = {
    "with-a-length-beside-its-chunks": head(
        Content_Type="text/event-stream", Content_Length=5, Transfer_Encoding="chunked"
    )
    + chunk(ANSWER)
    + LAST_CHUNK,
    "with-more-behind-its-end": whole(b"{}") + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "with-a-body-that-it-may-not-have": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\nbody",
}


@pytest.mark.parametrize("answer", NOT_USED_AGAIN)
def test_the_connection_of_an_answer_is_not_used_again(server, upstream, answer):
    upstream.handler = sends(NOT_USED_AGAIN[answer])
    for _ in range(3):
        with server.connect() as sock:
            sock.sendall(post(PATH, chat(stream=False)))
            Response(sock).body()
    assert [len(connection.requests) for connection in upstream.connections] == [1, 1, 1]


# Events with JSON of another shape.

SHAPES = [
    b'{"choices":5}',
    b'{"choices":{"a":1}}',
    b'{"choices":[5,null,[]]}',
    b'{"choices":[{"finish_reason":{"a":1}}]}',
    b'{"choices":"stop"}',
    b'{"usage":5,"choices":[]}',
    b'{"usage":{"a":"\\ud800","b":1e999,"c":' + b"9" * 4000 + b"}}",
    b'{"error":{"code":"' + b"4" * 5000 + b'"}}',
    b'{"error":{"code":' + b"4" * 5000 + b"}}",
    b'{"error":{"status":4.04e2,"message":{"a":[]}}}',
    b'{"error":{"status":true,"code":null,"type":[]}}',
    b'{"error":[1,2]}',
    b'{"error":5}',
    b'{"error":"\\ud800"}',
    b'{"error":"a\\nb\\u001b[31m\\u0000"}',
    b'{"model":' + b"1" * 5000 + b"}",
    b"5",
    b"[]",
    b'"data: [DONE]"',
    b"\xff\xfe",
    b"{" * 100_000,
    *[b'{"usage":' + b"[" * depth + b"]" * depth + b"}" for depth in range(930, 1000, 9)],
    *[b'{"error":' + b"[" * depth + b"]" * depth + b"}" for depth in range(930, 1000, 9)],
]


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/streams"])
def test_json_of_any_shape_is_told_or_passed_on(server, upstream, path):
    for shape in SHAPES:
        event = b"data: " + shape + b"\n\n"
        for events in ([event], [HELLO, event], [HELLO, event, STOP, DONE]):
            upstream.handler = streams(*events)
            with server.connect() as sock:
                sock.sendall(post(path, chat()))
                response = Response(sock)
                body = response.body()
                assert response.status in (200, 201, 400, 404, 502), body
                assert b"internal_error" not in body, shape[:100]
    check_log(server.log)
