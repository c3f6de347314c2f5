"""gunicorn's ``max_requests``: a worker that has served so many ends when its successor has booted."""

import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.test_drain import PATH, open_stream

pytestmark = pytest.mark.slow

MAX_REQUESTS = 10
ARGUMENTS = ("--max-requests", str(MAX_REQUESTS), "--max-requests-jitter", "5")
ANSWER_SECONDS = 4.0
"""A request has its answer within this time, whatever the workers do. It takes milliseconds, but with twice as many busy
processes as cores Linux was seen to keep a process that could run waiting for three seconds."""
DRAIN_SECONDS = 6

GATED_APP = """
import time
from pathlib import Path

gate = Path(__file__).with_name("gate")
try:
    while gate.read_text() != "broken":
        time.sleep(0.01)
    raise RuntimeError("this is not the code of before")
except FileNotFoundError:
    pass

from app import app
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While it is there new workers wait in the middle of their boot; with "broken" in it they fail."""
    (tmp_path / "gated.py").write_text(GATED_APP)
    return tmp_path / "gate"


def gated_server(gate: Path, **settings: object) -> Server:
    environment = {"PYTHONPATH": python_path(gate.parent)}
    return Server("gated:app", arguments=ARGUMENTS, environment=environment, **settings)


def python_path(folder: Path) -> str:
    """The folder before what is on the path of the tests themselves."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def booted(server: Server) -> list[int]:
    """The pids of all workers that there have been, the oldest first."""
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", server.log)]


def living(server: Server) -> list[int]:
    return [pid for pid in booted(server) if Path(f"/proc/{pid}").exists()]


def ask(server: Server, request: bytes) -> tuple[int, bytes, float]:
    """The status, the body, and the seconds to the response's head."""
    asked_at = time.monotonic()
    with server.connect() as sock:
        # As over a network: a worker may be told to end in between.
        time.sleep(random.uniform(0, 0.02))
        sock.sendall(request)
        response = Response(sock)
        seconds = time.monotonic() - asked_at
        return response.status, response.body(), seconds


def answers(server: Server) -> bool:
    status, _, seconds = ask(server, get("/v1/models"))
    return status == 200 and seconds < ANSWER_SECONDS


def retire(server: Server) -> tuple[int, int]:
    """Has the one worker serve its number; the pids of it and its successor, which is booting."""
    [old] = living(server)
    wait_until(lambda: answers(server) and len(living(server)) == 2)
    _, new = living(server)
    return old, new


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


@pytest.mark.parametrize("workers", [1, 2])
def test_no_client_waits_and_no_stream_is_cut_over_three_generations(workers):
    with (
        Server(arguments=ARGUMENTS, workers=workers, drain_seconds=DRAIN_SECONDS) as server,
        server.connect() as sock,
    ):
        endless = open_stream(server, sock, tokens=100_000)
        counts: list[int] = []

        def have_three_followed() -> bool:
            counts.append(len(living(server)))
            return len(booted(server)) >= 4 * workers

        with Visitors(server, 4) as visitors:
            wait_until(have_three_followed, 50)
        body = endless.body()
        assert b'"code":"draining"' in body
        assert b"[DONE]" not in body
        assert visitors.failures == []
        assert max(visitors.waits_seconds) < ANSWER_SECONDS
        # Not a generation more for each while that such a stream goes on.
        assert max(counts) <= 2 * workers
        wait_until(lambda: len(living(server)) == workers)


def test_a_worker_goes_on_until_its_successor_has_booted(gate):
    with gated_server(gate) as server:
        gate.write_text("wait")
        _, new = retire(server)
        assert all(answers(server) for _ in range(3 * MAX_REQUESTS))
        gate.unlink()
        wait_until(lambda: living(server) == [new])
        assert answers(server)


def test_a_worker_goes_on_if_its_successor_cannot_boot_and_has_another_later(gate):
    with gated_server(gate) as server:
        [old] = living(server)
        gate.write_text("broken")
        wait_until(lambda: answers(server) and "Its successor has not booted" in server.log)
        assert living(server) == [old]
        gate.unlink()
        wait_until(lambda: answers(server) and old not in living(server))
        wait_until(lambda: len(living(server)) == 1)


@pytest.mark.parametrize("which", ["old", "new"])
def test_there_is_one_worker_when_one_of_both_has_died(gate, which):
    with gated_server(gate) as server:
        gate.write_text("wait")
        old, new = retire(server)
        os.kill(old if which == "old" else new, signal.SIGKILL)
        gate.unlink()
        left = new if which == "old" else old
        wait_until(lambda: living(server) == [left] and answers(server))


def test_a_server_that_is_told_to_end_while_a_successor_boots_ends_when_its_streams_do(gate):
    with gated_server(gate, drain_seconds=30) as server, server.connect() as sock:
        stream = open_stream(server, sock, tokens=60, itl_ms=50)
        gate.write_text("wait")
        retire(server)
        server.signal(signal.SIGTERM)
        gate.unlink()
        assert stream.body().endswith(b"data: [DONE]\n\n")
        assert server.wait_for_exit() == 0


def test_a_reload_while_a_successor_boots_leaves_none_of_the_old_workers(gate):
    with gated_server(gate) as server, Visitors(server, 2) as visitors:
        gate.write_text("wait")
        wait_until(lambda: len(living(server)) == 2)
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(booted(server)) == 3)
        gate.unlink()
        old = set(booted(server)[:2])
        wait_until(lambda: not old & set(living(server)))
        assert visitors.failures == []
        assert max(visitors.waits_seconds) < ANSWER_SECONDS


def test_a_worker_that_is_told_to_end_before_it_can_hear_ends(tmp_path):
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text(
        f"import gevent\nexec(open({str(ROOT / 'gunicorn.conf.py')!r}).read())\n"
        "def post_fork(server, worker): gevent.sleep(0.3)\n"
    )
    with Server(configuration=str(configuration), drain_seconds=30) as server:
        [first] = booted(server)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(booted(server)) == 2)
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit() == 0
