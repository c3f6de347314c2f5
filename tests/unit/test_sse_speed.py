"""The speed that the parser and the encoder promise.

CPU time, and the best of several runs, so that a busy machine does not fail what is fast enough.
"""

import time

import pytest

from wsgi.sse import Annotated, EventParser

pytestmark = pytest.mark.measures

RUNS = 15
MIB = 1024 * 1024


def best_of(measure, enough):
    """The shortest of several times; measures no more once one is short ``enough``."""
    best = float("inf")
    for _ in range(RUNS):
        best = min(best, measure())
        if best <= enough:
            break
    return best


def cpu_seconds(work):
    start = time.thread_time()
    work()
    return time.thread_time() - start


def pieces(stream, size):
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def seconds_to_parse(chunks):
    def work():
        parser = EventParser()
        for chunk in chunks:
            parser.feed(chunk)

    return cpu_seconds(work)


def test_small_events_are_parsed_at_250_mb_per_second():
    event = b"data: " + b"x" * 162 + b"\n\n"
    stream = event * 30_000
    chunks = pieces(stream, 16 * 1024)
    enough = len(stream) / 250e6
    assert best_of(lambda: seconds_to_parse(chunks), enough) <= enough


def test_a_line_of_8_mib_in_small_chunks_is_parsed_in_20_ms():
    chunks = pieces(b"data: " + b"x" * 8 * MIB + b"\n\n", 1460)
    assert best_of(lambda: seconds_to_parse(chunks), 0.020) <= 0.020


def test_an_event_of_one_json_line_is_made_and_encoded_in_2_us():
    choice = {"index": 0, "delta": {"content": " token"}, "finish_reason": None}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}
    count = 10_000

    def work():
        for _ in range(count):
            Annotated(data=chunk).encode()

    enough = count * 2e-6
    assert best_of(lambda: cpu_seconds(work), enough) <= enough


def assert_linear(chunks_of_size):
    """Twice the stream takes about twice the time; a quadratic parser needs four times as much."""
    small, large = chunks_of_size(256 * 1024), chunks_of_size(512 * 1024)
    ratio = best_of(lambda: seconds_to_parse(large) / seconds_to_parse(small), 3)
    assert ratio <= 3


def test_a_line_that_comes_byte_by_byte_takes_linear_time():
    assert_linear(lambda size: pieces(b"data: " + b"x" * size + b"\n\n", 1))


def test_an_event_of_many_lines_that_comes_byte_by_byte_takes_linear_time():
    assert_linear(lambda size: pieces(b"data: x\n" * (size // 8) + b"\n", 1))


def test_many_lines_in_one_chunk_take_linear_time():
    assert_linear(lambda size: [b"data: x\n" * (size // 8) + b"\n"])
