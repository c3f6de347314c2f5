"""What the tests of the client send, and how they read it."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

from flask_sluice.client import SSEClient, SSEStream, StreamError
from tests.server.raw_upstream import LAST_CHUNK, STREAM_HEAD, Handler, chunk
from tests.support.server import ROOT, clean_environment

EVENT = b"id: 7\ndata: a\n\n"
_SYN_SENT = "02"
DONE = b"data: [DONE]\n\n"


def post(client: SSEClient, **options: object) -> SSEStream:
    return client.stream("POST", "/", json={"question": "?"}, **options)


def texts(stream: Iterable) -> list[str]:
    return [event.data for event in stream]


def failure_of(stream: SSEStream) -> StreamError:
    """Reads the stream to its end, which must be one that raises."""
    try:
        for _ in stream:
            pass
    except StreamError as error:
        return error
    raise AssertionError(f"the stream ended as {stream.ending}")


def streams_then_waits(gate: threading.Event, *writes: bytes) -> Handler:
    """Sends the last of the writes, and the end, when the gate opens."""

    def handler(sock, request):
        *before, last = [chunk(write) for write in writes]
        sock.sendall(b"".join([STREAM_HEAD, *before]))
        gate.wait()
        sock.sendall(last + LAST_CHUNK)

    return handler


def trickles(before: bytes, piece: bytes) -> Handler:
    """Sends the piece every five milliseconds, until the client has left."""

    def handler(sock, request):
        sock.sendall(before)
        while True:
            threading.Event().wait(0.005)
            sock.sendall(piece)

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """The first connection gets the first of them, the next the next, and those behind them the last."""
    left = list(handlers)

    def handler(sock, request):
        (left.pop(0) if len(left) > 1 else left[0])(sock, request)

    return handler


@contextlib.contextmanager
def deaf_server() -> Iterator[str]:
    """A port that takes no more connections: its queue is full, and nobody accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        while True:
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0.1)
            try:
                sock.connect(listener.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def connecting_to(url: str) -> int:
    """How many connections wait for the server's answer."""
    port = int(url.rpartition(":")[2])
    with open("/proc/net/tcp") as table:
        return [line.split()[2:4] for line in table].count([f"0100007F:{port:04X}", _SYN_SENT])


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list]:
    """Runs it; its result, or what it raised, is in the list."""
    results: list = []

    def run():
        try:
            results.append(function())
        except StreamError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def start_command(*arguments: str) -> subprocess.Popen:
    """``python -m flask_sluice.client`` with these arguments."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask_sluice.client", *arguments],
        cwd=ROOT,
        env={**clean_environment(), "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
