"""Well-behaved clients beside an attack, in a process of their own: the attack must not slow down what measures it.

As a program it reads one paced stream after the other, several at a time, until its standard input ends, then
the ones that it has begun to their ends, and prints what it has seen.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import gevent.event

from tests.server.observer import Observer
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, get

READERS = 5
EVENTS = 50
PACE_SECONDS = 0.02
MAX_GAP_SECONDS = 1.0
"""50 times the pace. What holds everybody up for longer is an attack that works; less may be the machine."""
_WAIT_SECONDS = 20
"""Slow, but not yet dead."""


@contextlib.contextmanager
def bystanders(server: Server, max_gap_seconds: float = MAX_GAP_SECONDS) -> Iterator[None]:
    """What runs inside must not disturb other streams of ``server``, which serves tests.system.attacked_app.

    Fails if one of them lost an event, was not whole, or stood still for ``max_gap_seconds``; if afterwards
    anything is open in the worker that was not before; or if a traceback or a control character is in the log.
    """
    observer = Observer(server)
    _read_some_streams(server)  # What is made once, with the first streams, is no leak.
    before = _quiet(observer)
    log_begins_at = len(server.log)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.bystanders", str(server.port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "all have begun\n"
        yield
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    seen = json.loads(output)
    assert seen["failures"] == [], seen
    assert seen["largest_gap_seconds"] < max_gap_seconds, seen
    after = wait_until(
        lambda: (now := _quiet(observer)) and now["greenlets"] <= before["greenlets"] and now,
        explain=lambda: f"before {before} after {observer.ask('/inspect')}",
    )
    for thing in ("files", "watched", "timed", "inflight"):
        assert after[thing] <= before[thing], f"{thing}: {before} {after}"
    observer.close()
    check_log(server.log[log_begins_at:])


def check_log(log: str) -> None:
    """Nothing in it was written by a client or an upstream: no control characters, no traceback."""
    assert "Traceback" not in log, log[-5000:]
    for line in log.split("\n"):
        assert line.isprintable(), repr(line)
        assert len(line) < 5000, f"{line[:500]} …"


def _read_some_streams(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(get("/paced"))
        Response(sock).body()


def _quiet(observer: Observer) -> dict:
    """What is open when there are no streams."""
    return wait_until(
        lambda: (seen := observer.until_idle())["watched"] == 0 and seen,
        explain=lambda: str(observer.ask("/inspect")),
    )


class Reader:
    """Reads streams until it is told that it was the last one."""

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.gaps: list[float] = []
        self.is_last = False
        self.has_begun = gevent.event.Event()
        self._port = port

    def run(self) -> None:
        while not self.is_last:
            try:
                self._read_stream()
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append(repr(error))
                self.has_begun.set()
                return

    def _read_stream(self) -> None:
        last_at = time.monotonic()
        with socket.create_connection(("127.0.0.1", self._port), _WAIT_SECONDS) as sock:
            sock.sendall(get("/paced"))
            response = Response(sock)
            assert response.status == 200, response.status
            body = b""
            for piece in response.chunks():
                now = time.monotonic()
                self.gaps.append(now - last_at)
                last_at = now
                body += piece
                self.has_begun.set()
        numbers = [event[6:] for event in body.split(b"\n\n") if event.startswith(b"data: ")]
        assert numbers == [b"%d" % number for number in range(EVENTS)], numbers
        assert body.endswith(b"event: done\ndata: \n\n"), body[-100:]


def main() -> None:
    readers = [Reader(int(sys.argv[1])) for _ in range(READERS)]
    greenlets = [gevent.spawn(reader.run) for reader in readers]
    for reader in readers:
        reader.has_begun.wait()
    print("all have begun", flush=True)
    gevent.get_hub().threadpool.apply(sys.stdin.read)
    for reader in readers:
        reader.is_last = True
    gevent.joinall(greenlets)
    gaps = [gap for reader in readers for gap in reader.gaps]
    failures = [failure for reader in readers for failure in reader.failures]
    print(json.dumps({"failures": failures, "largest_gap_seconds": max(gaps)}))


if __name__ == "__main__":
    main()
