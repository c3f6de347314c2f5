"""A generator that computes: its events arrive when they are yielded, and other clients go on meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from tests.support.server import Server
from tests.support.stream import Response, get

pytestmark = [pytest.mark.measures, pytest.mark.slow]

MOST_LATE = 2
"""The machine may have other work for a moment. Where events lie in the queue, all of them are late."""

LEAST_TURNS = 6
"""Beside eleven events. Eight events at a time leave one or two turns."""


@pytest.fixture(scope="module")
def foreign() -> Iterator[Server]:
    with Server("tests.server.foreign_app:app") as server:
        yield server


def arrivals(response: Response) -> list[tuple[float, float]]:
    """When each event was yielded, and when it came."""
    seen = []
    while chunk := response.chunk():
        at = time.monotonic()
        seen += [(float(line[6:]), at) for line in chunk.split(b"\n") if line.startswith(b"data: ")]
    return seen


def test_each_event_comes_before_the_next_one_is_yielded(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/stream/computes?key=computes"))
        seen = arrivals(Response(sock))
    assert len(seen) == 12
    late = [came for (_, came), (next_yielded, _) in pairwise(seen) if came > next_yielded]
    assert len(late) <= MOST_LATE


def turns_beside(server: Server, step: Callable[[], object]) -> int:
    """How many times ``step`` could be done while a generator computed eleven events."""
    with server.connect() as sock:
        sock.sendall(get("/stream/computes?key=computes"))
        response = Response(sock)
        assert response.chunk()
        computing = threading.Thread(target=response.body)
        computing.start()
        waits = []
        while computing.is_alive():
            began_at = time.monotonic()
            step()
            waits.append(time.monotonic() - began_at)
        computing.join()
    print(f"{len(waits)} turns, the longest wait {max(waits):.3f} s")
    return len(waits)


def test_a_request_is_answered_at_every_event(foreign):
    with foreign.connect() as sock:

        def ask() -> None:
            sock.sendall(get("/plain"))
            assert Response(sock).body() == b"plain"

        assert turns_beside(foreign, ask) >= LEAST_TURNS


def test_another_stream_has_its_turn_at_every_event(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/stream/paces?key=paces"))
        other = Response(sock)
        assert turns_beside(foreign, other.chunk) >= LEAST_TURNS
