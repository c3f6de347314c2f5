"""A request is sent to an upstream once: a completion that is generated twice is paid twice."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.ports import free_port
from tests.server.raw_upstream import (
    STREAM_HEAD,
    Handler,
    RawUpstream,
    chunk,
    hang_up,
    head,
    sends,
    sends_and_closes,
    whole,
)
from tests.server.relayed import (
    HELLO,
    JSON_ANSWER,
    PATH,
    SILENT,
    ask_chat,
    in_stream_error,
    refusal,
    stream_of,
)
from tests.support.server import Server, wait_until
from tests.support.stream import ask, chat, get, post, reset

ANSWERS = sends(whole(JSON_ANSWER))


def resets(sock: socket.socket, request: bytes) -> None:
    reset(sock)


def with_kept_connection(relay: Server, upstream: RawUpstream) -> None:
    """Have the relay keep a connection on which the upstream has answered once."""
    upstream.handler = ANSWERS
    assert ask_chat(relay, stream=False)[0].status == 200
    assert len(upstream.connections) == 1


def then(*handlers: Handler) -> Handler:
    """Treat each request with the next of these."""
    left = iter(handlers)

    def handler(sock: socket.socket, request: bytes) -> None:
        next(left)(sock, request)

    return handler


# A kept connection.


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("end", [hang_up, reset], ids=["FIN", "RST"])
def test_a_post_that_a_kept_connection_has_read_is_not_sent_again(relay, upstream, end, stream):
    with_kept_connection(relay, upstream)
    upstream.handler = lambda sock, request: end(sock)
    response, body = ask_chat(relay, stream=stream)
    assert response.status == 502
    assert b'"code":"upstream_unreachable"' in body
    assert b"not sent again" in body
    assert len(upstream.requests) == 2


def test_a_post_to_any_route_is_not_sent_again(relay, upstream):
    with_kept_connection(relay, upstream)
    upstream.handler = sends_and_closes()
    response, _ = ask(relay, post("/v1/embeddings", {"input": "x"}))
    assert (response.status, len(upstream.requests)) == (502, 2)


def test_a_post_that_broke_in_the_answers_head_is_not_sent_again(relay, upstream):
    with_kept_connection(relay, upstream)
    upstream.handler = sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-")
    assert refusal(relay) == (502, "upstream_invalid")
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_an_idempotent_request_is_sent_once_more_on_a_new_connection(relay, upstream, method):
    with_kept_connection(relay, upstream)
    upstream.handler = then(sends_and_closes(), ANSWERS)
    request = get("/v1/files/f").replace(b"GET", method.encode(), 1)
    assert ask(relay, request)[1] == JSON_ANSWER
    assert len(upstream.requests) == 3


def test_an_idempotent_request_is_not_sent_a_third_time(relay, upstream):
    with_kept_connection(relay, upstream)
    upstream.handler = sends_and_closes()
    assert ask(relay, get("/v1/models"))[0].status == 502
    assert len(upstream.requests) == 3


def test_a_kept_connection_that_the_upstream_has_closed_is_not_used(relay, upstream):
    with_kept_connection(relay, upstream)
    (kept,) = upstream.connections
    hang_up(kept.sock)
    assert ask_chat(relay, stream=False)[1] == JSON_ANSWER
    assert [len(connection.requests) for connection in upstream.connections] == [1, 1]


def test_an_idle_connection_is_closed_at_once_when_the_upstream_closes_it(relay, upstream):
    with_kept_connection(relay, upstream)
    (kept,) = upstream.connections
    kept.sock.shutdown(socket.SHUT_WR)
    shut_at = time.monotonic()
    # Without being told of it, the relay would close the connection after 4 s.
    assert wait_until(lambda: kept.closed_at) - shut_at < 3.5


def test_a_connection_is_not_kept_for_longer_than_the_upstream_says(relay, upstream):
    upstream.handler = sends(whole(JSON_ANSWER, Keep_Alive="timeout=1, max=100"))
    for _ in range(2):
        ask_chat(relay, stream=False)
    assert [len(connection.requests) for connection in upstream.connections] == [1, 1]


# Several upstreams.


@pytest.fixture(scope="module")
def second() -> Iterator[RawUpstream]:
    with RawUpstream(ANSWERS) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def pair_server(raw_upstream: RawUpstream, second: RawUpstream) -> Iterator[Server]:
    with Server(upstream=f"{raw_upstream.url},{second.url}") as server:
        yield server


# One for each test: an upstream that was silent for the whole time gets no requests for a while.
@pytest.fixture
def new_pair(upstream: RawUpstream, second: RawUpstream) -> Iterator[Server]:
    second.close_connections()
    # The one that answers does so within this time, on a busy machine, too.
    urls = f"{upstream.url},{second.url}"
    with Server(upstream=urls, first_event_timeout_seconds=2) as server:
        yield server


@pytest.fixture
def pair(pair_server: Server, upstream: RawUpstream, second: RawUpstream) -> Server:
    """Stands in front of both, which have answered since the failures in other tests."""
    upstream.handler = ANSWERS
    for _ in range(2):
        ask_chat(pair_server, stream=False)
    upstream.close_connections()
    second.close_connections()
    return pair_server


BROKEN: dict[str, Handler] = {
    "closes": sends_and_closes(),
    "resets": resets,
    "closes-in-the-head": sends_and_closes(b"HTTP/1.1 200 OK\r\n"),
    "is-not-http": sends_and_closes(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "closes-behind-a-json-head": sends_and_closes(whole(JSON_ANSWER)[: -len(JSON_ANSWER)]),
    "closes-behind-a-streams-head": sends_and_closes(STREAM_HEAD),
    "answers-html": sends(whole(b"<html>", Content_Type="text/html")),
}
SILENCES: dict[str, Handler] = {
    "at-once": SILENT,
    "behind-a-streams-head": sends(STREAM_HEAD),
}


@pytest.mark.parametrize("failure", BROKEN)
def test_no_other_upstream_gets_a_post_that_one_may_have_read(pair, upstream, second, failure):
    upstream.handler = BROKEN[failure]
    assert {ask_chat(pair)[0].status for _ in range(2)} == {200, 502}
    assert (len(upstream.requests), len(second.requests)) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("silence", SILENCES)
def test_no_other_upstream_gets_a_post_on_which_one_is_silent(new_pair, upstream, second, silence):
    upstream.handler = SILENCES[silence]
    assert {ask_chat(new_pair)[0].status for _ in range(2)} == {200, 504}
    assert (len(upstream.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize("failure", [name for name in BROKEN if "html" not in name])
def test_another_upstream_gets_an_idempotent_request_that_one_did_not_answer(
    pair, upstream, failure
):
    upstream.handler = BROKEN[failure]
    assert {ask(pair, get("/v1/models"))[0].status for _ in range(2)} == {200}
    assert upstream.requests


@pytest.mark.slow
@pytest.mark.parametrize("silence", SILENCES)
def test_another_upstream_gets_an_idempotent_request_on_which_one_is_silent(
    new_pair, upstream, silence
):
    upstream.handler = SILENCES[silence]
    assert {ask(new_pair, get("/v1/models"))[0].status for _ in range(2)} == {200}
    assert upstream.requests


@pytest.mark.slow
@pytest.mark.parametrize("status", [502, 503, 504, 529])
@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "cut"])
def test_another_upstream_gets_a_post_that_one_refuses(pair, upstream, status, cut):
    answer = whole(b'{"error":{}}', f"{status} Busy")
    upstream.handler = sends_and_closes(answer[: len(answer) - cut])
    assert {ask_chat(pair)[0].status for _ in range(2)} == {200}
    assert upstream.requests


def test_another_upstream_gets_a_post_where_one_takes_no_connection(second):
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    with Server(upstream=f"{nowhere},{second.url}") as server:
        assert [ask_chat(server)[0].status for _ in range(2)] == [200, 200]


@pytest.mark.slow
def test_another_upstream_gets_a_post_whose_connection_was_reset_before_it_was_sent(second):
    """A new connection that is reset while TLS would have begun has carried nothing of the request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset_all() -> None:
            while True:
                sock, _ = listener.accept()
                if not sock.recv(1):
                    return
                reset(sock)

        thread = threading.Thread(target=reset_all)
        thread.start()
        port = listener.getsockname()[1]
        with Server(upstream=f"https://127.0.0.1:{port}/v1,{second.url}") as server:
            assert [ask_chat(server)[0].status for _ in range(2)] == [200, 200]
        with socket.create_connection(("127.0.0.1", port)):
            pass
        thread.join()


