"""The idle connections to an upstream: which one is used again, and when they are closed."""

import socket
import time

import gevent
import pytest

from flask_sluice.gateway.relay import connection_pool
from flask_sluice.gateway.relay.connection import UpstreamConnection
from flask_sluice.gateway.relay.connection_pool import (
    IDLE_SECONDS,
    MAX_AGE_SECONDS,
    MAX_IDLE_CONNECTIONS,
    ConnectionPool,
)
from flask_sluice.gateway.relay.http1_parser import ChunkedBody
from tests.unit.greenlets import TIMEOUT_SECONDS

LAST_CHUNK = b"0\r\n\r\n"


class Clock:
    def __init__(self):
        self.now = time.monotonic()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pool(clock):
    pool = ConnectionPool(clock)
    yield pool
    clock.now += 2 * MAX_AGE_SECONDS
    pool.sweep()
    assert not len(pool)


@pytest.fixture
def connect():
    """Makes a connection: the relay's end, and the upstream's."""
    peers = []

    def connect():
        ours, theirs = socket.socketpair()
        peers.append(theirs)
        return UpstreamConnection(ours), theirs

    yield connect
    for peer in peers:
        peer.close()


def turn_the_loop():
    gevent.sleep(0)
    gevent.sleep(0.001)


def is_closed(connection):
    return connection.sock.fileno() < 0


def test_the_newest_connection_is_taken_first(pool, connect):
    (older, _), (newer, _) = connect(), connect()
    pool.put(older)
    pool.put(newer)
    assert [pool.take(), pool.take(), pool.take()] == [newer, older, None]
    older.close()
    newer.close()


def test_a_connection_that_the_upstream_closed_is_not_taken(pool, connect):
    connection, upstream = connect()
    pool.put(connection)
    upstream.close()
    assert pool.take() is None
    assert is_closed(connection)


def test_bytes_without_a_request_spoil_a_connection(pool, connect):
    for look in (pool.take, turn_the_loop):
        connection, upstream = connect()
        pool.put(connection)
        upstream.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert look() is None
        assert is_closed(connection)


def test_the_loop_closes_what_the_upstream_has_closed_and_keeps_the_others(pool, connect):
    connections = [connect() for _ in range(4)]
    for connection, _ in connections:
        pool.put(connection)
    for _, upstream in connections[::2]:
        upstream.close()
    turn_the_loop()
    assert [is_closed(connection) for connection, _ in connections] == [True, False, True, False]
    assert len(pool) == 2


def test_the_loop_leaves_a_connection_alone_that_carries_a_request(pool, connect):
    connection, upstream = connect()
    for _ in range(2):
        pool.put(connection)
        assert pool.take() is connection
        upstream.send(b"HTTP/1.1 200 OK\r\n")
        turn_the_loop()
        assert connection.receive_now(100) == b"HTTP/1.1 200 OK\r\n"
    connection.close()


@pytest.mark.parametrize(
    ("said", "kept"),
    [(None, IDLE_SECONDS), (5.0, 4.0), (2.0, 1.0), (30.0, 29.0), (9999.0, MAX_AGE_SECONDS)],
)
def test_a_connection_is_kept_for_less_than_the_upstream_says(pool, connect, clock, said, kept):
    connection, _ = connect()
    connection.keep_alive_seconds = said
    connection.opened_at = clock.now
    pool.put(connection)
    clock.now += kept - 0.1
    pool.sweep()
    assert not is_closed(connection)
    clock.now += 0.2
    pool.sweep()
    assert is_closed(connection)


@pytest.mark.parametrize("said", [0.0, 1.0])
def test_a_connection_that_the_upstream_hardly_keeps_is_closed(pool, connect, said):
    connection, _ = connect()
    connection.keep_alive_seconds = said
    pool.put(connection)
    assert is_closed(connection)


def test_an_idle_connection_is_closed_when_it_is_old(pool, connect, clock):
    connection, _ = connect()
    clock.now = connection.opened_at + MAX_AGE_SECONDS - 1
    pool.put(connection)
    clock.now += 1
    pool.sweep()
    assert is_closed(connection)


def test_a_sweep_closes_what_has_been_idle_for_too_long(pool, connect, clock):
    (older, _), (newer, _) = connect(), connect()
    pool.put(older)
    clock.now += IDLE_SECONDS / 2
    pool.put(newer)
    clock.now += IDLE_SECONDS / 2 + 1
    pool.sweep()
    assert is_closed(older)
    assert not is_closed(newer)


def test_a_connection_that_has_been_idle_for_too_long_is_not_taken(pool, connect, clock):
    connection, _ = connect()
    pool.put(connection)
    clock.now += IDLE_SECONDS + 1
    assert pool.take() is None
    assert is_closed(connection)


def test_an_old_connection_is_not_kept(pool, connect, clock):
    connection, _ = connect()
    clock.now += MAX_AGE_SECONDS + 1
    pool.put(connection)
    assert is_closed(connection)


def test_only_so_many_are_kept(pool, connect):
    connections = [connect()[0] for _ in range(MAX_IDLE_CONNECTIONS + 1)]
    for connection in connections:
        pool.put(connection)
    assert [is_closed(connection) for connection in connections].index(True) == MAX_IDLE_CONNECTIONS


class TestTheEndOfTheLastResponse:
    @pytest.fixture
    def unfinished(self, pool, connect):
        """A connection whose response is finished but for the end of its framing, and its upstream."""
        connection, upstream = connect()
        connection.unread = ChunkedBody()
        pool.put(connection)
        return connection, upstream

    def test_it_is_waited_for(self, pool, unfinished):
        connection, upstream = unfinished
        turn_the_loop()
        upstream.send(LAST_CHUNK[:3])
        turn_the_loop()
        upstream.send(LAST_CHUNK[3:])
        assert pool.take() is connection
        connection.close()

    def test_it_may_come_before_the_loop_turns(self, pool, unfinished):
        connection, upstream = unfinished
        upstream.send(LAST_CHUNK)
        assert pool.take() is connection
        connection.close()

    def test_without_it_the_connection_is_not_taken(self, pool, unfinished):
        connection, _ = unfinished
        assert pool.take() is None
        assert is_closed(connection)

    @pytest.mark.parametrize("wrong", [b"nonsense\r\n", LAST_CHUNK + b"more"])
    def test_anything_else_spoils_the_connection(self, pool, unfinished, wrong):
        connection, upstream = unfinished
        upstream.send(wrong)
        turn_the_loop()
        assert is_closed(connection)


@pytest.fixture
def quick_sweeps(monkeypatch):
    monkeypatch.setattr(connection_pool, "SWEEP_SECONDS", 0.01)


def wait_until(condition):
    with gevent.Timeout(TIMEOUT_SECONDS, AssertionError("it never comes")):
        while not condition():
            gevent.sleep(0.001)


@pytest.mark.usefixtures("quick_sweeps")
def test_the_event_loop_closes_them_without_a_next_request(pool, connect, clock):
    (closed, upstream), (idle, _) = connect(), connect()
    pool.put(closed)
    pool.put(idle)
    upstream.close()
    wait_until(lambda: is_closed(closed))
    assert not is_closed(idle)
    clock.now += IDLE_SECONDS + 1
    wait_until(lambda: is_closed(idle))


@pytest.mark.usefixtures("quick_sweeps")
def test_the_timer_stands_still_while_there_are_none(pool, connect):
    for _ in range(2):
        connection, upstream = connect()
        pool.put(connection)
        upstream.close()
        wait_until(lambda: pool._sweep_timer is None)
