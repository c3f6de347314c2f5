"""The workers share one listening socket, and the streams are spread over them evenly."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.metrics import Metrics
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

WORKERS = 4
STREAMS_OF_A_WORKER = 100
CAPACITY = WORKERS * STREAMS_OF_A_WORKER
SILENT = post("/v1/chat/completions", chat(simulator={"ttft_ms": 60_000}))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(workers=WORKERS, max_streams=STREAMS_OF_A_WORKER) as server:
        wait_until(lambda: len(streams_by_worker(server)) == WORKERS)
        yield server


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Closes the test's connections."""
    with contextlib.ExitStack() as stack:
        yield stack


def streams_by_worker(server: Server) -> list[float]:
    samples = Metrics(server).samples()
    return [sample.value for sample in samples if sample.name == "sluice_worker_streams"]


def open_streams(server: Server, stack: contextlib.ExitStack, count: int) -> None:
    """Open so many streams at once, and wait until each is open."""
    before = sum(streams_by_worker(server))
    for _ in range(count):
        stack.enter_context(server.connect()).sendall(SILENT)
    wait_until(
        lambda: sum(streams_by_worker(server)) == before + count,
        explain=lambda: f"{streams_by_worker(server)}, {before} before",
    )


@pytest.mark.measures
@pytest.mark.slow
def test_a_crowd_that_comes_at_once_is_spread_over_the_workers(server, stack):
    open_streams(server, stack, CAPACITY * 3 // 4)
    streams = streams_by_worker(server)
    assert max(streams) <= 1.15 * sum(streams) / WORKERS, streams


@pytest.mark.slow
def test_no_stream_is_refused_below_95_percent_of_the_capacity(server, stack):
    open_streams(server, stack, CAPACITY * 95 // 100)
    assert Metrics(server).value("requests_refused_total") == 0


@pytest.mark.measures
@pytest.mark.slow
def test_a_new_worker_gets_the_next_streams(server, stack):
    open_streams(server, stack, CAPACITY // 2)
    os.kill(server.workers()[0], signal.SIGTERM)
    wait_until(lambda: 0 in streams_by_worker(server))
    count = 40
    open_streams(server, stack, count)
    # A fuller worker takes one where the new one has not answered within 25 ms, which happens on a busy machine.
    assert min(streams_by_worker(server)) >= 1.5 * count / WORKERS, streams_by_worker(server)


@pytest.mark.slow
def test_the_others_go_on_while_a_worker_is_stopped(server, stack):
    stopped = server.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        # A connection that the stopped worker has taken already would have to wait for it: none has.
        for _ in range(WORKERS * 4):
            with server.connect() as sock:
                sock.sendall(get("/healthz"))
                assert Response(sock).status == 200
    finally:
        os.kill(stopped, signal.SIGCONT)


@pytest.mark.slow
def test_a_killed_worker_is_counted_as_a_death_and_a_told_one_is_not(server):
    first, second = server.workers()[:2]
    os.kill(first, signal.SIGTERM)
    metrics = Metrics(server)
    wait_until(lambda: metrics.value("worker_starts_total") == WORKERS + 1)
    assert metrics.value("worker_deaths_total") == 0
    os.kill(second, signal.SIGKILL)
    metrics.wait_for(1, "worker_deaths_total")
    metrics.wait_for(WORKERS + 2, "worker_starts_total")
