"""An event stream that ends before its generator does: it is closed, its client leaves, it is stopped."""

import json
import logging

import gevent
import pytest
from gevent.event import Event as Flag

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import Event
from flask_sluice.stream import registry
from flask_sluice.stream.admission import TooManyStreamsError
from flask_sluice.stream.context import StreamContext
from tests.unit.greenlets import TINY_SECONDS, run_all, wait_until
from tests.unit.streams import (
    FOREVER_SECONDS,
    KEEPALIVE,
    A,
    B,
    Stream,
    blocked,
    endless,
    error_in,
    listening,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


class TestClose:
    """``close()`` before the end: the client has left, or gunicorn could not write."""

    def test_is_a_cancelled_stream(self):
        stream = Stream(endless([]))
        next(stream)
        stream.close()
        assert stream.context.outcome is Outcome.CANCELLED

    def test_ends_a_generator_at_its_yield(self, ended):
        stream = Stream(endless(ended))
        next(stream)
        stream.close()
        wait_until(lambda: ended == ["GeneratorExit"])

    def test_ends_a_generator_that_waits_for_something(self, ended):
        stream = Stream(blocked(ended))
        assert next(stream) == A
        run_all()
        stream.close()
        wait_until(lambda: ended == ["GeneratorExit"])

    def test_lets_the_generators_clean_up_wait_too(self, ended):
        def generate():
            try:
                yield from blocked(ended)
            finally:
                gevent.sleep(TINY_SECONDS)
                ended.append("cleaned up")

        stream = Stream(generate())
        next(stream)
        run_all()
        stream.close()
        wait_until(lambda: ended == ["GeneratorExit", "cleaned up"])

    def test_does_not_interrupt_a_generator_that_listens(self, ended):
        context = StreamContext()

        def generate():
            try:
                yield A
                ended.append(context.wait(None))
                gevent.sleep(TINY_SECONDS)
                ended.append("returned")
            except GeneratorExit:
                ended.append("GeneratorExit")
                raise

        stream = Stream(generate(), context=context)
        next(stream)
        run_all()
        stream.close()
        wait_until(lambda: ended == [True, "returned"])

    def test_runs_the_callbacks_of_a_generator_that_listens(self, ended):
        context = StreamContext()

        def generate():
            answered = Flag()
            context.on_stop(answered.set)
            yield A
            answered.wait()
            gevent.sleep(TINY_SECONDS)  # It is not interrupted here either.
            ended.append("returned")

        stream = Stream(generate(), context=context)
        next(stream)
        run_all()
        stream.close()
        wait_until(lambda: ended == ["returned"])

    def test_does_not_wait_for_the_generator(self, ended):
        context = StreamContext()
        may_end = Flag()

        def generate():
            yield A
            context.wait(None)
            may_end.wait()
            ended.append("returned")

        stream = Stream(generate(), context=context)
        next(stream)
        run_all()
        stream.close()
        assert ended == []
        may_end.set()
        wait_until(lambda: ended == ["returned"])

    def test_does_not_wait_for_a_generator_that_it_interrupts(self, ended):
        may_end = Flag()

        def generate():
            try:
                yield from blocked(ended)
            finally:
                may_end.wait()
                ended.append("cleaned up")

        stream = Stream(generate())
        next(stream)
        run_all()
        stream.close()
        assert ended == []
        may_end.set()
        wait_until(lambda: ended == ["GeneratorExit", "cleaned up"])

    def test_lets_the_generator_close_the_iterator_that_it_waits_in(self, ended):
        held = Held(ended)

        def generate():
            yield A
            yield from held

        stream = Stream(generate())
        next(stream)
        run_all()
        stream.close()
        run_all()
        assert ended == []
        held.may_go_on.set()
        wait_until(lambda: ended == ["given back"])

    @pytest.mark.parametrize("take", [next, list], ids=["next", "list"])
    def test_interrupts_a_wait_in_an_iterator_that_the_generator_would_not_close(self, ended, take):
        def generate():
            yield A
            try:
                take(Held(ended))
            finally:
                ended.append("over")

        stream = Stream(generate())
        next(stream)
        run_all()
        stream.close()
        wait_until(lambda: ended == ["over"])

    def test_of_a_complete_stream_changes_nothing(self):
        context = StreamContext()
        stream = Stream([A], context=context)
        list(stream)
        stream.close()
        assert context.outcome is Outcome.COMPLETE
        assert not context.is_stopped

    def test_counts_once(self, caplog):
        caplog.set_level(logging.INFO, "sluice.stream")
        left = []
        stream = Stream(endless([]), on_disconnect=lambda: left.append(1))
        next(stream)
        stream.close()
        stream.close()
        assert left == [1]
        assert len(caplog.records) == 1


class Held:
    """An iterator that gives something back in ``close``, and whose ``__next__`` knows nothing of GeneratorExit."""

    def __init__(self, ended):
        self.may_go_on = Flag()
        self._ended = ended

    def __iter__(self):
        return self

    def __next__(self):
        self.may_go_on.wait()
        return A

    def close(self):
        self._ended.append("given back")


class TestCloseBeforeTheStart:
    """A HEAD request: the stream is made and never read."""

    def test_never_runs_the_generator(self):
        ran = []

        def generate():
            ran.append(1)
            yield A

        stream = Stream(generate())
        stream.close()
        run_all()
        assert ran == []

    def test_closes_what_the_items_hold(self):
        class Items:
            is_closed = False

            def __iter__(self):
                return iter([A])

            def close(self):
                self.is_closed = True

        items = Items()
        Stream(items).close()
        assert items.is_closed

    def test_is_no_disconnect(self):
        left = []
        Stream([A], on_disconnect=lambda: left.append(1)).close()
        assert left == []

    def test_calls_what_is_to_be_called_on_close(self):
        closed = []
        stream = Stream([A])
        stream.call_on_close(lambda: closed.append(1))
        stream.close()
        stream.close()
        assert closed == [1]


class TestClientThatLeaves:
    @pytest.fixture
    def left(self):
        return []

    def leaving(self, left, items, context=None):
        return Stream(items, context=context, on_disconnect=lambda: left.append("left"))

    def test_while_nothing_is_sent_wakes_the_stream_which_ends_without_an_exception(self, left):
        context = StreamContext()
        stream = self.leaving(left, listening(context, None), context)
        gevent.spawn(stream.on_disconnect)
        assert list(stream) == []
        stream.close()
        assert context.outcome is Outcome.CANCELLED
        assert left == ["left"]

    def test_is_sent_no_more_events(self, left):
        stream = self.leaving(left, endless([]))
        next(stream)
        run_all()
        stream.on_disconnect()
        assert list(stream) == []
        stream.close()
        assert left == ["left"]

    def test_is_named_as_the_reason_in_the_log(self, left, caplog):
        caplog.set_level(logging.INFO, "sluice.stream")
        stream = self.leaving(left, endless([]))
        next(stream)
        stream.on_disconnect()
        stream.close()
        line = json.loads(caplog.records[-1].getMessage())
        assert (line["outcome"], line["reason"]) == ("cancelled", "the client disconnected")

    def test_behind_the_last_event_has_had_it_all(self, left):
        stream = self.leaving(left, [A])
        assert next(stream) == A
        stream.on_disconnect()
        assert list(stream) == []
        stream.close()
        assert stream.context.outcome is Outcome.COMPLETE
        assert left == []

    def test_before_the_last_event_is_written_has_not_had_it_all(self, left):
        # The generator has finished, but its events were still to be written.
        stream = self.leaving(left, [A])
        stream.start()
        run_all()
        stream.on_disconnect()
        assert list(stream) == []
        stream.close()
        assert stream.context.outcome is Outcome.CANCELLED
        assert left == ["left"]

    def test_before_the_last_event_is_told_of_only_once_it_is_closed(self, left):
        stream = self.leaving(left, endless([]))
        next(stream)
        stream.on_disconnect()
        assert left == []
        stream.close()
        assert left == ["left"]

    def test_and_a_callback_that_fails_are_only_logged(self, caplog):
        stream = Stream(endless([]), on_disconnect=lambda: 1 / 0)
        next(stream)
        stream.close()
        assert "request-7" in caplog.text
        assert "ZeroDivisionError" in caplog.text

    def test_what_is_refused_before_its_headers_is_closed(self, monkeypatch):
        monkeypatch.setattr(registry.admission(), "limit", 0)
        closed = []

        class Items(list):
            def close(self):
                closed.append(1)

        with pytest.raises(TooManyStreamsError):
            Stream(Items([A])).wait_for_first_event(None)
        assert closed == [1]

    @pytest.mark.parametrize("items", [[A], ["text"]], ids=["complete", "failed"])
    def test_is_not_told_of_a_stream_that_ended_by_itself(self, left, items):
        self.leaving(left, items).read_all()
        assert left == []


def test_a_stream_that_is_stopped_from_elsewhere_delivers_what_the_generator_still_yields():
    context = StreamContext()

    def generate():
        yield A
        context.wait(None)
        yield B

    stream = Stream(generate(), context=context)
    assert next(stream) == A
    context.stop_generating()
    body = stream.read_all()
    assert body.startswith(B)
    assert error_in(body)["code"] == "stopped"
    assert context.outcome is Outcome.CANCELLED


def test_a_stopped_generator_may_end_its_stream_properly():
    context = StreamContext()

    def generate():
        yield A
        context.wait(None)
        yield b"data: [DONE]\n\n"

    stream = Stream(generate(), context=context)
    next(stream)
    context.stop_generating()
    assert stream.read_all() == b"data: [DONE]\n\n"


def test_a_blocked_generator_is_interrupted_when_its_stream_is_stopped_from_elsewhere(ended):
    context = StreamContext()
    stream = Stream(blocked(ended), context=context)
    next(stream)
    context.stop_generating()
    assert error_in(stream.read_all())["code"] == "stopped"
    assert ended == ["GeneratorExit"]


@pytest.mark.parametrize(
    "terminal",
    [
        Event(event="done", data="x"),
        Event(data="[DONE]"),
        b"data: [DONE]\n\n",
        b"data:[DONE]\n\n",
        b"data: [DONE]\r\n\r\n",
        b"data: [DONE]\r\r",
        b"event: done\ndata: x\n\n",
        b"event:done\r\ndata: x\r\n\r\n",
        b"id: 7\nevent: done\ndata: " + b"x" * 1000 + b"\n\n",
        A + b"data: [DONE]\n\n",
    ],
    ids=repr,
)
def test_what_is_done_after_the_terminal_event_is_not_interrupted(terminal):
    saved = []

    def generate():
        yield terminal
        gevent.sleep(TINY_SECONDS)
        saved.append("answer")

    left = []
    stream = Stream(generate(), on_disconnect=lambda: left.append(1))
    next(stream)
    stream.on_disconnect()
    assert stream.read_all() == b""
    wait_until(lambda: saved)
    assert left == []


def test_a_generator_whose_wait_has_just_ended_is_not_interrupted_in_its_cleanup():
    flag, cleaned = Flag(), []

    def generate():
        try:
            yield A
            flag.wait()
            yield B
        finally:
            gevent.sleep(TINY_SECONDS)
            cleaned.append("whole")

    stream = Stream(generate())
    next(stream)
    run_all()
    flag.set()
    stream.close()
    wait_until(lambda: cleaned)


def test_a_stream_whose_client_left_is_closed_even_if_the_server_does_not(clock, ended):
    abandoned = Stream(blocked(ended))
    next(abandoned)
    abandoned.on_disconnect()
    clock.turn(FOREVER_SECONDS)
    wait_until(lambda: registry.admission().count == 0)
    wait_until(lambda: ended == ["GeneratorExit"])
    # The clock goes on for the others.
    stream = Stream(blocked([]), keepalive_seconds=15)
    assert next(stream) == A
    clock.turn_while_waiting(16)
    assert next(stream) == KEEPALIVE
    stream.close()


def test_a_generator_that_does_not_listen_is_closed_at_its_next_yield_when_stopped(ended):
    context = StreamContext()
    stream = Stream(endless(ended), context=context, channel_size=1)
    next(stream)
    context.stop_generating()
    stream.read_all()
    assert ended == ["GeneratorExit"]
    assert context.outcome is Outcome.CANCELLED
