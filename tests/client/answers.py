"""Responses that the tests of the client send, and helpers that read them."""

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
    """Read the stream to its end, which must raise, and return the error."""
    try:
        for _ in stream:
            pass
    except StreamError as error:
        return error
    raise AssertionError(f"the stream ended as {stream.ending}")


def streams_then_waits(gate: threading.Event, *writes: bytes) -> Handler:
    """Send the last of the writes, and the end of the body, when the gate opens."""

    def handler(sock, request):
        *before, last = [chunk(write) for write in writes]
        sock.sendall(b"".join([STREAM_HEAD, *before]))
        gate.wait()
        sock.sendall(last + LAST_CHUNK)

    return handler


def trickles(before: bytes, piece: bytes) -> Handler:
    """Send the piece every five milliseconds until the client disconnects."""

    def handler(sock, request):
        sock.sendall(before)
        while True:
            threading.Event().wait(0.005)
            sock.sendall(piece)

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """Give each connection the next handler; further connections get the last one."""
    left = list(handlers)

    def handler(sock, request):
        (left.pop(0) if len(left) > 1 else left[0])(sock, request)

    return handler


@contextlib.contextmanager
def deaf_server() -> Iterator[str]:
    """A port that accepts no connections: its queue is full."""
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
    """Return how many connections wait for the server to accept them."""
    port = int(url.rpartition(":")[2])
    with open("/proc/net/tcp") as table:
        return [line.split()[2:4] for line in table].count([f"0100007F:{port:04X}", _SYN_SENT])


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list]:
    """Run the function in a thread; its result, or the StreamError that it raised, is in the list."""
    results: list = []

    def run():
        try:
            results.append(function())
        except StreamError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def start_command(
    *arguments: str | bytes, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.Popen:
    """Start ``sluice ask`` with these arguments and additional environment variables."""
    # Where the tests run as a background job of a script, SIGINT is ignored, and programs inherit that.
    program = ["env", "--default-signal=INT", sys.executable, "-m", "flask_sluice", "ask"]
    return subprocess.Popen(
        [*program, *arguments],
        cwd=ROOT,
        env={**clean_environment(), "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "", **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
