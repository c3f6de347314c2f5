"""The client leaves: the upstream's connection is closed at once, whatever the relay is waiting for."""

import re
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.observer import Observer
from tests.server.raw_upstream import (
    STREAM_HEAD,
    Connection,
    RawUpstream,
    chunk,
    head,
    sends,
    streams,
)
from tests.support.quick import assert_quick
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, post, reset

pytestmark = pytest.mark.measures

LEAVES = {"fin": socket.socket.close, "rst": reset}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
STREAM = post("/v1/chat/completions", chat())
WHOLE = post("/v1/chat/completions", chat(stream=False))
SPEECH = post("/v1/audio/speech", {"input": "x"})
SYN_SENT = "02"


def ticks(sock: socket.socket, request: bytes) -> None:
    """Sends events as fast as a model does, until the peer leaves."""
    sock.sendall(STREAM_HEAD)
    while not select.select([sock], [], [], 0.002)[0]:
        sock.sendall(chunk(EVENT))


def floods(sock: socket.socket, request: bytes) -> None:
    """Sends more than all buffers on the way can hold."""
    sock.sendall(STREAM_HEAD)
    while True:
        sock.sendall(chunk(EVENT * 1000))


SENDS_ALL = (STREAM_HEAD + chunk(EVENT), chunk(EVENT[:20]))
HALF_A_BODY = head(Content_Type="audio/mpeg", Content_Length=100) + b"half"
# What is asked, how the upstream answers, and how much of the body the client waits for; None: not for the head.
MOMENTS = {
    "waiting-for-headers": (STREAM, sends(), None),
    "waiting-for-the-first-event": (STREAM, sends(STREAM_HEAD + chunk(EVENT[:20])), None),
    "between-events": (STREAM, ticks, 3 * len(EVENT)),
    "stalled": (STREAM, sends(*SENDS_ALL), len(EVENT)),
    "waiting-for-headers-without-a-stream": (WHOLE, sends(), None),
    "in-the-body-of-an-answer-that-is-no-stream": (SPEECH, sends(HALF_A_BODY), 0),
}


@pytest.fixture(scope="module")
def relay(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server("tests.server.inspected_app:app", upstream=raw_upstream.url) as server:
        yield server


def open_request(
    relay: Server, upstream: RawUpstream, request: bytes, until: int | None
) -> tuple[socket.socket, Connection]:
    """A client, and the connection at the upstream that serves it."""
    count = len(upstream.requests)
    sock = relay.connect()
    sock.sendall(request)
    wait_until(lambda: len(upstream.requests) > count)
    if until is not None:
        response = Response(sock)
        received = 0
        while received < until:
            received += len(response.chunk())
    return sock, upstream.connections[-1]


@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_upstreams_connection_closes_within_10_ms_of_the_client_leaving(
    relay, upstream, moment, leave
):
    request, upstream.handler, until = MOMENTS[moment]

    def seconds_to_close() -> float:
        sock, connection = open_request(relay, upstream, request, until)
        left_at = time.monotonic()
        LEAVES[leave](sock)
        return wait_until(lambda: connection.closed_at) - left_at

    assert_quick(seconds_to_close)


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a listener that takes no more connections: connecting to it hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield port


@pytest.mark.parametrize("leave", LEAVES)
def test_a_connection_that_is_being_made_is_given_up_within_10_ms_of_the_client_leaving(
    full, leave
):
    with Server("tests.server.inspected_app:app", upstream=f"http://127.0.0.1:{full}/v1") as relay:
        observer = Observer(relay)
        files = Path(f"/proc/{observer.ask('/inspect')['pid']}/fd")
        at_rest = count(files)

        def seconds_to_give_up() -> float:
            sock = relay.connect()
            sock.sendall(STREAM)
            wait_until(lambda: count(files) == at_rest + 2)
            left_at = time.monotonic()
            LEAVES[leave](sock)
            wait_until(lambda: count(files) == at_rest)
            return time.monotonic() - left_at

        with relay.connect() as sock:
            sock.sendall(STREAM)
            wait_until(lambda: is_connecting_to(full))
        wait_until(lambda: count(files) == at_rest)
        assert_quick(seconds_to_give_up)
        observer.until_idle()
        assert "Traceback" not in relay.log


def count(files: Path) -> int:
    return sum(1 for _ in files.iterdir())


def is_connecting_to(port: int) -> bool:
    pattern = rf" [0-9A-F]+:[0-9A-F]+ 0100007F:{port:04X} {SYN_SENT} "
    return re.search(pattern, Path("/proc/net/tcp").read_text()) is not None


def test_the_upstreams_connection_closes_when_the_client_leaves_after_the_commit(upstream):
    upstream.handler = sends()
    with Server(upstream=upstream.url, commit_seconds=0.05) as relay:
        sock, connection = open_request(relay, upstream, STREAM, until=len(": keep-alive\n"))
        sock.close()
        assert wait_until(lambda: connection.closed_at)


def test_the_upstreams_connection_closes_when_the_client_leaves_in_a_blocked_write(relay, upstream):
    upstream.handler = floods
    with relay.connect(receive_buffer_bytes=4096) as sock:
        sock.sendall(STREAM)
        assert Response(sock).status == 200
        (connection,) = upstream.connections
        wait_until(lambda: not select.select([], [connection.sock], [], 0.1)[1])
    # What it sends is not taken any more: its handler ends, and its socket with it.
    wait_until(lambda: connection.sock.fileno() < 0)


def test_a_connection_that_was_given_up_is_not_used_again(relay, upstream):
    upstream.handler = sends(*SENDS_ALL)
    sock, given_up = open_request(relay, upstream, STREAM, len(EVENT))
    sock.close()
    wait_until(lambda: given_up.closed_at)
    upstream.handler = streams(EVENT, b"data: [DONE]\n\n")
    sock, connection = open_request(relay, upstream, STREAM, len(EVENT))
    sock.close()
    assert connection is not given_up


def test_a_client_that_leaves_is_no_failure_of_the_upstream(relay, upstream):
    upstream.handler = sends()
    observer = Observer(relay)
    for _ in range(5):
        sock, connection = open_request(relay, upstream, STREAM, None)
        sock.close()
        wait_until(lambda: connection.closed_at)  # noqa: B023 (it is called in the same turn)
    assert observer.ask("/readyz")["upstreams"] == {upstream.url: "ok"}


def test_the_log_says_that_the_client_left(relay, upstream):
    upstream.handler = sends(*SENDS_ALL)
    request = post("/v1/chat/completions", chat(), X_Request_Id="gone")
    sock, _ = open_request(relay, upstream, request, len(EVENT))
    sock.close()
    (line,) = wait_until(lambda: relay.logged("stream ended", request_id="gone"))
    assert (line["outcome"], line["reason"]) == ("cancelled", "the client disconnected")


def test_nothing_is_left_behind(relay, upstream):
    observer = Observer(relay)

    def leave_at_every_moment() -> dict:
        for request, handler, until in MOMENTS.values():
            upstream.handler = handler
            for leave in LEAVES.values():
                sock, connection = open_request(relay, upstream, request, until)
                leave(sock)
                wait_until(lambda: connection.closed_at)  # noqa: B023
        return wait_until(lambda: (seen := observer.until_idle())["watched"] == 0 and seen)

    before = leave_at_every_moment()
    for _ in range(5):
        after = leave_at_every_moment()
    after = wait_until(
        lambda: (seen := observer.until_idle())["greenlets"] <= before["greenlets"] and seen
    )
    for thing in ("greenlets", "files", "watched", "timed", "inflight"):
        assert after[thing] == before[thing], thing
    assert "Traceback" not in relay.log
