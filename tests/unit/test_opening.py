"""What a generator waits for, and what becomes of it."""

import socket
import time

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event as Flag

from flask_sluice.stream.loop.steps import StepRunner, UntilDone, UntilReadable, UntilWritable
from tests.unit.greenlets import TINY_SECONDS, run_all, wait_until

NEVER = time.monotonic() + 3600


class Opened:
    """Opens with ``steps``, and notes how that ends."""

    def __init__(self, steps) -> None:
        self.results: list[object] = []
        self.errors: list[Exception] = []
        self.ended_in: list[object] = []
        self.opening = StepRunner(steps, self._on_opened, self._on_failed)

    @property
    def is_over(self) -> bool:
        return bool(self.results or self.errors)

    def _on_opened(self, result) -> None:
        self.results.append(result)
        self.ended_in.append(gevent.getcurrent())

    def _on_failed(self, error) -> None:
        self.errors.append(error)
        self.ended_in.append(gevent.getcurrent())


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far:
        yield near, far


def fill(sock) -> int:
    """Sends until no more is taken."""
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(65536))
    except BlockingIOError:
        return sent


def drain(sock, size) -> None:
    while size:
        size -= len(sock.recv(65536))


def test_what_needs_no_wait_is_opened_by_who_starts_it():
    def steps():
        return "opened"
        yield

    opened = Opened(steps())
    opened.opening.start()
    assert opened.results == ["opened"]
    assert opened.ended_in == [gevent.getcurrent()]


def test_it_goes_on_in_the_hub_when_there_is_something_to_be_read(pair):
    near, far = pair

    def steps():
        yield UntilReadable(near, NEVER)
        return near.recv(100)

    opened = Opened(steps())
    opened.opening.start()
    run_all()
    assert not opened.is_over
    far.send(b"an answer")
    wait_until(lambda: opened.is_over)
    assert opened.results == [b"an answer"]
    assert opened.ended_in == [get_hub()]


def test_the_same_wait_may_be_yielded_again_and_again(pair):
    near, far = pair

    def steps():
        readable, data = UntilReadable(near, NEVER), b""
        while len(data) < 3:
            yield readable
            data += near.recv(100)
        return data

    opened = Opened(steps())
    opened.opening.start()
    for byte in (b"a", b"b", b"c"):
        run_all()
        assert not opened.is_over
        far.send(byte)
    wait_until(lambda: opened.is_over)
    assert opened.results == [b"abc"]


def test_it_goes_on_when_the_socket_takes_bytes_again(pair):
    near, far = pair
    size = fill(near)

    def steps():
        yield UntilWritable(near, NEVER)
        return "there is room"

    opened = Opened(steps())
    opened.opening.start()
    run_all()
    assert not opened.is_over
    drain(far, size)
    wait_until(lambda: opened.is_over)
    assert opened.results == ["there is room"]


def test_the_deadline_is_a_timeout_error_where_it_waits(pair):
    near, _ = pair

    def steps():
        try:
            yield UntilReadable(near, time.monotonic() + TINY_SECONDS)
        except TimeoutError:
            return "too late"

    opened = Opened(steps())
    opened.opening.start()
    wait_until(lambda: opened.is_over)
    assert opened.results == ["too late"]


def test_a_deadline_is_not_early_though_the_loop_was_blocked_before_it(pair):
    near, _ = pair
    deadline = time.monotonic() + 0.15

    def steps():
        yield UntilReadable(near, deadline)

    opened = Opened(steps())
    gevent.sleep(0.001)
    time.sleep(0.1)  # The loop's own clock stands still from the last turn's begin on.
    opened.opening.start()
    wait_until(lambda: opened.is_over)
    assert time.monotonic() > deadline - 0.01


def test_a_deadline_counts_from_wait_to_wait_though_there_is_always_something_to_be_read(pair):
    near, far = pair
    far.send(b"never read")
    deadline = time.monotonic() + TINY_SECONDS

    def steps():
        readable = UntilReadable(near, deadline)
        while True:
            yield readable

    opened = Opened(steps())
    opened.opening.start()
    wait_until(lambda: opened.is_over)
    assert isinstance(opened.errors[0], TimeoutError)


def test_a_call_may_block_and_its_result_comes_in_the_hub():
    may_return = Flag()

    def call():
        may_return.wait()
        return "a connection"

    def steps():
        return (yield UntilDone(call, undo=pytest.fail))

    opened = Opened(steps())
    opened.opening.start()
    run_all()
    assert not opened.is_over
    may_return.set()
    wait_until(lambda: opened.is_over)
    assert opened.results == ["a connection"]
    assert opened.ended_in == [get_hub()]


def test_what_a_call_raises_is_raised_where_it_is_waited_for():
    def call():
        raise OSError("no route")

    def steps():
        try:
            yield UntilDone(call, undo=pytest.fail)
        except OSError as error:
            return str(error)

    opened = Opened(steps())
    opened.opening.start()
    wait_until(lambda: opened.is_over)
    assert opened.results == ["no route"]


def test_what_the_generator_raises_is_told():
    def steps():
        raise ValueError("not HTTP")
        yield

    opened = Opened(steps())
    opened.opening.start()
    assert [str(error) for error in opened.errors] == ["not HTTP"]


def test_closed_it_ends_where_it_waits_and_nobody_is_told(pair):
    near, far = pair
    closed = []

    def steps():
        try:
            yield UntilReadable(near, NEVER)
        finally:
            closed.append("closed")

    opened = Opened(steps())
    opened.opening.start()
    run_all()
    opened.opening.close()
    assert closed == ["closed"]
    far.send(b"too late")
    run_all()
    assert not opened.is_over


def test_closed_it_interrupts_a_call_that_blocks():
    interrupted = Flag()

    def call():
        try:
            Flag().wait()
        except GeneratorExit:
            interrupted.set()
            raise

    def steps():
        yield UntilDone(call, undo=pytest.fail)

    opened = Opened(steps())
    opened.opening.start()
    run_all()
    opened.opening.close()
    wait_until(interrupted.is_set)
    assert not opened.is_over


def test_what_a_call_returns_to_nobody_is_undone():
    undone = []

    def call():
        # As when the client leaves in the turn of the loop in which the connection is made.
        opened.opening.close()
        return "a connection"

    def steps():
        yield UntilDone(call, undo=undone.append)

    opened = Opened(steps())
    opened.opening.start()
    wait_until(lambda: undone)
    assert undone == ["a connection"]
    assert not opened.is_over
