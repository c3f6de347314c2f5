"""What goes through Sluice to an upstream and back, and what an upstream that fails looks like."""

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from benchmarks.ports import free_port
from tests.server.raw_upstream import (
    LAST_CHUNK,
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
from tests.server.relayed import (
    ANSWER,
    DONE,
    HELLO,
    JSON_ANSWER,
    MIB,
    PATH,
    SILENT,
    STOP,
    ask_chat,
    in_stream_error,
    logged_end,
    refusal,
    stream_of,
)
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, post

CHUNK = (
    b'{"id":"chatcmpl-B9","object":"chat.completion.chunk","created":1741569952,"model":"m",'
    b'"system_fingerprint":"fp_44","choices":[%s]%s}'
)
SHAPES = {
    "openai": (
        PATH,
        [
            b"data: " + CHUNK % (choice, rest) + b"\n\n"
            for choice, rest in [
                (
                    b'{"index":0,"delta":{"role":"assistant","content":"","refusal":null},'
                    b'"logprobs":null,"finish_reason":null}',
                    b',"service_tier":"default","obfuscation":"x7Qa"',
                ),
                (b'{"index":0,"delta":{"content":"na\\u00efve"},"finish_reason":null}', b""),
                (b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}', b""),
                (b"", b',"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}'),
            ]
        ]
        + [DONE],
    ),
    "vllm": (
        PATH,
        [
            b'data: {"id": "chatcmpl-7f", "object": "chat.completion.chunk", "created": 17, '
            b'"model": "Qwen/Qwen3-8B", "choices": [{"index": 0, "delta": '
            b'{"content": "\xc3\xa9t\xc3\xa9 \xf0\x9f\x8c\x8a", "reasoning_content": null}, '
            b'"logprobs": null, "finish_reason": "length", "stop_reason": null}]}\n\n',
            b'data: {"id": "chatcmpl-7f", "choices": [], "usage": {"prompt_tokens": 5}}\n\n',
            DONE,
        ],
    ),
    "llama.cpp": (
        PATH,
        [
            b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hi"}}],'
            b'"created":1,"id":"chatcmpl-x","model":"gpt-3.5-turbo","object":"chat.completion.chunk"}'
            b"\n\n",
            b'data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":1,'
            b'"timings":{"prompt_n":1,"predicted_per_second":52.7}}\n\n',
            DONE,
        ],
    ),
    "ollama": (
        "/v1/completions",
        [
            b'data: {"id":"cmpl-1","object":"text_completion","model":"llama3.2","choices":'
            b'[{"text":"Hi","index":0,"finish_reason":null}],"system_fingerprint":"fp_ollama"}\n\n',
            b'data: {"id":"cmpl-1","choices":[{"text":"","index":0,"finish_reason":"stop"}]}\n\n',
            DONE,
        ],
    ),
    "openrouter": (PATH, [b": OPENROUTER PROCESSING\n\n", b": OPENROUTER PROCESSING\n\n", ANSWER]),
    "anthropic": (
        "/v1/messages",
        [
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_01",'
            b'"role":"assistant","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}\n\n',
            b'event: ping\ndata: {"type": "ping"}\n\n',
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"Hello"}}\n\n',
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ],
    ),
    "responses": (
        "/v1/responses",
        [
            b'event: response.created\ndata: {"type":"response.created","sequence_number":0,'
            b'"response":{"id":"resp_67","status":"in_progress","error":null,"output":[]}}\n\n',
            b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
            b'"sequence_number":1,"item_id":"msg_67","delta":"Hi"}\n\n',
            b'event: response.completed\ndata: {"type":"response.completed","sequence_number":2,'
            b'"response":{"id":"resp_67","status":"completed","error":null}}\n\n',
        ],
    ),
}


@pytest.fixture(scope="module")
def impatient(raw_upstream: RawUpstream) -> Iterator[Server]:
    timeouts = {"first_event_timeout_seconds": 1, "idle_timeout_seconds": 1}
    with Server(upstream=raw_upstream.url, **timeouts) as server:
        yield server


@pytest.fixture(scope="module")
def quick_commit(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=raw_upstream.url, commit_seconds=0.05) as server:
        yield server


