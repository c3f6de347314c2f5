"""Work that computes and never waits: its events go out when they are yielded, and others have their turn."""

import socket
import time

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event as Flag
from gevent.socket import wait_read

from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.feeds.generator_feed import GeneratorFeed
from flask_sluice.stream.loop.give_way import give_way, loop_is_held
from tests.unit.greenlets import TIMEOUT_SECONDS, run_all
from tests.unit.streams import A, Stream

HOLD_SECONDS = 0.01


@pytest.fixture(autouse=True)
def no_test_hangs():
    with gevent.Timeout(TIMEOUT_SECONDS, AssertionError("it hangs")):
        yield


def compute():
    """Hold the loop. Without gevent's patches, as here, a sleep does."""
    time.sleep(HOLD_SECONDS)


def seconds_of_turns(count):
    """How long so many turns take; at times another program has the core for longer."""
    started_at = time.monotonic()
    for _ in range(count):
        give_way()
    return time.monotonic() - started_at


def is_held_after_turn():
    give_way()
    return loop_is_held()


class TestGivingWay:
    def test_lets_a_greenlet_read_whose_socket_is_ready_and_those_that_it_wakes(self):
        ours, theirs = socket.socketpair()
        has_read, woken = Flag(), []

        def read():
            wait_read(ours.fileno())
            has_read.set()

        def wait_for_reader():
            has_read.wait()
            woken.append(True)

        with ours, theirs:
            greenlets = [gevent.spawn(read), gevent.spawn(wait_for_reader)]
            run_all()
            theirs.send(b"x")
            give_way()
            assert has_read.is_set()
            assert woken
            gevent.joinall(greenlets)

    def test_lets_a_timer_ring_that_is_over(self):
        sleeping = gevent.spawn(gevent.sleep, HOLD_SECONDS / 2)
        give_way()
        compute()
        give_way()
        assert sleeping.dead

    def test_takes_no_time_where_nothing_else_is_to_do(self):
        assert min(seconds_of_turns(100) for _ in range(10)) < 0.1


def test_the_loop_is_held_from_five_milliseconds_after_its_last_turn_on():
    # Another program may have the core for so long in between.
    assert not all(is_held_after_turn() for _ in range(20))
    compute()
    assert loop_is_held()
    give_way()
    assert not loop_is_held()


def computes_first(encode):
    for number in range(3):
        compute()
        yield encode(number)


def computes_afterwards(encode):
    for number in range(3):
        yield encode(number)
        compute()


def yields_two_together(encode):
    for number in range(0, 6, 2):
        compute()
        yield encode(number)
        yield encode(number + 1)


def waits_and_computes(encode):
    for number in range(3):
        gevent.sleep(HOLD_SECONDS)
        compute()
        yield encode(number)


SHAPES = [computes_first, yields_two_together, waits_and_computes]
KINDS = {
    "bytes": lambda number: b"data: %d\n\n" % number,
    "events": lambda number: Event(data=str(number)),
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_each_event_is_taken_before_the_next_one_is_computed(shape, kind):
    stream, late = [], []
    items = shape(KINDS[kind])

    def generate():
        for number, item in enumerate(items):
            yield item
            if len(stream) <= number:
                late.append(number)

    for chunk in Stream(generate()):
        stream += [event for event in chunk.split(b"\n\n") if event]
    assert len(stream) in (3, 6)
    assert late == []


@pytest.mark.parametrize("shape", [*SHAPES, computes_afterwards], ids=lambda shape: shape.__name__)
def test_each_event_is_forwarded_before_the_next_one_is_computed(shape):
    """As where the worker writes events on the loop, without the request's greenlet."""
    forwarded, late = [], []

    def generate():
        for number, item in enumerate(shape(KINDS["bytes"])):
            yield item
            if len(forwarded) <= number:
                late.append(number)

    def forward(events):
        forwarded.extend(event for event in events.split(b"\n\n") if event)
        return True

    feed = GeneratorFeed(generate(), StreamContext(), EventQueue(8), ItemEncoder())
    feed.start()
    while not feed.is_finished or feed.has_events:
        feed.wait(forward)
    assert len(forwarded) in (3, 6)
    assert late == []


@pytest.mark.parametrize("item", [A, b""], ids=["events", "nothing-to-send"])
def test_others_have_their_turn_at_each_yield_of_what_was_computed(item):
    turns, seen = [], []

    def other():
        while True:
            gevent.sleep(HOLD_SECONDS / 10)
            turns.append(True)

    def generate():
        for _ in range(3):
            compute()
            yield item
            seen.append(len(turns))

    others = gevent.spawn(other)
    Stream(generate()).read_all()
    others.kill()
    assert seen == sorted(set(seen))


def test_events_that_take_no_time_go_out_together():
    loop = get_hub().loop
    started_in = loop.iteration
    assert Stream([A] * 800).read_all() == A * 800
    assert loop.iteration - started_in < 200


def test_a_generator_is_closed_whose_stream_ends_while_it_gives_way():
    closed = []

    def generate():
        try:
            while True:
                compute()
                yield A
        finally:
            closed.append(True)

    stream = Stream(generate())
    assert next(stream) == A
    stream.close()
    run_all()
    assert closed
