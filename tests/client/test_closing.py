"""close() from another thread: it wakes the reader at once and leaves no socket open."""

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
"""Enough for a busy machine; the time limits of all streams here are longer."""


def close_while_read(stream: SSEStream, is_waiting) -> StreamClosedError:
    """Close the stream once ``is_waiting()`` is true, and return the error that the reader got."""
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


def test_close_wakes_a_reader_that_waits_for_the_connection():
    with deaf_server() as url:
        files, others = open_files(), connecting_to(url)
        stream = SSEClient(url).stream("POST", "/")
        close_while_read(stream, lambda: connecting_to(url) > others)
        wait_until(lambda: open_files() <= files)
        wait_until(lambda: connecting_to(url) == others)


def test_close_wakes_a_reader_that_waits_for_the_tls_handshake(server):
    stream = SSEClient(f"https://{server.host}").stream("POST", "/")
    close_while_read(stream, lambda: server.connections)
    wait_until(lambda: server.connections[0].closed_at)


def test_close_wakes_a_reader_that_waits_for_the_response(server, client):
    server.handler = sends()
    close_while_read(post(client), lambda: server.requests)
    wait_until(lambda: server.connections[0].closed_at)


def test_close_wakes_a_reader_that_waits_for_the_body(server, client):
    server.handler = sends(STREAM_HEAD)
    stream = post(client)
    close_while_read(stream, lambda: stream.status)
    wait_until(lambda: server.connections[0].closed_at)


def test_close_wakes_a_reader_that_waits_for_an_event_and_keeps_the_events_before(server, client):
    files = open_files()
    server.handler = sends(STREAM_HEAD, chunk(EVENT), chunk(b"data: b"))
    stream = post(client)
    error = close_while_read(stream, lambda: stream.event_count)
    assert (texts(error.events), error.last_event_id) == (["a"], "7")
    # The files of both ends count, because both are in this process.
    wait_until(lambda: open_files() <= files)


def test_close_wakes_a_reader_that_waits_for_the_body_of_a_refusal(server, client):
    server.handler = sends(head("500 Oh", Content_Length=9))
    close_while_read(post(client), lambda: server.requests)


def test_close_wakes_a_reader_that_cannot_send_its_request():
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


def test_events_that_were_received_are_not_returned_after_close(server, client):
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


def test_a_closed_stream_without_a_reader_has_no_open_socket(server, client):
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
        # The test wants any moment, so there is no condition to wait for.
        threading.Event().wait(random.uniform(0, 0.003))
        stream.close()
        thread.join(10)
        assert [error.ending for error in results] == [Ending.CLOSED]
    wait_until(lambda: open_files() <= files)