# A stream is forwarded as it comes.


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_comes_out_byte_for_byte(relay, upstream, shape):
    path, events = SHAPES[shape]
    upstream.handler = streams(*events)
    assert stream_of(relay, path) == b"".join(events)


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_its_line_ends_are_kept(relay, upstream, line_end, path):
    stream = ANSWER.replace(b"\n", line_end)
    upstream.handler = streams(stream[:40], stream[40:])
    assert stream_of(relay, path) == stream


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_it_may_come_byte_by_byte(relay, upstream, line_end, path):
    stream = ANSWER.replace(b"\n", line_end)

    def handler(sock, request):
        for byte in STREAM_HEAD:
            sock.sendall(bytes([byte]))
        for byte in stream:
            time.sleep(0.001)  # so that each is read alone
            sock.sendall(chunk(bytes([byte])))
        sock.sendall(LAST_CHUNK)

    upstream.handler = handler
    assert stream_of(relay, path) == stream


def test_events_glued_together_all_arrive(relay, upstream):
    upstream.handler = sends(STREAM_HEAD + chunk(ANSWER) + LAST_CHUNK)
    assert stream_of(relay) == ANSWER


def test_a_whole_answer_in_one_write_is_sent_on_at_once(relay, upstream):
    # Nothing is left to wait for, and the connection is closed already.
    stream_head = head(Content_Type="text/event-stream", Content_Length=len(ANSWER))
    upstream.handler = sends(stream_head.replace(b"1.1", b"1.0") + ANSWER)
    started_at = time.monotonic()
    assert stream_of(relay) == ANSWER
    assert time.monotonic() - started_at < 5


def test_several_events_in_one_write_arrive_before_the_next_write(relay, upstream):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO), chunk(HELLO * 2 + b"data: {"))
    with relay.connect() as sock:
        sock.sendall(post(PATH, chat()))
        assert Response(sock).until(HELLO * 3) == HELLO * 3


def test_half_an_event_is_held_until_it_is_whole(relay, upstream):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO), chunk(b"data: {"), chunk(b"}\n\n"))
    with relay.connect() as sock:
        sock.sendall(post(PATH, chat()))
        chunks = Response(sock).until(b"{}").split(b"\n\n")
    assert chunks == [HELLO.strip(), b"data: {}", b""]


def test_chunk_extensions_and_trailers_are_read_over(relay, upstream):
    chunks = [chunk(event).replace(b"\r\n", b';a="b"\r\n', 1) for event in (HELLO, STOP, DONE)]
    upstream.handler = sends(STREAM_HEAD, *chunks, b"0;c\r\nX-Trailer: t\r\n\r\n")
    assert stream_of(relay) == ANSWER
    assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_stream_without_a_length_ends_with_its_connection(relay, upstream, version):
    stream_head = head(Content_Type="text/event-stream").replace(b"HTTP/1.1", version)
    upstream.handler = sends_and_closes(stream_head, HELLO, STOP, DONE)
    assert stream_of(relay) == ANSWER


def test_an_event_of_almost_64_mib_passes(relay, upstream):
    event = b"data: " + b"x" * (63 * MIB) + b"\n\n"
    upstream.handler = streams(event, STOP, DONE)
    assert stream_of(relay) == event + STOP + DONE


def test_an_event_over_64_mib_is_an_error(relay, upstream):
    upstream.handler = streams(HELLO, *[b"x" * MIB] * 65)
    body = stream_of(relay)
    assert in_stream_error(body) == (HELLO, "upstream_invalid")


# How a stream ends.


@pytest.mark.parametrize("usage", [b"", b'data: {"choices":[],"usage":{}}\n\n'])
def test_a_proper_end_after_a_finish_reason_is_complete_without_done(relay, upstream, usage):
    upstream.handler = streams(HELLO, STOP, *filter(None, [usage]))
    assert stream_of(relay) == HELLO + STOP + usage


def test_comments_after_the_finish_reason_do_not_hide_it(relay, upstream):
    def handler(sock, request):
        sock.sendall(STREAM_HEAD + chunk(HELLO) + chunk(STOP))
        for _ in range(5):
            time.sleep(0.01)  # so that each is read alone
            sock.sendall(chunk(b": ping\n\n"))
        sock.sendall(LAST_CHUNK)

    upstream.handler = handler
    assert stream_of(relay) == HELLO + STOP + b": ping\n\n" * 5


@pytest.mark.parametrize("end", [streams, breaks_off])
def test_an_end_without_finish_reason_or_done_is_told_as_truncated(relay, upstream, end):
    upstream.handler = end(HELLO, HELLO)
    assert in_stream_error(stream_of(relay)) == (HELLO * 2, "upstream_truncated")


