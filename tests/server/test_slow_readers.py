"""Clients that take their answers by a trickle: each such wait has an end, and none keeps out other clients."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator

import pytest

from flask_sluice.server.connections import MIN_BYTES_PER_SECOND
from tests.server.large_answer import SIZE
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, get

APP = "tests.server.large_answer_app:app"
LARGE = get("/large")


@pytest.fixture(scope="module")
def hurried() -> Iterator[Server]:
    with Server(APP, write_timeout_seconds=1) as server:
        yield server


class Reader:
    """Takes a response at a steady rate."""

    def __init__(self, server: Server, bytes_per_second: float) -> None:
        self.sock = server.connect(receive_buffer_bytes=4096)
        self.sock.sendall(LARGE)
        self._rate = bytes_per_second
        self._started_at = time.monotonic()
        self.received = b""

    def take(self) -> bool:
        """Take what is due. Returns whether the server has dropped the connection."""
        select.select([], [], [], 0.02)
        due = int((time.monotonic() - self._started_at) * self._rate) - len(self.received)
        try:
            self.received += self.sock.recv(due) if due > 0 else b""
        except ConnectionResetError:
            return True
        return False

    @property
    def has_all(self) -> bool:
        return len(self.received) > SIZE


@pytest.mark.slow
def test_a_client_that_takes_an_answer_by_a_trickle_is_dropped(hurried):
    reader = Reader(hurried, MIN_BYTES_PER_SECOND / 4)
    with reader.sock:
        wait_until(reader.take, timeout_seconds=20)
    assert not reader.has_all
    assert "Traceback" not in hurried.log


@pytest.mark.slow
def test_a_client_that_is_slow_but_takes_what_is_asked_gets_the_whole_answer(hurried):
    reader = Reader(hurried, MIN_BYTES_PER_SECOND * 20)
    with reader.sock:
        wait_until(lambda: reader.take() or reader.has_all, timeout_seconds=20)
    assert reader.has_all


@contextlib.contextmanager
def trickling(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Readers of which more come than the server takes connections, and that take a little, and nothing later on."""
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(count):
            socks.append(stack.enter_context(server.connect(receive_buffer_bytes=4096)))
            socks[-1].sendall(LARGE)
        for sock in socks[:50]:
            sock.recv(100)
        yield socks


def test_clients_that_take_answers_by_a_trickle_do_not_keep_out_others():
    # 110 connections fit. Those that are too many for it wait in the kernel's queue.
    with Server(APP, max_streams=10) as server, trickling(server, 150):
        for _ in range(5):
            started_at = time.monotonic()
            assert ask(server, get("/healthz"))[0].status == 200
            assert time.monotonic() - started_at < 5


def test_a_stream_does_not_make_room_for_clients_that_do_not_read():
    with Server(APP, max_streams=10) as server, server.connect() as sock:
        sock.sendall(get("/stream_chat?name=hello"))
        response = Response(sock)
        response.until(b"id: 1\n")
        with trickling(server, 150):
            assert ask(server, get("/healthz"))[0].status == 200
            response.until(b"id: 40\n")


def test_nothing_is_left_of_clients_that_were_dropped():
    with Server(APP, max_streams=10) as server:

        def open_files() -> int:
            return json.loads(ask(server, get("/inspect"))[1])["files"]

        before = open_files()
        with trickling(server, 150):
            ask(server, get("/healthz"))
        wait_until(lambda: open_files() <= before)
