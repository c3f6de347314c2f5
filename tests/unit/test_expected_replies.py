"""Replies that are what they had to be are taken in one piece; all others are left to redis-py."""

import socket
import threading
from collections.abc import Iterator

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from flask_sluice.journal.redis.servers.expected_replies import take_expected

IDS = [b"8-0", b"9-0", b"10-0", b"11-0", b"12-0"]
REPLIES = [b"$%d\r\n%b\r\n" % (len(each), each) for each in IDS]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end of a connection, and the server's."""
    client, server = socket.socketpair()
    with client, server:
        client.settimeout(5)
        yield client, server


def left_in(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    try:
        return sock.recv(1000)
    except BlockingIOError:
        return b""


def test_the_ids_of_all_events_are_taken(ends):
    client, server = ends
    server.sendall(b"".join(REPLIES))
    assert take_expected(client, IDS) == IDS
    assert left_in(client) == b""


def test_what_comes_in_pieces_of_whole_replies_is_taken(ends):
    client, server = ends
    server.sendall(b"".join(REPLIES[:2]))
    later = threading.Timer(0.05, server.sendall, [b"".join(REPLIES[2:])])
    later.start()
    try:
        assert take_expected(client, IDS) == IDS
    finally:
        later.join()


@pytest.mark.parametrize("place", range(len(IDS)))
@pytest.mark.parametrize("other", [b"$-1\r\n", b"-ERR no\r\n", b"$4\r\n99-0\r\n", b":1\r\n"])
def test_another_reply_is_left_with_all_that_come_with_it(ends, place, other):
    client, server = ends
    sent = b"".join([*REPLIES[:place], other, *REPLIES[place + 1 :]])
    server.sendall(sent)
    taken = take_expected(client, IDS)
    assert b"".join([*REPLIES[: len(taken)], left_in(client)]) == sent


def test_a_part_of_a_reply_is_left(ends):
    client, server = ends
    server.sendall(b"".join(REPLIES[:3])[:-1])
    assert take_expected(client, IDS) == []
    assert left_in(client) == b"".join(REPLIES[:3])[:-1]


def test_few_replies_are_left(ends):
    client, server = ends
    server.sendall(REPLIES[0])
    assert take_expected(client, IDS[:1]) == []


def test_a_connection_that_was_closed_is_left_to_redis_py(ends):
    client, server = ends
    server.close()
    assert take_expected(client, IDS) == []
    assert take_expected(None, IDS) == []


def test_a_server_that_does_not_answer_is_a_timeout_as_redis_py_has_it(ends):
    client, _ = ends
    client.settimeout(0.05)
    with pytest.raises(RedisTimeoutError):
        take_expected(client, IDS)
