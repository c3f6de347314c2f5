"""gunicorn's ``max_requests``: a worker that has served so many goes when its successor is there."""

import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.test_drain import PATH, open_stream

MAX_REQUESTS = ("--max-requests", "10")
ANSWER_SECONDS = 2.0
"""Within so long a request has its answer, whatever the workers do; on a busy machine, too."""


def pids(server: Server, says: str) -> list[int]:
    return [int(pid) for pid in re.findall(rf"{says}.*?pid: (\d+)", server.log)]


def living(server: Server) -> set[int]:
    return set(pids(server, "Booting worker")) - set(pids(server, "Worker exiting"))


def ask(server: Server, request: bytes) -> tuple[int, bytes, float]:
    """The status, the body, and the seconds to the first byte of it."""
    asked_at = time.monotonic()
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        seconds = time.monotonic() - asked_at
        return response.status, response.body(), seconds


class Visitors:
    """Ask again and again, each on a new connection, for a stream or for something short."""

    def __init__(self, server: Server, count: int) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(count)]
        self.failures: list[str] = []
        self.waits_seconds: list[float] = []

    def _visit(self) -> None:
        stream = post(PATH, chat(simulator={"tokens": 10, "itl_ms": 20}))
        while not self._is_over.is_set():
            for request, end in ((stream, b"data: [DONE]\n\n"), (get("/healthz"), b"}\n")):
                try:
                    status, body, seconds = ask(self._server, request)
                except (OSError, EOFError) as error:
                    self.failures.append(repr(error))
                else:
                    self.waits_seconds.append(seconds)
                    if status != 200 or not body.endswith(end):
                        self.failures.append(f"{status} {body[-200:]!r}")

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_waits_and_nothing_is_cut_over_three_generations(workers):
    with (
        Server(arguments=MAX_REQUESTS, workers=workers, drain_seconds=4) as server,
        server.connect() as sock,
    ):
        endless = open_stream(server, sock, tokens=100_000)
        with Visitors(server, 4) as visitors:
            wait_until(lambda: len(pids(server, "Booting worker")) >= 4 * workers, 50)
        body = endless.body()
        assert b'"code":"draining"' in body
        assert b"[DONE]" not in body
        wait_until(lambda: len(living(server)) == workers)
        assert visitors.failures == []
        assert max(visitors.waits_seconds) < ANSWER_SECONDS
