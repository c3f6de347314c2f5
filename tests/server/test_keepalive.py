"""Silence is filled with comments, and no timeout of the server ends a stream."""

import time
from collections.abc import Iterator

import pytest

from tests.support.server import Server
from tests.support.stream import Response, chat, get, post

pytestmark = pytest.mark.measures

KEEPALIVE = b": keep-alive\n"


@pytest.fixture(scope="module")
def lively() -> Iterator[Server]:
    with Server(keepalive_seconds=0.2, commit_seconds=0.1) as server:
        yield server


def answer(server: Server, **simulator: object) -> bytes:
    with server.connect() as sock:
        sock.sendall(post("/v1/chat/completions", chat(simulator=simulator)))
        return Response(sock).body()


def test_a_long_prefill_is_covered(lively):
    body = answer(lively, ttft_ms=1000, tokens=2, itl_ms=0)
    prefill, _, rest = body.partition(b"data: ")
    assert prefill == KEEPALIVE * (len(prefill) // len(KEEPALIVE))
    assert 3 <= len(prefill) // len(KEEPALIVE) <= 6
    assert KEEPALIVE not in rest


def test_any_write_puts_it_off(lively):
    # Four would be due in this second. One is, if the machine stands still for 0.2 s.
    assert answer(lively, itl_ms=50, tokens=20).count(KEEPALIVE) <= 1


def test_a_stalled_stream_is_kept_alive(lively):
    with lively.connect() as sock:
        fault = {"kind": "stall", "after": 1}
        sock.sendall(post("/v1/chat/completions", chat(simulator={"fault": fault, "itl_ms": 0})))
        assert Response(sock).until(KEEPALIVE + KEEPALIVE)


def test_an_event_that_is_half_sent_is_not_interrupted(lively):
    # The halves come 20 ms apart; the unit tests have them further apart.
    body = answer(lively, fault={"kind": "split_utf8", "after": 0}, text="é" * 30, itl_ms=0)
    assert all(block.startswith((b"data: ", b": ")) for block in body.split(b"\n\n")[:-1])


def test_zero_turns_it_off():
    with Server(keepalive_seconds=0, commit_seconds=0.1) as server, server.connect() as sock:
        sock.sendall(post("/v1/chat/completions", chat(simulator={"ttft_ms": 600, "tokens": 1})))
        response = Response(sock)
        assert response.status == 200
        assert b"keep-alive" not in response.body()


def test_no_blank_line_follows_a_keepalive(lively):
    assert b": keep-alive\n\n" not in answer(lively, ttft_ms=600, tokens=1)


def test_a_setting_adds_a_blank_line_to_keepalives_and_the_preamble():
    with Server(keepalive_seconds=0.2, keepalive_blank_line=1, commit_seconds=0.1) as server:
        body = answer(server, ttft_ms=600, tokens=1)
        with server.connect() as sock:
            sock.sendall(get("/stream_chat?name=hi"))
            assert Response(sock).chunk() == b": stream\n\n"
    assert body.startswith(b": keep-alive\n\n: keep-alive\n\n")


@pytest.mark.slow
def test_no_timeout_of_gunicorn_ends_an_unbroken_stream():
    # Each of gunicorn's timeouts is over more than twice before the stream's end.
    arguments = ("--timeout", "2", "--keep-alive", "1", "--graceful-timeout", "1")
    with Server("tests.server.foreign_app:app", arguments=arguments) as server:
        with server.connect() as talking, server.connect() as silent:
            talking.sendall(get("/stream/paces?keepalive=0"))
            silent.sendall(get("/stream/waits?keepalive=1"))
            talk, silence = Response(talking), Response(silent)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                assert talk.chunk()
            assert silence.until(KEEPALIVE * 4)
        assert "WORKER TIMEOUT" not in server.log
