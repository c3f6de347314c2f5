"""/readyz: 200 while the next chat would be served; before the server ends it says so for a while, and serves on."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.server.raw_upstream import RawUpstream
from tests.support.metrics import Metrics
from tests.support.server import START_TIMEOUT_SECONDS, Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.redis_server import RedisServer
from tests.system.test_drain import PATH, is_refused, open_stream

SHORT = post(PATH, chat(simulator={"tokens": 2, "itl_ms": 1}))


def ready(server: Server) -> tuple[int, dict]:
    with server.connect() as sock:
        sock.sendall(get("/readyz"))
        response = Response(sock)
        return response.status, response.json()


def chat_status(server: Server) -> int:
    with server.connect() as sock:
        sock.sendall(SHORT)
        response = Response(sock)
        response.body()
        return response.status


def until_draining(server: Server) -> dict:
    return wait_until(lambda: (seen := ready(server))[0] == 503 and seen[1])


def test_a_server_whose_redis_is_away_is_ready_for_chats_and_says_so():
    with RedisServer() as redis, Server(redis_url=redis.url) as server:
        assert ready(server)[1]["redis"] == "ok"
        redis.kill()
        status, body = ready(server)
        assert (status, body["status"], chat_status(server)) == (200, "ok", 200)
        assert "Redis" in body["redis"]


@pytest.mark.slow
def test_a_redis_that_hangs_does_not_hold_the_probe_up():
    with RedisServer() as redis, Server(redis_url=redis.url) as server:
        redis.client.execute_command("CLIENT", "PAUSE", 10_000, "ALL")
        seconds = []
        for _ in range(3):
            asked_at = time.monotonic()
            assert ready(server)[0] == 200
            seconds.append(time.monotonic() - asked_at)
        # One or another may be late for what else the machine does.
        assert min(seconds) < 1


def test_upstreams_that_do_not_answer_hold_the_probe_up_once_and_not_each():
    with contextlib.ExitStack() as stack:
        away = [silent_address(stack) for _ in range(10)]
        upstream = stack.enter_context(RawUpstream())
        server = stack.enter_context(Server(upstream=",".join([*away, upstream.url])))
        asked_at = time.monotonic()
        status, body = ready(server)
        # A look takes 0.7 s.
        assert (status, time.monotonic() - asked_at < 5) == (200, True)
        assert body["upstreams"][upstream.url] == "ok"
        assert all(body["upstreams"][url].startswith("out: ") for url in away), body


def silent_address(stack: contextlib.ExitStack) -> str:
    """Where a connection is neither accepted nor refused: the queue of the listening socket is full."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(2):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.mark.slow
def test_one_full_worker_of_two_fails_no_probe_and_two_full_ones_fail_all():
    with Server(workers=2, max_streams=2) as server, contextlib.ExitStack() as stack:
        wait_until(lambda: len(ready(server)[1]["workers"]) == 2)

        def fill(count: int) -> None:
            sock = stack.enter_context(server.connect())
            open_stream(server, sock, tokens=100_000)
            wait_until(lambda: ready(server)[1]["streams"] == count)

        for count in (1, 2, 3):
            fill(count)
        full = [each for each in ready(server)[1]["workers"] if each["streams"] == each["limit"]]
        assert len(full) == 1
        assert {ready(server)[0] for _ in range(20)} == {200}
        fill(4)
        wait_until(lambda: ready(server)[0] == 503)
        assert {ready(server)[1]["status"] for _ in range(20)} == {"overloaded"}


@pytest.mark.slow
def test_a_probe_hears_draining_for_the_delay_while_all_is_still_served(tmp_path):
    for at in ({}, {"unix_socket": tmp_path / "gunicorn.sock"}):
        with Server(drain_delay_seconds=3, allowed_hosts="*", **at) as server:
            told_at = time.monotonic()
            server.signal(signal.SIGTERM)
            assert until_draining(server)["status"] == "draining"
            assert chat_status(server) == 200
            assert time.monotonic() - told_at < 3
            assert server.wait_for_exit() == 0
            assert time.monotonic() - told_at >= 3


@pytest.mark.slow
def test_streams_have_the_whole_drain_after_the_delay():
    with (
        Server(drain_delay_seconds=1, drain_seconds=2) as server,
        server.connect() as sock,
    ):
        response = open_stream(server, sock, tokens=100, itl_ms=20)
        server.signal(signal.SIGTERM)
        assert response.body().endswith(b"data: [DONE]\n\n")
        assert server.wait_for_exit() == 0


def test_the_port_is_closed_when_the_delay_is_over():
    with Server(drain_delay_seconds=1) as server, server.connect() as sock:
        open_stream(server, sock, tokens=100_000)
        server.signal(signal.SIGTERM)
        until_draining(server)
        wait_until(lambda: is_refused(server))


@pytest.mark.slow
def test_an_interrupt_ends_the_delay():
    with Server(drain_delay_seconds=60) as server:
        server.signal(signal.SIGTERM)
        until_draining(server)
        server.signal(signal.SIGINT)
        assert server.wait_for_exit() == 0


