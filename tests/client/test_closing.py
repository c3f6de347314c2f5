"""close() from another thread: whoever waits wakes at once, and nothing is left behind."""

import os
import random
import socket
import threading
import time

import pytest

from flask_sluice.client import Ending, SSEClient, SSEStream, StreamClosedError, Timeouts
from flask_sluice.client.connection import ClientConnection
from flask_sluice.client.timeouts import TimeLimits
from tests.client.answers import EVENT, connecting_to, deaf_server, in_thread, post, texts
from tests.server.raw_upstream import STREAM_HEAD, chunk, head, sends
from tests.support.server import wait_until

AT_ONCE_SECONDS = 5
"""On a busy machine; all limits of the streams here are longer."""


def close_while_read(stream: SSEStream, is_waiting) -> StreamClosedError:
    """Closes it once ``is_waiting()``; returns what the reader got."""
    thread, results = in_thread(lambda: texts(stream))
    wait_until(is_waiting)
    closed_at = time.monotonic()
    stream.close()
    thread.join(10)
    assert time.monotonic() - closed_at < AT_ONCE_SECONDS
    (error,) = results
    assert isinstance(error, StreamClosedError)
    assert stream.ending is Ending.CLOSED
    return error


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_reader_that_waits_for_the_connection_wakes():
    with deaf_server() as url:
        files, others = open_files(), connecting_to(url)
        stream = SSEClient(url).stream("POST", "/")
        close_while_read(stream, lambda: connecting_to(url) > others)
        assert open_files() <= files
        wait_until(lambda: connecting_to(url) == others)


def test_a_reader_that_waits_for_the_tls_handshake_wakes(server):
    stream = SSEClient(f"https://{server.host}").stream("POST", "/")
    close_while_read(stream, lambda: server.connections)
    wait_until(lambda: server.connections[0].closed_at)


def test_a_reader_that_waits_for_the_answer_wakes(server, client):
    server.handler = sends()
    close_while_read(post(client), lambda: server.requests)
    wait_until(lambda: server.connections[0].closed_at)


def test_a_reader_that_waits_for_the_body_wakes(server, client):
    server.handler = sends(STREAM_HEAD)
    stream = post(client)
    close_while_read(stream, lambda: stream.status)
    wait_until(lambda: server.connections[0].closed_at)


def test_a_reader_that_waits_for_an_event_wakes_and_has_those_before(server, client):
    files = open_files()
    server.handler = sends(STREAM_HEAD, chunk(EVENT), chunk(b"data: b"))
    stream = post(client)
    error = close_while_read(stream, lambda: stream.event_count)
    assert (texts(error.events), error.last_event_id) == (["a"], "7")
    # Both ends are in this process.
    wait_until(lambda: open_files() <= files)


def test_a_reader_that_waits_for_a_refusals_body_wakes(server, client):
    server.handler = sends(head("500 Oh", Content_Length=9))
    close_while_read(post(client), lambda: server.requests)


def test_a_reader_that_cannot_send_its_request_wakes():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stream = SSEClient(url).stream("POST", "/", json="x" * 50_000_000)
        thread, results = in_thread(lambda: texts(stream))
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(1)
            stream.close()
            thread.join(10)
    assert [error.ending for error in results] == [Ending.CLOSED]


def test_the_rest_of_what_was_received_is_not_given_out(server, client):
    server.handler = sends(STREAM_HEAD, chunk(EVENT * 3))
    stream = post(client)
    assert next(stream).data == "a"
    stream.close()
    with pytest.raises(StreamClosedError):
        next(stream)


def test_a_stream_that_was_closed_before_it_began_sends_nothing(server, client):
    stream = post(client)
    stream.close()
    with pytest.raises(StreamClosedError), stream:
        pass
    assert server.connections == []


def test_a_connection_that_was_closed_before_it_was_opened_stays_closed(server, client):
    connection = ClientConnection(TimeLimits(Timeouts()))
    connection.close()
    with pytest.raises(StreamClosedError):
        connection.open("127.0.0.1", server.port, None)
    server.handler = sends(STREAM_HEAD, chunk(b"data: [DONE]\n\n"))
    assert texts(post(client)) == []
    assert len(server.connections) == 1


def test_a_stream_that_nobody_reads_holds_no_file_once_it_is_closed(server, client):
    server.handler = sends(STREAM_HEAD, chunk(EVENT))
    files = open_files()
    stream = post(client)
    next(stream)
    stream.close()
    wait_until(lambda: open_files() <= files)


def test_closing_again_and_after_the_end_changes_nothing(server, client):
    server.handler = sends(STREAM_HEAD, chunk(b"data: [DONE]\n\n"))
    stream = post(client)
    assert texts(stream) == []
    stream.close()
    stream.close()
    assert stream.ending is Ending.COMPLETE
    assert texts(stream) == []


def test_closing_at_any_moment_wakes_the_reader_and_leaves_no_socket(server, client):
    server.handler = sends(STREAM_HEAD, chunk(EVENT))
    files = open_files()
    for _ in range(100):
        stream = post(client)
        thread, results = in_thread(lambda stream=stream: texts(stream))
        # No wait for a condition: any moment is meant.
        threading.Event().wait(random.uniform(0, 0.003))
        stream.close()
        thread.join(10)
        assert [error.ending for error in results] == [Ending.CLOSED]
    wait_until(lambda: open_files() <= files)
