"""Clients come and go at any moment: nothing of them stays behind."""

import random
import time

import pytest

from tests.server.observer import Observer
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post, reset

pytestmark = pytest.mark.measures

ABORTS = 3000
MOMENTS_SECONDS = (0, 0, 0.0005, 0.001, 0.003)

PREFILL = {"ttft_ms": 50, "itl_ms": 1, "tokens": 5}
SHORT = {"itl_ms": 0, "tokens": 2}
LONG = {"itl_ms": 1, "tokens": 5000}
FAULTS = [{"fault": {"kind": kind}, "itl_ms": 0} for kind in ("cut", "reset", "stall")]


def random_request(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return get("/stream_chat?name=hello").replace(b"GET", rng.choice([b"GET", b"HEAD"]))
    simulator = rng.choice([PREFILL, SHORT, LONG, *FAULTS])
    request = post("/v1/chat/completions", chat(simulator=simulator, stream=rng.random() < 0.8))
    if rng.random() < 0.2:
        return request[
            : rng.randrange(1, len(request))
        ]  # The client leaves before its body was sent.
    return request


def abort_once(server: Server, rng: random.Random) -> None:
    sock = server.connect()
    sock.sendall(random_request(rng))
    time.sleep(rng.choice(MOMENTS_SECONDS))
    if rng.random() < 0.5:
        reset(sock)
    else:
        sock.close()


@pytest.mark.slow
def test_3000_aborts_at_random_moments_leave_nothing_behind():
    rng = random.Random(0)
    with Server("tests.server.inspected_app:app") as server:
        observer = Observer(server)
        # What is made once, with the first streams, is no leak.
        for _ in range(50):
            abort_once(server, rng)
        before = quiet(observer)
        assert before["greenlets"] >= 2  # the ticker and the observer's own: they are counted
        for _ in range(ABORTS):
            abort_once(server, rng)
        after = wait_until(
            lambda: (seen := quiet(observer))["greenlets"] <= before["greenlets"] and seen,
            explain=lambda: f"{before} {observer.ask('/inspect')}",
        )
        for thing in ("greenlets", "files", "watched", "timed", "inflight"):
            assert after[thing] <= before[thing], thing
        assert "Traceback" not in server.log


@pytest.mark.parametrize("relayed", [False, True], ids=["simulator", "relay"])
def test_closed_streams_are_freed_at_once(relayed):
    """Without the collector, that is: a full collection comes once in minutes where ten thousand streams are open."""
    with Server() as upstream:
        settings = {"upstream": f"{upstream.url}/v1"} if relayed else {}
        with Server("tests.server.inspected_app:app", **settings) as server:
            observer = Observer(server)
            for moment in ("before the first event", "after it", "after the end"):
                waits = {"ttft_ms": 60_000} if moment == "before the first event" else {}
                tokens = 1 if moment == "after the end" else 100_000
                for _ in range(20):
                    with server.connect() as sock:
                        sock.sendall(
                            post(
                                "/v1/chat/completions",
                                chat(simulator={"tokens": tokens, "itl_ms": 20, **waits}),
                            )
                        )
                        if moment == "after it":
                            sock.recv(100)
                        elif moment == "after the end":
                            Response(sock).body()
                wait_until(lambda: observer.ask("/alive")["streams"] == 0)


def quiet(observer: Observer) -> dict:
    """What is open once the aborted connections have been noticed: none but the observer's."""
    return wait_until(
        lambda: (seen := observer.until_idle())["watched"] == 0 and seen["greenlets"] <= 4 and seen,
        explain=lambda: str(observer.ask("/inspect")),
    )