def test_a_stream_that_breaks_behind_its_first_event_is_not_asked_for_again(pair, upstream, second):
    upstream.handler = second_handler = sends_and_closes(STREAM_HEAD, chunk(HELLO))
    before, second.handler = second.handler, second_handler
    try:
        assert in_stream_error(stream_of(pair)) == (HELLO, "upstream_truncated")
    finally:
        second.handler = before
    assert len(upstream.requests) + len(second.requests) == 1


def test_a_large_post_that_is_cut_while_it_is_sent_goes_to_no_other_upstream(second):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        received: list[bytes] = []

        def read_a_part() -> None:
            sock, _ = listener.accept()
            received.append(sock.recv(1000))
            reset(sock)

        thread = threading.Thread(target=read_a_part)
        thread.start()
        second.close_connections()
        with Server(upstream=f"{second.url},http://127.0.0.1:{port}/v1") as server:
            response, _ = ask(server, post(PATH, chat(padding="x" * (2 << 20))))
        thread.join()
    assert (response.status, len(received), len(second.requests)) == (502, 1, 0)


def test_head_requests_and_options_are_idempotent_too(relay, upstream):
    with_kept_connection(relay, upstream)
    upstream.handler = then(sends_and_closes(), sends(head(Content_Length=5)))
    with relay.connect() as sock:
        sock.sendall(get("/v1/models").replace(b"GET", b"HEAD", 1))
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