@pytest.mark.slow
def test_workers_that_get_the_signal_with_their_master_have_the_delay_too():
    with Server(workers=2, drain_delay_seconds=3) as server:
        wait_until(lambda: len(ready(server)[1]["workers"]) == 2)
        for pid in server.workers():
            os.kill(pid, signal.SIGTERM)
        server.signal(signal.SIGTERM)
        assert until_draining(server)["status"] == "draining"
        assert chat_status(server) == 200
        assert server.wait_for_exit() == 0


@pytest.mark.slow
def test_a_reload_is_not_seen_by_a_probe():
    with Server(workers=2, drain_delay_seconds=5) as server:
        statuses = set()
        server.signal(signal.SIGHUP)
        while server.log.count("Worker exiting") < 2:
            statuses.add(ready(server)[0])
        assert statuses == {200}


@pytest.mark.slow
def test_a_request_on_a_connection_that_was_open_before_a_reload_is_answered():
    with Server(drain_seconds=20) as server, server.connect() as idle, server.connect() as busy:
        idle.sendall(get("/v1/models"))
        assert Response(idle).json()
        stream = open_stream(server, busy, tokens=150, itl_ms=20)
        busy.sendall(get("/v1/models"))  # Waits behind the stream.
        server.signal(signal.SIGHUP)
        wait_until(lambda: "draining" in states(server))
        idle.sendall(SHORT)
        answer = Response(idle)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert answer.body().endswith(b"data: [DONE]\n\n")
        assert stream.body().endswith(b"data: [DONE]\n\n")
        assert stream.following().status == 200


@pytest.mark.slow
def test_while_old_workers_drain_a_dead_new_one_is_replaced_and_the_server_can_end():
    with Server(drain_seconds=4) as server, server.connect() as sock:
        response = open_stream(server, sock, tokens=100_000, itl_ms=500)
        [old] = server.workers()
        server.signal(signal.SIGHUP)
        wait_until(lambda: "draining" in states(server))
        [new] = set(server.workers()) - {old}
        os.kill(new, signal.SIGKILL)
        wait_until(lambda: "serving" in states(server))
        assert Metrics(server).value("worker_deaths_total") == 1
        told_at = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit() == 0
        assert time.monotonic() - told_at < 8
        assert b'"code":"draining"' in response.body()


@pytest.mark.slow
def test_the_counts_of_workers_go_on_after_a_reload():
    with Server() as server:
        [pid] = server.workers()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.log.count("Booting worker") == 2)
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log.count("Worker exiting") == 1)
        metrics = Metrics(server)
        assert metrics.value("worker_deaths_total") == 1
        assert metrics.value("worker_starts_total") == 3


BROKEN_APP = """
from pathlib import Path
if Path(__file__).with_name("broken").exists():
    raise RuntimeError("this version does not start")
from app import app
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_a_reload_to_code_that_does_not_start_leaves_the_server_as_it_was(workers, tmp_path: Path):
    (tmp_path / "mended.py").write_text(BROKEN_APP)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    with Server("mended:app", workers=workers, environment={"PYTHONPATH": path}) as server:
        wait_until(lambda: states(server) == ["serving"] * workers)
        before = set(server.workers())
        (tmp_path / "broken").touch()
        server.signal(signal.SIGHUP)
        # New workers have to start first, and the next ones below.
        wait_until(lambda: "everything goes on as before" in server.log, START_TIMEOUT_SECONDS)
        wait_until(lambda: set(server.workers()) == before)
        wait_until(
            lambda: states(server) == ["serving"] * workers,
            START_TIMEOUT_SECONDS,
            lambda: f"{ready(server)} {server.log}",
        )
        (tmp_path / "broken").unlink()
        server.signal(signal.SIGHUP)
        wait_until(lambda: not before & set(server.workers()), START_TIMEOUT_SECONDS)
        assert chat_status(server) == 200


def states(server: Server) -> list[str]:
    return [worker["state"] for worker in ready(server)[1]["workers"]]


# Which ends of workers are deaths.


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_that_a_signal_ends_is_a_death(number):
    with Server() as server:
        os.kill(server.workers()[0], number)
        wait_until(lambda: server.log.count("Booting worker") == 2)
        metrics = Metrics(server)
        assert metrics.value("worker_deaths_total") == 1


@pytest.mark.slow
def test_a_worker_whose_loop_hangs_is_a_death():
    with Server(arguments=("--timeout", "1")) as server:
        os.kill(server.workers()[0], signal.SIGSTOP)
        # The master sends SIGABRT after a second, and SIGKILL in the next.
        wait_until(lambda: server.log.count("Booting worker") == 2)
        assert Metrics(server).value("worker_deaths_total") == 1


@pytest.mark.slow
def test_workers_that_end_as_they_were_told_are_no_deaths():
    with Server(workers=2) as server:
        wait_until(lambda: states(server) == ["serving"] * 2)
        os.kill(server.workers()[0], signal.SIGTERM)
        wait_until(lambda: server.log.count("Booting worker") == 3)
        wait_until(lambda: states(server) == ["serving"] * 2)
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log.count("Worker exiting") == 3)
        server.signal(signal.SIGTTIN)
        wait_until(lambda: states(server) == ["serving"] * 3)
        server.signal(signal.SIGTTOU)
        wait_until(lambda: server.log.count("Worker exiting") == 4)
        assert Metrics(server).value("worker_deaths_total") == 0
