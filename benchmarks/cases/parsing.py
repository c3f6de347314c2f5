"""The speed of the parser and the encoder, beside those of libraries. CPU time, in this process."""

import json
import time
from collections.abc import Callable, Iterator

import httpx
from httpx_sse import EventSource
from sse_starlette import ServerSentEvent

from benchmarks.bench import SLUICE, Bench
from benchmarks.report import Section, Table
from flask_sluice.sse import Event, EventParser

_EVENT = b"data: " + b"x" * 162 + b"\n\n"
_CHUNK_BYTES = 16 * 1024
_RUNS = 5
_DATA = {
    "id": "chatcmpl-benchmark",
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": " token"}, "finish_reason": None}],
}


def parsing(bench: Bench) -> Section:
    events = bench.scale.codec_events
    stream = _EVENT * events
    pieces = [stream[at : at + _CHUNK_BYTES] for at in range(0, len(stream), _CHUNK_BYTES)]
    parsers = {SLUICE: parse_with_sluice, "httpx-sse": parse_with_httpx_sse}
    encoders = {SLUICE: encode_with_sluice, "sse-starlette": encode_with_sse_starlette}
    parsed, encoded = [], []
    for name, parse in parsers.items():
        speeds = [
            max(megabytes_per_second(parse, chunks) for _ in range(_RUNS))
            for chunks in (pieces, [_EVENT] * events)
        ]
        parsed.append([name, *[f"{speed:.0f}" for speed in speeds]])
    for name, encode in encoders.items():
        best = min(microseconds_per_event(encode, events) for _ in range(_RUNS))
        encoded.append([name, f"{best:.2f}"])
    return Section(
        "Parser and encoder",
        "Events of 170 bytes, parsed; a chat completion's chunk, made into JSON and an event. CPU time, no network; the best of"
        f" {_RUNS} runs.",
        [
            Table(["", "MB/s, in chunks of 16 KiB", "MB/s, one event a chunk"], parsed),
            Table(["", "µs/event"], encoded),
        ],
    )


def parse_with_sluice(chunks: list[bytes]) -> int:
    parser = EventParser()
    return sum(len(parser.feed(chunk)) for chunk in chunks)


def parse_with_httpx_sse(chunks: list[bytes]) -> int:
    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter(chunks)

    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Body())
    return sum(1 for _ in EventSource(response).iter_sse())


def encode_with_sluice() -> bytes:
    return Event.json(_DATA).encode()


def encode_with_sse_starlette() -> bytes:
    return ServerSentEvent(data=json.dumps(_DATA), sep="\n").encode()


def megabytes_per_second(parse: Callable[[list[bytes]], int], chunks: list[bytes]) -> float:
    started = time.thread_time()
    parse(chunks)
    return sum(map(len, chunks)) / (time.thread_time() - started) / 1e6


def microseconds_per_event(encode: Callable[[], bytes], events: int) -> float:
    started = time.thread_time()
    for _ in range(events):
        encode()
    return (time.thread_time() - started) / events * 1e6
