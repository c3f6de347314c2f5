"""The behaviours in which servers differ. Each function returns the words for the table, or fails if there are none for it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.servers.behaviours import YES
from tests.servers.running import RunningServer

NO = "no"
AT_ONCE = "at once"
AT_A_FAILED_WRITE = "when a write fails"
AT_NEXT_YIELD = "at its next `yield`"
IN_ITS_WAIT = "in its wait"
KEEPALIVE_SECONDS = 2.5
AT_ONCE_SECONDS = 2
"""Before the first keep-alive, and before a blocked generator's wait is over."""
MIB = 1 << 20
GOES_ON_SECONDS = 2
"""A stream that has lasted so long after SIGTERM is not ended by it."""
WRITE_TIMEOUT_SECONDS = 1.5
"""The app's."""


def others_are_answered_meanwhile(server: RunningServer) -> str:
    key = server.new_key()
    warning = "this server answers one request at a time"
    with server.stream("goes_on", key) as answer:
        answer.until(b"data: token\n\n")
        if server.server.answers_in_turn:
            server.until(lambda: warning in server.log)
            assert server.log.count(warning) == 1
            return NO
        assert server.inspect()["streams"]
        assert warning not in server.log
    return YES


def a_leaver_is_noticed_during_silence(server: RunningServer) -> str:
    """A prefill of a generator that asks its context."""
    key = server.new_key()
    with server.stream("listens", key, keepalive=KEEPALIVE_SECONDS) as answer:
        answer.until(b": stream\n")
        server.until_runs(key)
    left_at = time.monotonic()
    heard_at = server.noted(key, "heard")
    server.noted(key, "disconnected")
    return AT_ONCE if heard_at - left_at < AT_ONCE_SECONDS else AT_A_FAILED_WRITE


def a_blocked_generator_is_ended(server: RunningServer) -> str:
    """During the prefill, and between events."""
    leavings = [
        _leave_blocked(server, "is_blocked", b": stream\n"),
        _leave_blocked(server, "is_blocked_later", b"data: first\n\n"),
    ]
    words = {
        IN_ITS_WAIT if server.noted(key, "ended") - left_at < AT_ONCE_SECONDS else AT_NEXT_YIELD
        for key, left_at in leavings
    }
    assert len(words) == 1
    return words.pop()


def _leave_blocked(server: RunningServer, kind: str, first: bytes) -> tuple[str, float]:
    key = server.new_key()
    # A keep-alive as often as this: what counts is whether it can be interrupted, not whether a write tells of the leaving.
    with server.stream(kind, key, keepalive=0.1) as answer:
        answer.until(first)
        server.until_runs(key)
    return key, time.monotonic()


def a_reader_that_stands_still_holds_the_generator(server: RunningServer) -> str:
    """The generator is at most 8 events ahead of what the kernel, and the server, take from it.

    The write timeout drops the reader.
    """
    key = server.new_key()
    with server.ask(f"/stream/floods?key={key}", receive_buffer_bytes=4096) as answer:
        assert answer.status == 200
        made = server.until(lambda: _stands_still(server, key))
        server_bytes = made * 65536 - _kernel_bytes() - (8 + 3) * 65536
        is_dropped = _comes_true(lambda: server.has_noted(key, "ended"), WRITE_TIMEOUT_SECONDS + 2)
    server.noted(key, "ended")
    words = "at once" if server_bytes <= 0 else f"after {-(-server_bytes // (4 * MIB)) * 4} MiB"
    return f"{words}; it is dropped" if is_dropped else words


def _stands_still(server: RunningServer, key: str) -> int:
    """Return how many events were made, if there were no more for a while; else 0."""
    made = len(server.notes(key))
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        if len(server.notes(key)) > made:
            return 0
        time.sleep(0.02)
    return made


def _kernel_bytes() -> int:
    """How much a loopback connection's send buffer takes at most."""
    return int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def a_killed_process_is_no_end_of_a_stream(server: RunningServer) -> str:
    """The last of all: what is killed does not serve any more."""
    key = server.new_key()
    with server.stream("goes_on", key) as answer:
        answer.until(b"data: token\n\n")
        os.kill(server.process_of(key), signal.SIGKILL)
        try:
            answer.body()
        except (EOFError, ConnectionResetError):
            return YES
    return NO


def a_stream_after_sigterm(server: RunningServer) -> str:
    """What the reader of a stream gets that would last. For a server of its own, which ends."""
    with server.stream("goes_on", server.new_key()) as answer:
        answer.until(b"data: token\n\n")
        server.terminate()
        goes_on_at = time.monotonic() + GOES_ON_SECONDS
        body = b""
        try:
            while time.monotonic() < goes_on_at:
                events = answer.chunk()
                if not events:
                    break
                body += events
            else:
                return "goes on"
        except (EOFError, ConnectionResetError):
            return "is cut"
    return "gets an error event" if b"event: error" in body else "is cut"