def test_half_an_event_at_the_end_is_not_forwarded(relay, upstream):
    upstream.handler = streams(HELLO, STOP, b'data: {"cho')
    assert in_stream_error(stream_of(relay)) == (HELLO + STOP, "upstream_truncated")


def test_an_early_close_in_a_chunk_size_is_told_as_truncated(relay, upstream):
    upstream.handler = sends_and_closes(STREAM_HEAD, chunk(HELLO), b"2")
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_truncated")


def test_an_early_close_in_an_event_is_told_as_truncated(relay, upstream):
    upstream.handler = sends_and_closes(STREAM_HEAD, chunk(HELLO), chunk(HELLO)[:-20])
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_truncated")


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
def test_a_chunk_that_is_none_is_told_as_invalid(relay, upstream, path):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO))
    with relay.connect() as sock:
        sock.sendall(post(path, chat()))
        response = Response(sock)
        assert response.until(HELLO) == HELLO
        upstream.connections[0].sock.sendall(b"no size\r\n")
        assert b'"code":"upstream_invalid"' in response.body()


def test_the_events_before_a_chunk_that_is_none_still_arrive(relay, upstream):
    upstream.handler = sends(STREAM_HEAD + chunk(HELLO) + b"no size\r\n")
    assert in_stream_error(stream_of(relay)) == (HELLO, "upstream_invalid")


def test_a_truncated_stream_of_messages_ends_with_an_event_named_error(relay, upstream):
    upstream.handler = breaks_off(*SHAPES["anthropic"][1][:2])
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


def test_a_stream_that_takes_too_long_is_ended(upstream):
    def handler(sock, request):
        sock.sendall(STREAM_HEAD)
        while True:  # until the connection is closed
            sock.sendall(chunk(HELLO))
            time.sleep(0.02)

    upstream.handler = handler
    with Server(upstream=upstream.url, stream_timeout_seconds=1) as server:
        events, code = in_stream_error(stream_of(server))
        assert code == "stream_timeout"
        assert events == HELLO * events.count(HELLO)
        wait_until(lambda: server.logged("stream ended", outcome="error", code=code))


# Answers that refuse, and answers that are none.


def test_no_listener_is_a_502():
    with Server(upstream=f"http://127.0.0.1:{free_port()}/v1") as server:
        assert refusal(server) == (502, "upstream_unreachable")


