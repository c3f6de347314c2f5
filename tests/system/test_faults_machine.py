"""What the machine does to a worker: a full disk, a clock that is set, no files left, a loop that is blocked."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.bystanders import bystanders
from tests.system.file_limit import limit_of_files

CHAT = "/v1/chat/completions"
KEEPALIVE_SECONDS = 0.3


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(
        "tests.system.attacked_app:app", keepalive_seconds=KEEPALIVE_SECONDS, history_seconds=60
    ) as server:
        yield server


@contextlib.contextmanager
def open_stream(server: Server, **simulator: object) -> Iterator[Response]:
    with server.connect() as sock:
        sock.sendall(post(CHAT, chat(simulator=simulator)))
        yield Response(sock)


def is_whole(response: Response) -> bool:
    return response.body().endswith(b"data: [DONE]\n\n")


def ask(server: Server, request: bytes) -> tuple[int, bytes]:
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        return response.status, response.body()


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_of_two_workers_one_that_is_killed_takes_only_its_own_streams_with_it():
    with Server("tests.system.attacked_app:app", workers=2) as server:
        streams: dict[int, Response] = {}

        def has_one_at_each() -> bool:
            sock = server.connect()
            sock.sendall(get("/inspect"))
            response = Response(sock)
            pid = json.loads(response.body())["pid"]
            # The connection stays at its worker.
            sock.sendall(post(CHAT, chat(simulator={"tokens": 200, "itl_ms": 20})))
            streams.setdefault(pid, Response(sock))
            return len(streams) == 2

        wait_until(has_one_at_each)
        killed, other = streams
        for response in streams.values():
            assert response.chunk()
        os.kill(killed, signal.SIGKILL)
        with pytest.raises((EOFError, ConnectionResetError)):
            streams[killed].body()
        assert ask(server, get("/healthz"))[0] == 200
        assert is_whole(streams[other])
        workers = {other}

        def is_replaced() -> bool:
            workers.add(json.loads(ask(server, get("/inspect"))[1])["pid"])
            return len(workers - {killed}) == 2

        wait_until(is_replaced)


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full-disk", "closed-pipe"])
def test_a_log_that_takes_nothing_ends_no_stream(server, kind):
    with bystanders(server), open_stream(server, tokens=60, itl_ms=10) as before:
        ask(server, get(f"/print-to?kind={kind}"))
        assert is_whole(before)
        with open_stream(server, itl_ms=0, fault={"kind": "error_event"}) as response:
            assert b'"error"' in response.body()
        assert ask(server, b"GET / HTTP/9.9\r\n\r\n")[0] == 400  # gunicorn writes a line, too.
        for _ in range(100):
            with open_stream(server, tokens=1, itl_ms=0) as response:
                assert is_whole(response)


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("ahead", [3600, -3600])
def test_a_clock_that_is_set_disturbs_no_stream(server, ahead):
    start = post("/v1/streams", chat(simulator={"tokens": 60, "itl_ms": 20}))
    ask(server, start)  # What keeps histories is made with the first, and stays.
    with bystanders(server), open_stream(server, itl_ms=0, fault={"kind": "stall"}) as stalled:
        url = json.loads(ask(server, start)[1])["url"]
        now = json.loads(ask(server, get(f"/set-clock?ahead={ahead}"))[1])["now"]
        assert abs(now - time.time() - ahead) < 60
        for _ in range(3):
            started_at = time.monotonic()
            assert stalled.until(b": keep-alive\n")
            assert time.monotonic() - started_at < 4 * KEEPALIVE_SECONDS
        _, answer = ask(server, get(url))
        assert answer.count(b"event: done") == 1
        # It is kept for a time that the clock on the wall does not measure.
        assert ask(server, get(url)) == (200, answer)


@pytest.mark.slow
def test_a_worker_without_files_left_keeps_its_streams_and_recovers(server):
    observer = Observer(server)
    pid = observer.ask("/inspect")["pid"]
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(open_stream(server, tokens=150, itl_ms=20)) for _ in range(10)
        ]
        with limit_of_files(pid, left=5):
            waiting = [stack.enter_context(server.connect()) for _ in range(30)]
            for sock in waiting:
                sock.sendall(get("/healthz"))
            wait_until(lambda: "Too many open files" in server.log)
            cpu_before, began_at = cpu_seconds(pid), time.monotonic()
            assert all(is_whole(response) for response in running)
            # It tries to accept again now and then, and does not spin.
            assert cpu_seconds(pid) - cpu_before < 0.5 * (time.monotonic() - began_at)
            assert server.log.count("Too many open files") < 60
        assert [Response(sock).status for sock in waiting] == [200] * 30
    observer.close()


@pytest.mark.measures
@pytest.mark.slow
def test_a_loop_that_was_blocked_goes_on_where_it_was(server):
    with (
        bystanders(server, max_gap_seconds=4),
        open_stream(server, itl_ms=0, fault={"kind": "stall"}) as stalled,
    ):
        assert stalled.until(b": keep-alive\n")
        assert ask(server, get("/block?seconds=2"))[0] == 200
        for _ in range(3):
            assert stalled.until(b": keep-alive\n")
