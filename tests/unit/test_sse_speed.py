"""The speed of the parser and the encoder, beside the least that plain Python does for the same result."""

import json

import pytest

from flask_sluice.sse import Event, EventParser, ReceivedEvent
from tests.support.ratio import assert_cpu, assert_linear

pytestmark = pytest.mark.measures

MIB = 1024 * 1024


def pieces(stream, size):
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def parse(chunks):
    parser = EventParser()
    for chunk in chunks:
        parser.feed(chunk)


def test_small_events_are_parsed_in_two_and_a_half_times_what_splitting_them_takes():
    event = b"data: " + b"x" * 162 + b"\n\n"
    chunks = pieces(event * 30_000, 16 * 1024)

    def split():
        for chunk in chunks:
            blocks = chunk.decode("utf-8", "replace").split("\n\n")
            [ReceivedEvent(block[6:], "message", "") for block in blocks]

    # 1.5 was measured, at 280 MB/s; line by line it is 6.
    assert_cpu(lambda: parse(chunks), 2.5, split)


def test_a_line_of_8_mib_takes_no_more_than_as_many_bytes_of_small_events():
    small_event = b"data: " + b"x" * 162 + b"\n\n"
    small = pieces(small_event * (8 * MIB // len(small_event)), 1460)
    large = pieces(b"data: " + b"x" * 8 * MIB + b"\n\n", 1460)
    # 0.2 was measured, at 13 ms.
    assert_cpu(lambda: parse(large), 1, lambda: parse(small))


def test_an_event_of_json_is_made_and_encoded_in_less_time_than_json_dumps_takes():
    choice = {"index": 0, "delta": {"content": " token"}, "finish_reason": None}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}
    events = range(10_000)

    def encode():
        for _ in events:
            Event.json(chunk).encode()

    def dump():
        for _ in events:
            json.dumps(chunk)

    # 0.55 was measured, at 2 µs an event.
    assert_cpu(encode, 0.9, dump)


def test_a_line_that_comes_byte_by_byte_takes_linear_time():
    assert_linear(parse, lambda size: pieces(b"data: " + b"x" * size + b"\n\n", 1))


def test_an_event_of_many_lines_that_comes_byte_by_byte_takes_linear_time():
    assert_linear(parse, lambda size: pieces(b"data: x\n" * (size // 8) + b"\n", 1))


def test_many_lines_in_one_chunk_take_linear_time():
    assert_linear(parse, lambda size: [b"data: x\n" * (size // 8) + b"\n"])