INVALID = {
    "another-protocol": sends_and_closes(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "noise": sends(b"\0\xff" * 10 + b"\r\n\r\n"),
    "half-a-head": sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-"),
    "an-endless-head": sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "a-folded-header": sends(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    "a-header-with-a-bare-cr": sends(whole(JSON_ANSWER, X="a\rb")),
    "a-header-with-a-control-character": sends(whole(JSON_ANSWER, X="a\x01b")),
    "a-header-name-with-a-space": sends(b"HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n"),
    "html": sends(whole(b"<html>", Content_Type="text/html")),
    "html-in-a-stream-of-chunks": sends(
        head(Content_Type="text/html", Transfer_Encoding="chunked"), chunk(b"<html>"), LAST_CHUNK
    ),
    "no-content-type": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("answer", INVALID)
def test_an_answer_that_is_none_is_a_502(relay, upstream, answer):
    upstream.handler = INVALID[answer]
    assert refusal(relay) == (502, "upstream_invalid")


def test_a_connection_closed_without_a_word_is_a_502(relay, upstream):
    upstream.handler = sends_and_closes()
    assert refusal(relay) == (502, "upstream_unreachable")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Oops", "529 "]
)
def test_a_refusal_keeps_status_body_and_what_it_says_of_retries(relay, upstream, status, stream):
    body = b'{ "error": {"message": "no", "type": "t", "param": null, "code": "c"} }'
    upstream.handler = sends(whole(body, status, Retry_After="7", x_should_retry="false"))
    response, received = ask_chat(relay, stream=stream)
    assert (response.status, received) == (int(status[:3]), body)
    assert response.headers["retry-after"] == "7"
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["content-type"] == "application/json"


def test_a_refusal_that_comes_before_the_body_is_sent_is_passed_on(relay):
    """As servers do with a body that is too large: answer, and close without reading it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def refuse():
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(whole(b'{"error":{}}', "413 Content Too Large", Connection="close"))

        thread = threading.Thread(target=refuse)
        thread.start()
        with Server(upstream=f"http://127.0.0.1:{port}/v1") as server:
            response, body = ask_chat(server, padding="x" * 9 * MIB)
        thread.join()
    assert (response.status, body) == (413, b'{"error":{}}')


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (b'{"error":{"message":"slow down","code":429}}', 429),
        (b'{"error":{"message":"slow down","code":"429"}}', 429),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', 529),
        (b'{"error":{"message":"no such","type":"invalid_request_error","code":null}}', 400),
        (b'{"error":"out of memory"}', 502),
    ],
)
def test_an_error_as_the_first_event_becomes_its_status(relay, upstream, error, status):
    upstream.handler = streams(b"event: error\ndata: " + error + b"\n\n")
    response, body = ask_chat(relay)
    assert (response.status, body) == (status, error)
    assert response.headers["content-type"] == "application/json"


def test_the_word_error_in_the_first_event_is_no_error(relay, upstream):
    event = b'data: {"error":null,"choices":[{"delta":{"content":"\\"error\\""}}]}\n\n'
    upstream.handler = streams(event, STOP, DONE)
    assert stream_of(relay) == event + STOP + DONE


def test_a_redirect_is_passed_through_and_not_followed(relay, upstream):
    elsewhere = f"{upstream.url}/elsewhere"
    upstream.handler = sends(whole(b"", "302 Found", Location=elsewhere))
    response, _ = ask_chat(relay)
    assert (response.status, response.headers["location"]) == (302, elsewhere)
    assert len(upstream.requests) == 1


def behind_the_keepalive(server: Server, upstream: RawUpstream, answer: bytes) -> bytes:
    """What the client gets of an answer that comes when its 200 has gone out, with a keep-alive."""
    is_committed = threading.Event()

    def handler(sock, request):
        assert is_committed.wait(30)
        sock.sendall(answer)

    upstream.handler = handler
    with server.connect() as sock:
        sock.sendall(post(PATH, chat()))
        response = Response(sock)
        assert (response.status, response.chunk()) == (200, b": keep-alive\n\n")
        is_committed.set()
        return response.body()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (whole(b'{"error":{"message":"slow down"}}', "429 Slow"), "upstream_error"),
        (
            STREAM_HEAD + chunk(b'data: {"error":{"message":"slow down","code":429}}\n\n'),
            "upstream_error",
        ),
        (whole(b"<html>", Content_Type="text/html"), "upstream_invalid"),
        (whole(JSON_ANSWER), "upstream_invalid"),
    ],
    ids=["429", "error-event", "html", "json"],
)
def test_a_refusal_after_the_commit_is_an_error_event(quick_commit, upstream, answer, code):
    body = behind_the_keepalive(quick_commit, upstream, answer)
    assert in_stream_error(body) == (b"", code)


def test_a_refusal_after_the_commit_says_what_the_upstream_said(quick_commit, upstream):
    answer = whole(b'{"error":{"message":"slow down"}}', "429 Slow")  # Comes in one read.
    assert b'"message":"slow down"' in behind_the_keepalive(quick_commit, upstream, answer)


def test_a_stream_after_the_commit_comes_out_behind_the_keepalive(quick_commit, upstream):
    answer = STREAM_HEAD + chunk(ANSWER) + LAST_CHUNK
    assert behind_the_keepalive(quick_commit, upstream, answer) == ANSWER


# Connections.


def test_the_connection_of_a_finished_answer_is_used_again(relay, upstream):
    for _ in range(3):
        # The end in one write: one that comes later than the next request finds the connection replaced.
        upstream.handler = sends(STREAM_HEAD, chunk(HELLO + STOP), chunk(DONE) + LAST_CHUNK)
        assert stream_of(relay) == ANSWER
        upstream.handler = sends(whole(JSON_ANSWER))
        assert ask_chat(relay, stream=False)[1] == JSON_ANSWER
    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    "answer",
    [
        head(Content_Type="text/event-stream", Content_Length=len(ANSWER), Connection="close"),
        head(Content_Type="text/event-stream", Content_Length=len(ANSWER)).replace(b"1.1", b"1.0"),
    ],
    ids=["connection-close", "http-1.0"],
)
def test_the_connection_is_not_used_again_if_the_upstream_says_so(relay, upstream, answer):
    upstream.handler = sends(answer + ANSWER)
    for _ in range(2):
        assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 2


def test_a_connection_that_closed_while_idle_is_replaced_silently(relay, upstream):
    upstream.handler = streams(ANSWER)
    for _ in range(3):
        assert stream_of(relay) == ANSWER
        upstream.close_connections()


def test_a_connection_that_closes_when_it_is_used_again_is_replaced_silently(relay, upstream):
    def handler(sock, request):
        if len(upstream.connections) == 1 and len(upstream.requests) == 2:
            sends_and_closes()(sock, request)
        else:
            streams(ANSWER)(sock, request)

    upstream.handler = handler
    assert stream_of(relay) == ANSWER
    assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 2


@pytest.mark.parametrize(
    "behind_done",
    [b"nonsense\r\n", LAST_CHUNK + b"HTTP/1.1 408 Request Timeout\r\n\r\n", chunk(HELLO)],
    ids=["nonsense", "another-response", "another-event"],
)
def test_a_connection_that_says_more_than_its_answer_is_replaced_silently(
    relay, upstream, behind_done
):
    upstream.handler = sends(STREAM_HEAD, chunk(ANSWER))
    assert stream_of(relay) == ANSWER
    upstream.connections[0].sock.sendall(behind_done)
    assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 2


def test_a_slow_reader_holds_its_upstream_and_nobody_else(relay, upstream):
    is_blocked = threading.Event()

    def floods(sock, request):
        sock.settimeout(0.2)
        sock.sendall(STREAM_HEAD)
        try:
            while True:
                sock.sendall(chunk(b"data: " + b"x" * 65536 + b"\n\n"))
        except TimeoutError:
            is_blocked.set()

    upstream.handler = floods
    with relay.connect(receive_buffer_bytes=4096) as slow:
        slow.sendall(post(PATH, chat()))
        assert Response(slow).status == 200
        assert is_blocked.wait(30)
        upstream.handler = streams(HELLO, STOP, DONE)
        assert stream_of(relay) == ANSWER


def test_a_reader_that_pauses_misses_nothing(relay, upstream):
    events = [b"data: %d %b\n\n" % (number, b"x" * 65536) for number in range(200)]
    is_blocked = threading.Event()

    def blocks(sock, request):
        answer = b"".join(map(chunk, [HELLO, *events, STOP, DONE])) + LAST_CHUNK
        sock.sendall(STREAM_HEAD)
        sock.setblocking(False)
        while answer:
            try:
                answer = answer[sock.send(answer) :]
            except BlockingIOError:
                is_blocked.set()
                select.select([], [sock], [])

    upstream.handler = blocks
    with relay.connect(receive_buffer_bytes=4096) as slow:
        slow.sendall(post(PATH, chat()))
        response = Response(slow)
        assert is_blocked.wait(30)
        assert response.body() == b"".join([HELLO, *events, STOP, DONE])


# The log.


def test_the_line_at_a_streams_end_says_what_it_was(relay, upstream):
    upstream.handler = streams(HELLO, STOP, DONE)
    ask(relay, post(PATH, chat(), X_Request_Id="logged"))
    line = logged_end(relay, "logged")
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert 0 < line.pop("first_event_ms") <= line.pop("total_ms")
    assert line == {
        "message": "stream ended",
        "request_id": "logged",
        "client": "127.0.0.1",
        "method": "POST",
        "path": PATH,
        "route": PATH,
        "model": "test",
        "stream": True,
        "upstream": upstream.host,
        "upstream_status": 200,
        "status": 200,
        "outcome": "complete",
        "code": None,
        "reason": None,
        "events": 3,
        "bytes": len(ANSWER),
        "keepalives": 0,
    }


def test_the_line_of_a_refusal_has_its_status(relay, upstream):
    upstream.handler = sends(whole(b"{}", "429 Slow"))
    ask(relay, post(PATH, chat(), X_Request_Id="refused"))
    line = logged_end(relay, "refused")
    assert (line["status"], line["outcome"], line["code"]) == (429, "error", "upstream_error")


def test_an_upstream_that_breaks_off_does_not_look_like_a_client_that_left(relay, upstream):
    upstream.handler = breaks_off(HELLO)
    ask(relay, post(PATH, chat(), X_Request_Id="broken"))
    line = logged_end(relay, "broken")
    assert (line["outcome"], line["code"]) == ("error", "upstream_truncated")


def test_a_model_name_cannot_forge_a_line_of_the_log(relay, upstream):
    upstream.handler = streams(ANSWER)
    ask(relay, post(PATH, chat() | {"model": "a\nb"}, X_Request_Id="forged"))
    assert logged_end(relay, "forged")["model"] == "a\nb"
