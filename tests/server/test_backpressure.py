"""A reader that is slow, or stops: it holds its own producer, and nobody else."""

import json
import os
import signal
import socket
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

pytestmark = pytest.mark.measures

CHANNEL_SIZE = 8
FLOOD_EVENT_BYTES = len(b"data: " + b"x" * 65536 + b"\n\n")
WRITE_TIMEOUT_SECONDS = 0.5

# More than all buffers between the server and a client that does not read.
ENDLESS = chat(simulator={"itl_ms": 0, "tokens": 100_000})


@pytest.fixture(scope="module")
def foreign() -> Iterator[Server]:
    with Server("tests.server.foreign_app:app") as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    with Server(
        "tests.server.inspected_app:app", write_timeout_seconds=WRITE_TIMEOUT_SECONDS
    ) as server:
        yield server


def open_and_stop_reading(server: Server, request: bytes) -> socket.socket:
    sock = server.connect(receive_buffer_bytes=4096)
    sock.sendall(request)
    assert Response(sock).status == 200
    return sock


def test_at_most_8_events_wait_between_the_generator_and_the_socket(foreign):
    observer = Observer(foreign)
    worker = observer.ask("/inspect")["pid"]
    with open_and_stop_reading(foreign, get("/stream/floods?key=held")) as sock:
        produced = observer.until_write_blocks("held")
        # With the worker stopped, what can still be read is what the kernel holds.
        os.kill(worker, signal.SIGSTOP)
        try:
            in_kernel = len(drain(sock))
        finally:
            os.kill(worker, signal.SIGCONT)
        not_in_kernel = produced - in_kernel // FLOOD_EVENT_BYTES
        assert 0 <= not_in_kernel <= CHANNEL_SIZE + 1  # one may be there in part


def drain(sock: socket.socket) -> bytes:
    sock.settimeout(1)
    pieces = []
    try:
        while piece := sock.recv(1 << 20):
            pieces.append(piece)
    except TimeoutError:
        pass
    return b"".join(pieces)


def test_other_streams_keep_their_pace_while_readers_stand_still(foreign):
    keys = [f"still-{number}" for number in range(20)]
    observer = Observer(foreign)
    stopped = [open_and_stop_reading(foreign, get(f"/stream/floods?key={key}")) for key in keys]
    for key in keys:
        observer.until_write_blocks(key)
    with foreign.connect() as sock:
        sock.sendall(get("/stream/paces?key=pace"))
        response = Response(sock)
        delays = []
        for _ in range(50):
            event = response.until(b"\n\n").rpartition(b"data: ")[2]
            if not event.startswith(b":"):
                delays.append(time.monotonic() - float(event))
    for sock in stopped:
        sock.close()
    # The rest may be late for what else the machine does. A loop that stands still delays them all.
    first_decile, *_ = statistics.quantiles(delays, n=10)
    assert first_decile < 0.010


def test_a_reader_that_accepts_nothing_is_dropped_after_the_write_timeout(impatient):
    observer = Observer(impatient)
    observer.until_idle()
    started_at = time.monotonic()
    request = post("/v1/chat/completions", ENDLESS, X_Request_Id="dropped")
    with open_and_stop_reading(impatient, request):
        assert observer.ask("/inspect")["inflight"] == 1
        observer.until_idle()
        assert time.monotonic() - started_at >= WRITE_TIMEOUT_SECONDS
    (line,) = wait_until(lambda: impatient.logged("stream ended", request_id="dropped"))
    assert (line["outcome"], line["reason"]) == ("cancelled", "the client stopped reading")
    assert "Traceback" not in impatient.log


@pytest.mark.slow
def test_a_reader_that_is_slow_but_reads_is_not_dropped(impatient):
    observer = Observer(impatient)
    request = post("/v1/chat/completions", ENDLESS, X_Request_Id="slow")
    with open_and_stop_reading(impatient, request) as sock:
        # A fifth of what the socket's buffers hold is read in six times the write timeout.
        until = time.monotonic() + 6 * WRITE_TIMEOUT_SECONDS
        while time.monotonic() < until:
            assert sock.recv(4096)
            time.sleep(WRITE_TIMEOUT_SECONDS / 10)
        assert observer.ask("/inspect")["inflight"] == 1
    wait_until(lambda: impatient.logged("stream ended", request_id="slow", outcome="cancelled"))


def test_memory_stays_flat_while_readers_stand_still(foreign):
    observer = Observer(foreign)
    keys = [f"flat-{number}" for number in range(20)]
    stopped = [open_and_stop_reading(foreign, get(f"/stream/floods?key={key}")) for key in keys]
    for key in keys:
        observer.until_write_blocks(key)
    before = observer.ask("/inspect")["resident_kib"]
    samples = [observer.ask("/inspect")["resident_kib"] for _ in range(50)]
    for sock in stopped:
        sock.close()
    # 20 streams may hold 8 events of 64 KiB each, and hold them already.
    assert max(samples) - before < 1024


def test_all_events_arrive_in_order_at_a_slow_reader(sluice):
    text = " ".join(map(str, range(3000)))
    body = chat(simulator={"itl_ms": 0, "text": text})
    with sluice.connect(receive_buffer_bytes=4096) as sock:
        sock.sendall(post("/v1/chat/completions", body))
        response = Response(sock)
        time.sleep(0.1)
        *events, done, end = response.body().split(b"\n\n")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    contents = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert len(contents) > 3000
    assert "".join(contents) == text
    assert (done, end) == (b"data: [DONE]", b"")
