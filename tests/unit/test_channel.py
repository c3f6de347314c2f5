"""The channel between the producer greenlet and the request greenlet."""

import gevent
import pytest
from gevent.event import Event as Flag

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.feeds.generator_feed import GeneratorFeed
from tests.unit.greenlets import run_all, wait_until


class Source:
    """A generator of events with the comments 1, 2, … that counts how many it was asked for."""

    def __init__(self, channel):
        self.asked_for = 0
        GeneratorFeed(self._events(), StreamContext(), channel, ItemEncoder()).start()
        run_all()

    def _events(self):
        while True:
            self.asked_for += 1
            yield b":%d\n" % self.asked_for


@pytest.mark.parametrize("size", [1, 2, 8])
def test_no_more_events_are_asked_for_than_there_is_room(size):
    source = Source(EventQueue(size))
    assert source.asked_for == size


def test_events_being_written_take_room_until_the_write_is_done():
    channel = EventQueue(3)
    source = Source(channel)

    assert channel.take() == b":1\n:2\n:3\n"
    run_all()
    assert source.asked_for == 3

    # The next take says that the events of the last one are written.
    assert channel.take() == b""
    run_all()
    assert source.asked_for == 6
    channel.close()


def test_room_is_freed_for_those_that_are_written_and_not_for_those_that_wait():
    channel = EventQueue(3)
    channel.put(b"1")
    channel.take()
    for event in (b"2", b"3"):
        channel.put(event)
    waiting = gevent.spawn(channel.wait_for_room)
    run_all()
    assert not waiting.dead
    assert channel.take() == b"23"
    wait_until(lambda: waiting.dead)
    assert waiting.value is True


def test_events_that_have_piled_up_are_taken_as_one():
    channel = EventQueue(8)
    for event in (b"a", b"b", b"c"):
        channel.put(event)
    assert channel.has_events
    assert channel.take() == b"abc"
    assert not channel.has_events
    assert channel.take() == b""


def test_all_events_are_counted():
    channel = EventQueue(8)
    channel.put(b"a")
    channel.take()
    channel.put(b"b")
    assert channel.event_count == 2


def waiting_for(channel, forward=None):
    waiting = gevent.spawn(channel.wait, forward)
    run_all()
    assert not waiting.dead
    return waiting


@pytest.mark.parametrize(
    "happens",
    [lambda channel: channel.put(b"a"), EventQueue.finish, EventQueue.wake],
    ids=["an-event", "the-end", "a-wake-up"],
)
class TestReader:
    def test_that_waits_is_woken(self, happens):
        channel = EventQueue(8)
        waiting = waiting_for(channel)
        happens(channel)
        wait_until(lambda: waiting.dead)

    def test_that_was_busy_does_not_miss_it(self, happens):
        channel = EventQueue(8)
        happens(channel)
        with gevent.Timeout(5, AssertionError("it was missed")):
            channel.wait()

    def test_is_woken_once(self, happens):
        channel = EventQueue(8)
        happens(channel)
        happens(channel)
        channel.wait()
        waiting_for(channel).kill()


def test_a_late_wake_up_does_not_hit_what_a_killed_reader_does_by_then():
    channel, may_end = EventQueue(8), Flag()

    def read():
        try:
            channel.wait()
        finally:
            may_end.wait()

    reader = gevent.spawn(read)
    run_all()
    reader.kill(block=False)
    channel.wake()
    run_all()
    assert not reader.dead
    may_end.set()
    wait_until(lambda: reader.dead)


def test_closing_tells_a_producer_that_waits_for_room():
    channel = EventQueue(1)
    channel.put(b"a")
    waiting = gevent.spawn(channel.wait_for_room)
    run_all()
    assert not waiting.dead
    channel.close()
    wait_until(lambda: waiting.dead)
    assert waiting.value is False


def test_a_closed_channel_has_no_room():
    channel = EventQueue(1)
    channel.close()
    assert channel.wait_for_room() is False


def test_the_end_leaves_the_events_before_it():
    channel = EventQueue(8)
    error = RuntimeError()
    channel.put(b"a")
    channel.finish(error)
    assert channel.is_finished
    assert channel.error is error
    assert channel.take() == b"a"


def test_where_it_costs_little_each_event_is_handed_on_before_the_generator_goes_on():
    channel, got = EventQueue(8, forwards_at_once=True), []
    waiting = waiting_for(channel, lambda events: got.append(events) or True)
    assert [channel.put(event) for event in (b"1", b"2", b"3")] == [True] * 3
    assert got == [b"1", b"2", b"3"]
    assert channel.event_count == 3
    channel.wake()
    wait_until(lambda: waiting.dead)


def test_after_an_event_that_was_not_written_whole_the_next_ones_wait_for_the_request():
    channel, got = EventQueue(3, forwards_at_once=True), []
    waiting = waiting_for(channel, got.append)
    assert [channel.put(event) for event in (b"1", b"2", b"3")] == [True, True, False]
    wait_until(lambda: waiting.dead)
    assert got == [b"1"]
    assert channel.take() == b"23"
