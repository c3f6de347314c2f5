"""A relay passes a stream on event by event, whatever its shape and however its bytes come."""

import time

import pytest

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    chunk,
    head,
    sends,
    sends_and_closes,
    streams,
)
from tests.server.relayed import (
    ANSWER,
    DONE,
    HELLO,
    MIB,
    PATH,
    STOP,
    in_stream_error,
    stream_of,
)
from tests.support.stream import Response, chat, post

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
            time.sleep(0.001)  # The relay reads each byte by itself.
            sock.sendall(chunk(bytes([byte])))
        sock.sendall(LAST_CHUNK)

    upstream.handler = handler
    assert stream_of(relay, path) == stream


def test_events_glued_together_all_arrive(relay, upstream):
    upstream.handler = sends(STREAM_HEAD + chunk(ANSWER) + LAST_CHUNK)
    assert stream_of(relay) == ANSWER


def test_a_whole_answer_in_one_write_is_sent_on_at_once(relay, upstream):
    # There is nothing left to wait for, and the connection is closed already.
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
    # In one write: a connection whose trailers have not come when the next request is there is not used again.
    upstream.handler = sends(b"".join([STREAM_HEAD, *chunks, b"0;c\r\nX-Trailer: t\r\n\r\n"]))
    assert stream_of(relay) == ANSWER
    assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_stream_without_a_length_ends_with_its_connection(relay, upstream, version):
    stream_head = head(Content_Type="text/event-stream").replace(b"HTTP/1.1", version)
    upstream.handler = sends_and_closes(stream_head, HELLO, STOP, DONE)
    assert stream_of(relay) == ANSWER


def test_an_event_of_almost_16_mib_passes(relay, upstream):
    event = b"data: " + b"x" * (15 * MIB) + b"\n\n"
    upstream.handler = streams(event, STOP, DONE)
    assert stream_of(relay) == event + STOP + DONE


def test_an_event_over_16_mib_is_an_error(relay, upstream):
    upstream.handler = streams(HELLO, *[b"x" * MIB] * 17)
    body = stream_of(relay)
    assert in_stream_error(body) == (HELLO, "upstream_invalid")
