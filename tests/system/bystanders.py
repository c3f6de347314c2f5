"""Well-behaved clients beside an attack, and as many of a second server that nobody attacks: the machine is
slow for both.

They are in a process of their own, so that the attack does not slow down what measures it. As a program this
reads one paced stream after the other, several at a time, of the ports that it is given, until its standard
input ends.
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

import gevent

from tests.server.observer import Observer
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, get

READERS = 5
EVENTS = 25
PACE_SECONDS = 0.02
MAX_GAP_SECONDS = 1.0
"""50 times the pace, and beyond what the machine itself holds up."""
_NOISE_FACTOR = 4
_WAIT_SECONDS = 60
"""Slow, but not yet dead."""


class Bystanders:
    """Readers of ``server``, which serves tests.system.attacked_app, from ``with`` to its end.

    At the end it fails if one of them lost an event or was not whole; if anything is open in the worker that
    was not before; or if a traceback or a control character is in the log.

    idle_connections: how many to an upstream may have been kept for the next request
    """

    def __init__(self, server: Server, idle_connections: int = 0) -> None:
        self._server = server
        self._idle_connections = idle_connections

    def __enter__(self) -> "Bystanders":
        self._control = Server("tests.system.attacked_app:app").__enter__()
        self._observer = Observer(self._server)
        _warm_up(self._server)
        self._before = _quiet(self._observer)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.system.bystanders"),
                *(str(self._server.port), str(self._control.port)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask()
        return self

    def __exit__(self, exception_type: object, *_: object) -> None:
        try:
            if exception_type is None:
                seen = json.loads(self._process.communicate(timeout=60)[0])
                assert seen["failures"] == [], seen
        finally:
            self._process.kill()
            self._process.wait()
            self._control.stop()
        if exception_type is None:
            self._check_leaks()
            check_log(self._server.log)
        self._observer.close()

    @contextlib.contextmanager
    def undisturbed(self, max_gap_seconds: float = MAX_GAP_SECONDS) -> Iterator[None]:
        """Fails if what runs inside has made one of them fail, or stand still for ``max_gap_seconds``."""
        self._ask()
        yield
        seen = self._ask()
        assert seen["failures"] == [], seen
        largest, without_attack = seen["largest_gaps_seconds"]
        assert largest < max_gap_seconds + _NOISE_FACTOR * without_attack, seen

    def _ask(self) -> dict:
        """What was seen since the last time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def _check_leaks(self) -> None:
        before = self._before
        after = wait_until(
            lambda: (
                (now := _quiet(self._observer)) and now["greenlets"] <= before["greenlets"] and now
            ),
            explain=lambda: f"before {before} after {self._observer.ask('/inspect')}",
        )
        assert after["files"] <= before["files"] + self._idle_connections, f"{before} {after}"
        for thing in ("watched", "timed", "inflight"):
            assert after[thing] <= before[thing], f"{thing}: {before} {after}"


@contextlib.contextmanager
def bystanders(
    server: Server, max_gap_seconds: float = MAX_GAP_SECONDS, idle_connections: int = 0
) -> Iterator[None]:
    """For one attack alone."""
    with Bystanders(server, idle_connections) as others, others.undisturbed(max_gap_seconds):
        yield


def check_log(log: str) -> None:
    """Nothing in it was written by a client or an upstream: no control characters, no traceback."""
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:5000]
    for line in log.split("\n"):
        assert line.isprintable(), repr(line)
        assert len(line) < 5000, f"{line[:500]} …"


def _warm_up(server: Server) -> None:
    """What is made once, with the first streams, is no leak."""
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
    """Reads one stream after the other until it is told that this was the last."""

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.largest_gap_seconds = 0.0
        self.is_last = False
        self._port = port
        self._last_at = time.monotonic()

    def run(self) -> None:
        while not (self.is_last or self.failures):
            try:
                self._read_stream()
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append(repr(error))

    def take_gap(self) -> float:
        """The largest since the last time, also one that goes on."""
        gap = max(self.largest_gap_seconds, time.monotonic() - self._last_at)
        self.largest_gap_seconds = 0.0
        return gap

    def _read_stream(self) -> None:
        self._last_at = time.monotonic()
        with socket.create_connection(("127.0.0.1", self._port), _WAIT_SECONDS) as sock:
            sock.sendall(get("/paced"))
            response = Response(sock)
            assert response.status == 200, response.status
            body = b""
            for piece in response.chunks():
                now = time.monotonic()
                self.largest_gap_seconds = max(self.largest_gap_seconds, now - self._last_at)
                self._last_at = now
                body += piece
        # The first event may follow a comment.
        numbers = [
            line[6:] for line in body.split(b"\n") if line.startswith(b"data: ") and line[6:]
        ]
        assert numbers == [b"%d" % number for number in range(EVENTS)], numbers
        assert body.endswith(b"event: done\ndata: \n\n"), body[-100:]


def main() -> None:
    """For each line of input, and for its end, a line of output: what was seen since the last."""
    groups = [[Reader(int(port)) for _ in range(READERS)] for port in sys.argv[1:]]
    readers = [reader for group in groups for reader in group]
    greenlets = [gevent.spawn(reader.run) for reader in readers]
    while gevent.get_hub().threadpool.apply(sys.stdin.readline):
        report(groups)
    for reader in readers:
        reader.is_last = True
    gevent.joinall(greenlets)
    report(groups)


def report(groups: list[list[Reader]]) -> None:
    failures = [failure for group in groups for reader in group for failure in reader.failures]
    gaps = [max(reader.take_gap() for reader in group) for group in groups]
    print(json.dumps({"failures": failures, "largest_gaps_seconds": gaps}), flush=True)


if __name__ == "__main__":
    main()
