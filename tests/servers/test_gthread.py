"""Many streams, many aborts and forked processes on gunicorn's gthread worker."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.servers.answer import Answer
from tests.servers.behaviours import abort, seen_idle
from tests.servers.environments import Environments
from tests.servers.running import RunningServer
from tests.servers.wsgi_servers import WsgiServer, gunicorn
from tests.support.server import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def gthread(*arguments: str, **options: str) -> WsgiServer:
    return WsgiServer("gthread", "gthread", gunicorn("-k", "gthread", *arguments, **options))


def test_500_streams_at_a_time_are_whole_and_take_a_file_each(environments: Environments):
    with (
        RunningServer(gthread("--threads", "600"), environments) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(20) as pool,
    ):
        before = server.inspect()

        def open_one(number: int) -> Answer:
            answer = server.stream("waits_for_release", f"of-many-{number}")
            answer.until(b"data: first\n\n")
            return answer

        answers = [stack.enter_context(answer) for answer in pool.map(open_one, range(500))]
        seen = server.inspect()
        assert seen["streams"] == 500
        # A process may have 1,024 by default.
        assert seen["files"] <= before["files"] + 500 + 10
        with server.ask("/release") as answer:
            assert answer.json() == {"released": True}
        for body in pool.map(Answer.body, answers):
            assert body == b"data: last\n\n"
        wait_until(lambda: seen_idle(server))


def test_nothing_leaks_from_3000_aborted_streams(environments: Environments):
    pool_threads = 16
    with RunningServer(gthread("--threads", str(pool_threads)), environments) as server:
        for kind in ("goes_on", "listens"):
            abort(server, kind, 100)
        before = server.until(lambda: seen_idle(server))
        for kind in ("goes_on", "listens"):
            abort(server, kind, 1500)

        def is_as_before() -> bool:
            seen = seen_idle(server)
            return seen is not None and (
                # gunicorn starts its pool's threads as it needs them, some perhaps after "before".
                seen["threads"] <= before["threads"] + pool_threads
                and seen["files"] <= before["files"] + 2
                # One object of each stream would be 3,000.
                and seen["objects"] <= before["objects"] + 500
            )

        wait_until(is_as_before, 20, lambda: f"{before} became {server.inspect()}")


def test_workers_forked_from_a_process_that_has_streamed_notice_a_leaver(
    environments: Environments,
):
    two_workers = gthread(
        *("--preload", "--workers", "2", "--threads", "2"), module="tests.servers.preloaded_app"
    )
    with RunningServer(two_workers, environments) as server:
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < deadline:
            key = server.new_key()
            # Without any write that could fail.
            with server.stream("listens", key, keepalive=0) as answer:
                answer.until(b": stream\n")
                server.until_runs(key)
            server.noted(key, "heard", timeout_seconds=5)
            seen.add(server.process_of(key))
        assert len(seen) == 2
