"""When a connection to an upstream is used again, when it is closed, and how a slow reader slows its own upstream only."""

import select
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    RawUpstream,
    chunk,
    head,
    sends,
    streams,
    whole,
)
from tests.server.relayed import (
    ANSWER,
    DONE,
    HELLO,
    JSON_ANSWER,
    PATH,
    STOP,
    ask_chat,
    stream_of,
)
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, post


def test_the_connection_of_a_finished_answer_is_used_again(relay, upstream):
    for _ in range(3):
        # In one write, since a connection whose response ends after the next request has come is replaced.
        upstream.handler = sends(STREAM_HEAD, chunk(HELLO + STOP), chunk(DONE) + LAST_CHUNK)
        assert stream_of(relay) == ANSWER
        upstream.handler = sends(whole(JSON_ANSWER))
        assert ask_chat(relay, stream=False)[1] == JSON_ANSWER
    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    "answer",
    [
        head(Content_Type="text/event-stream", Content_Length=len(ANSWER), Connection="close"),
        head(Content_Type="text/event-stream", Content_Length=len(ANSWER)).replace(b"1.1", b"1.0"),
    ],
    ids=["connection-close", "http-1.0"],
)
def test_the_connection_is_not_used_again_if_the_upstream_says_so(relay, upstream, answer):
    upstream.handler = sends(answer + ANSWER)
    for _ in range(2):
        assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 2


def test_a_connection_that_closed_while_idle_is_replaced_silently(relay, upstream):
    upstream.handler = streams(ANSWER)
    for _ in range(3):
        assert stream_of(relay) == ANSWER
        upstream.close_connections()


@pytest.mark.parametrize(
    "behind_done",
    [b"nonsense\r\n", LAST_CHUNK + b"HTTP/1.1 408 Request Timeout\r\n\r\n", chunk(HELLO)],
    ids=["nonsense", "another-response", "another-event"],
)
def test_a_connection_that_says_more_than_its_answer_is_replaced_silently(
    relay, upstream, behind_done
):
    upstream.handler = sends(STREAM_HEAD, chunk(ANSWER))
    assert stream_of(relay) == ANSWER
    upstream.connections[0].sock.sendall(behind_done)
    assert stream_of(relay) == ANSWER
    assert len(upstream.connections) == 2


def test_a_slow_reader_slows_its_upstream_and_no_other_stream(relay, upstream):
    is_blocked = threading.Event()

    def floods(sock, request):
        sock.settimeout(0.2)
        sock.sendall(STREAM_HEAD)
        try:
            while True:
                sock.sendall(chunk(b"data: " + b"x" * 65536 + b"\n\n"))
        except TimeoutError:
            is_blocked.set()

    upstream.handler = floods
    with relay.connect(receive_buffer_bytes=4096) as slow:
        slow.sendall(post(PATH, chat()))
        assert Response(slow).status == 200
        assert is_blocked.wait(30)
        upstream.handler = streams(HELLO, STOP, DONE)
        assert stream_of(relay) == ANSWER


def test_a_reader_that_pauses_misses_nothing(relay, upstream):
    events = [b"data: %d %b\n\n" % (number, b"x" * 65536) for number in range(200)]
    is_blocked = threading.Event()

    def blocks(sock, request):
        answer = b"".join(map(chunk, [HELLO, *events, STOP, DONE])) + LAST_CHUNK
        sock.sendall(STREAM_HEAD)
        sock.setblocking(False)
        while answer:
            try:
                answer = answer[sock.send(answer) :]
            except BlockingIOError:
                is_blocked.set()
                select.select([], [sock], [])

    upstream.handler = blocks
    with relay.connect(receive_buffer_bytes=4096) as slow:
        slow.sendall(post(PATH, chat()))
        response = Response(slow)
        assert is_blocked.wait(30)
        assert response.body() == b"".join([HELLO, *events, STOP, DONE])


def test_a_whole_answer_that_cannot_be_passed_on_leaves_its_connection_usable(relay, upstream):
    upstream.handler = sends(head(Content_Type="text/html", Content_Length=0))
    assert [ask_chat(relay)[0].status for _ in range(2)] == [502, 502]
    assert (len(upstream.connections), len(upstream.requests)) == (1, 2)


def connections_to(port: int) -> int:
    """Count this machine's sockets whose peer has this port, in whatever state."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") for line in lines)


def test_connections_that_the_upstream_closes_after_a_burst_are_closed_without_another_request():
    with RawUpstream(sends(STREAM_HEAD, chunk(HELLO))) as upstream, ExitStack() as clients:
        server = clients.enter_context(Server(upstream=upstream.url))
        burst = [clients.enter_context(server.connect()) for _ in range(20)]
        for sock in burst:
            sock.sendall(post(PATH, chat()))
        responses = [Response(sock) for sock in burst]
        assert [response.until(HELLO) for response in responses] == [HELLO] * 20
        for connection in upstream.connections:
            connection.sock.sendall(chunk(DONE) + LAST_CHUNK)
        assert [response.body() for response in responses] == [DONE] * 20
        # Where sockets come and go meanwhile, one reading of the table may leave some out.
        wait_until(lambda: connections_to(upstream.port) == 20)
        upstream.close_connections()
        wait_until(lambda: connections_to(upstream.port) == 0)
