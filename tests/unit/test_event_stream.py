"""A generator as a response body, without a socket: ``next()`` and ``close()`` are called as gunicorn does."""

import json
import logging

import gevent
import pytest
from gevent.event import Event as Flag

from tests.unit.greenlets import TIMEOUT_SECONDS, TINY_SECONDS, run_all, wait_until
from wsgi.errors import ApiError, PlainAnswer
from wsgi.sse import Annotated, Event, EventParser
from wsgi.stream import (
    Channel,
    EventStream,
    Outcome,
    PushFeed,
    StreamContext,
    StreamOptions,
    TooManyStreamsError,
    event_stream,
)
from wsgi.stream import worker as worker_objects
from wsgi.stream.rendering import error_for_openai

A, B = b"data: a\n\n", b"data: b\n\n"
KEEPALIVE = b": keep-alive\n\n"
FOREVER_SECONDS = 3600


class Stream(EventStream):
    """An EventStream with what most tests want; further keywords are StreamOptions.

    Without keep-alives, each of which would wake a stream that has missed what it waits for.
    """

    def __init__(self, items, *, context=None, preamble=None, on_disconnect=None, **options):
        self.context = context or StreamContext("request-7")
        settled = StreamOptions(**{"keepalive_seconds": FOREVER_SECONDS, **options})
        super().__init__(
            PushFeed(items, self.context, Channel(settled.channel_size)),
            context=self.context,
            render_error=error_for_openai,
            client=None,
            options=settled,
            preamble=preamble,
            on_disconnect=on_disconnect,
        )

    def read_all(self):
        """The body as gunicorn would write it."""
        try:
            return b"".join(self)
        finally:
            self.close()


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """No test may hang, and each stream gives back its place and its timers."""
    with gevent.Timeout(TIMEOUT_SECONDS, AssertionError("the stream hangs")):
        yield
    assert len(worker_objects.ticker()) == 0
    assert worker_objects.inflight().count == 0


@pytest.fixture
def ended():
    """How the generator that was given this list ended: what it appends to it."""
    return []


def endless(ended, event=A):
    try:
        while True:
            yield event
    except GeneratorExit:
        ended.append("GeneratorExit")
        raise


def blocked(ended):
    """Waits for something else than its context, as for an upstream that says nothing."""
    try:
        yield A
        gevent.sleep(FOREVER_SECONDS)
    except GeneratorExit:
        ended.append("GeneratorExit")
        raise


def listening(context, first=A):
    """Waits for its context alone, for as long as the stream runs."""
    if first is not None:
        yield first
    context.wait(None)


def error_in(body):
    """The error of a body whose last event is an error event."""
    *_, last = EventParser().feed(body)
    assert last.event == "message"
    return json.loads(last.data)["error"]


class TestComplete:
    def test_body_is_what_was_yielded_in_order(self):
        items = [Event(data="a", id="7"), Annotated(data={"b": 1}), b"data: c\n\n"]
        stream = Stream(iter(items))
        assert stream.read_all() == b'id: 7\ndata: a\n\ndata: {"b":1}\n\ndata: c\n\n'
        assert stream.context.outcome is Outcome.COMPLETE

    def test_body_of_any_iterable_is_taken(self):
        assert Stream([A, B]).read_all() == A + B

    def test_body_of_a_generator_that_yields_nothing_is_empty(self):
        stream = Stream(iter(()))
        assert stream.read_all() == b""
        assert stream.context.outcome is Outcome.COMPLETE

    def test_body_stays_ended(self):
        stream = Stream([A])
        assert list(stream) == [A]
        assert list(stream) == []
        stream.close()

    def test_events_that_have_piled_up_are_written_as_one(self):
        stream = Stream([A, B] * 4)
        assert list(stream) == [(A + B) * 4]
        stream.close()

    def test_an_event_is_written_without_waiting_for_the_next(self):
        context = StreamContext()
        stream = Stream(listening(context), context=context)
        assert next(stream) == A
        stream.close()

    def test_a_preamble_is_written_before_the_first_event(self):
        stream = Stream([A], preamble=b": stream\n\n")
        assert list(stream) == [b": stream\n\n", A]
        stream.close()

    def test_a_preamble_does_not_wait_for_the_first_event(self):
        context = StreamContext()
        stream = Stream(listening(context, None), context=context, preamble=b": stream\n\n")
        assert next(stream) == b": stream\n\n"
        stream.close()

    def test_its_end_is_logged_with_what_it_was(self, caplog):
        caplog.set_level(logging.INFO, "sluice.stream")
        Stream([A, B]).read_all()
        (record,) = caplog.records
        line = json.loads(record.getMessage())
        assert (line["message"], line["request_id"]) == ("stream ended", "request-7")
        assert (line["outcome"], line["events"], line["bytes"]) == ("complete", 2, len(A + B))


class TestFailure:
    def failing(self, error):
        yield A
        raise error

    def test_is_one_error_event_behind_what_came_before(self):
        stream = Stream(self.failing(ApiError(502, "upstream_error", "it broke", param="model")))
        body = stream.read_all()
        assert body.startswith(A)
        assert len(EventParser().feed(body)) == 2
        assert error_in(body) == {
            "message": "it broke",
            "type": "server_error",
            "param": "model",
            "code": "upstream_error",
        }
        assert stream.context.outcome is Outcome.ERROR

    def test_that_is_unexpected_is_logged_and_not_shown(self, caplog):
        stream = Stream(self.failing(RuntimeError("a secret")))
        body = stream.read_all()
        assert error_in(body)["code"] == "internal_error"
        assert b"secret" not in body
        assert "RuntimeError: a secret" in caplog.text
        assert "request-7" in caplog.text

    def test_that_may_be_shown_is_no_traceback_in_the_log(self, caplog):
        Stream(self.failing(ApiError(502, "upstream_error", "it broke"))).read_all()
        assert caplog.text == ""

    def test_as_an_annotated_item_is_one_error_event(self, caplog):
        stream = Stream([A, Annotated(event="error", comment=["it", "broke"]), B])
        body = stream.read_all()
        assert error_in(body)["message"] == "it -- broke"
        assert B not in body
        assert stream.context.outcome is Outcome.ERROR
        assert caplog.text == ""

    def test_is_what_a_generator_that_was_killed_comes_to(self):
        stream = Stream(self.failing(gevent.GreenletExit()))
        assert error_in(stream.read_all())["code"] == "internal_error"
        assert stream.context.outcome is Outcome.ERROR

    def test_in_the_middle_of_an_event_breaks_the_body_off(self):
        # The client would take an error event for the rest of the half.
        stream = Stream([b"data: ha", "text"])
        assert next(stream) == b"data: ha"
        with pytest.raises(BrokenPipeError):
            next(stream)
        stream.close()
        assert stream.context.outcome is Outcome.ERROR

    @pytest.mark.parametrize("item", ["text", {"a": 1}, None, 5, bytearray(A)], ids=repr)
    def test_of_an_item_of_the_wrong_type_is_explained_in_the_log(self, item, caplog):
        body = Stream([A, item, B]).read_all()
        assert error_in(body)["code"] == "internal_error"
        assert B not in body
        assert f"not {type(item).__name__}; Event(data=text) sends text" in caplog.text

    def test_closes_the_generator(self, ended):
        def generate():
            try:
                yield "text"
            finally:
                ended.append("closed")

        Stream(generate()).read_all()
        assert ended == ["closed"]

    def test_of_closing_the_generator_is_logged(self, caplog):
        def generate():
            try:
                while True:
                    yield A
            finally:
                raise RuntimeError("not closed")

        stream = Stream(generate())
        next(stream)
        stream.close()
        wait_until(lambda: "RuntimeError: not closed" in caplog.text)

    def test_that_the_generator_tells_of_is_an_error_with_a_proper_end(self):
        context = StreamContext()

        def generate():
            yield A
            context.fail("the upstream ended too early")

        assert Stream(generate(), context=context).read_all() == A
        assert context.outcome is Outcome.ERROR


def test_a_cut_breaks_the_body_off_behind_what_was_yielded():
    context = StreamContext()

    def generate():
        yield A
        context.cut()

    stream = Stream(generate(), context=context)
    assert next(stream) == A
    with pytest.raises(BrokenPipeError):
        next(stream)
    stream.close()
    assert context.outcome is Outcome.ERROR


class TestKeepalive:
    def test_comes_whenever_nothing_is_written(self):
        context = StreamContext()
        items = listening(context)
        stream = Stream(items, context=context, keepalive_seconds=TINY_SECONDS)
        assert [next(stream) for _ in range(3)] == [A, KEEPALIVE, KEEPALIVE]
        stream.close()

    def test_comes_before_the_first_event_too(self):
        context = StreamContext()
        items = listening(context, None)
        stream = Stream(items, context=context, keepalive_seconds=TINY_SECONDS)
        assert next(stream) == KEEPALIVE
        stream.close()

    def test_can_do_without_its_blank_line(self):
        context = StreamContext()
        stream = Stream(
            listening(context),
            context=context,
            keepalive_seconds=TINY_SECONDS,
            keepalive_blank_line=False,
        )
        assert [next(stream), next(stream)] == [A, b": keep-alive\n"]
        stream.close()

    def test_never_comes_in_the_middle_of_an_event(self):
        context = StreamContext()

        def generate():
            for piece in (b"data: ha", b"lf"):
                yield piece
                gevent.sleep(0.15)  # Long enough for several keep-alives.
            yield from listening(context, b"\n\n")

        stream = Stream(generate(), context=context, keepalive_seconds=TINY_SECONDS)
        body = b""
        while KEEPALIVE not in body:
            body += next(stream)
        assert body == b"data: half\n\n" + KEEPALIVE
        stream.close()

    @pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\r\n"])
    def test_comes_behind_an_event_with_any_line_ends(self, end):
        context = StreamContext()
        items = listening(context, b"data: a" + end.encode())
        stream = Stream(items, context=context, keepalive_seconds=TINY_SECONDS)
        next(stream)
        assert next(stream) == KEEPALIVE
        stream.close()

    def test_of_zero_seconds_never_comes(self):
        def generate():
            gevent.sleep(0.15)
            yield A

        assert Stream(generate(), keepalive_seconds=0).read_all() == A


class TestDeadline:
    def test_ends_the_stream_with_an_error_event(self):
        context = StreamContext()
        stream = Stream(listening(context), context=context, deadline_seconds=TINY_SECONDS)
        body = stream.read_all()
        assert body.startswith(A)
        assert error_in(body)["code"] == "stream_timeout"
        assert context.outcome is Outcome.ERROR

    def test_ends_the_generator(self, ended):
        Stream(blocked(ended), deadline_seconds=TINY_SECONDS).read_all()
        wait_until(lambda: ended == ["GeneratorExit"])

    def test_in_the_middle_of_an_event_breaks_the_body_off(self):
        context = StreamContext()
        items = listening(context, b"data: ha")
        stream = Stream(items, context=context, deadline_seconds=TINY_SECONDS)
        next(stream)
        with pytest.raises(BrokenPipeError):
            next(stream)
        stream.close()


class TestLateCommit:
    """The 200 waits for the first event, so that an early failure keeps its status; but not for ever."""

    def test_returns_with_the_first_event(self):
        context = StreamContext()
        stream = Stream(listening(context), context=context)
        stream.wait_for_first_event(FOREVER_SECONDS)
        assert next(stream) == A
        stream.close()

    def test_returns_with_the_end_of_a_stream_without_events(self):
        stream = Stream(iter(()))
        stream.wait_for_first_event(FOREVER_SECONDS)
        assert stream.read_all() == b""
        assert stream.context.outcome is Outcome.COMPLETE

    def test_tells_of_an_unexpected_failure_only_that_it_happened(self):
        def generate():
            raise RuntimeError("broken")
            yield

        with pytest.raises(ApiError) as caught:
            Stream(generate()).wait_for_first_event(FOREVER_SECONDS)
        assert caught.value.code == "internal_error"
        assert "broken" not in caught.value.message

    @pytest.mark.parametrize(
        "error", [ApiError(429, "rate", "later"), PlainAnswer(200, {}, b"plain")]
    )
    def test_raises_what_the_generator_raised_before_its_first_event(self, error):
        def generate():
            gevent.sleep(TINY_SECONDS)
            raise error
            yield

        stream = Stream(generate())
        with pytest.raises(type(error)) as caught:
            stream.wait_for_first_event(FOREVER_SECONDS)
        assert caught.value is error
        assert stream.context.outcome is Outcome.ERROR

    def test_leaves_a_failure_behind_the_first_event_to_the_stream(self):
        stream = Stream(iter([A, "text"]))
        stream.wait_for_first_event(FOREVER_SECONDS)
        assert error_in(stream.read_all())["code"] == "internal_error"

    def test_returns_after_the_silence_with_a_keepalive(self):
        context = StreamContext()
        stream = Stream(listening(context, None), context=context)
        stream.wait_for_first_event(TINY_SECONDS)
        assert next(stream) == KEEPALIVE
        stream.close()

    def test_goes_on_with_the_events_behind_the_keepalive(self):
        may_go_on = Flag()

        def generate():
            may_go_on.wait()
            yield A

        stream = Stream(generate())
        stream.wait_for_first_event(TINY_SECONDS)
        may_go_on.set()
        assert stream.read_all() == KEEPALIVE + A

    def test_leaves_a_failure_behind_the_keepalive_to_the_stream(self):
        may_go_on = Flag()

        def generate():
            may_go_on.wait()
            raise ApiError(429, "rate", "later")
            yield

        stream = Stream(generate())
        stream.wait_for_first_event(TINY_SECONDS)
        may_go_on.set()
        assert error_in(stream.read_all())["code"] == "rate"

    def test_without_a_time_waits_for_the_first_event(self):
        def generate():
            gevent.sleep(0.15)
            yield A

        stream = Stream(generate(), keepalive_seconds=TINY_SECONDS)
        stream.wait_for_first_event(None)
        assert next(stream) == A
        stream.close()

    def test_is_refused_when_the_deadline_is_over(self):
        context = StreamContext()
        items = listening(context, None)
        stream = Stream(items, context=context, deadline_seconds=TINY_SECONDS)
        with pytest.raises(ApiError) as caught:
            stream.wait_for_first_event(FOREVER_SECONDS)
        assert (caught.value.status, caught.value.code) == (504, "stream_timeout")
        assert context.outcome is Outcome.ERROR

    def test_returns_when_the_client_has_left(self):
        context = StreamContext()
        stream = Stream(listening(context, None), context=context)
        gevent.spawn(stream.on_disconnect)
        stream.wait_for_first_event(FOREVER_SECONDS)
        with pytest.raises(BrokenPipeError):
            next(stream)
        stream.close()


class TestBackpressure:
    def test_asks_for_no_more_events_than_the_channel_holds(self):
        asked_for = []

        def generate():
            for number in range(100):
                asked_for.append(number)
                yield A

        stream = Stream(generate(), channel_size=4)
        assert next(stream) == A * 4
        run_all()
        # What is being written still takes its room.
        assert len(asked_for) == 4
        assert next(stream) == A * 4
        stream.close()
        run_all()
        assert len(asked_for) <= 8


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


class TestClientThatLeaves:
    @pytest.fixture
    def left(self):
        return []

    def leaving(self, left, items, context=None):
        return Stream(items, context=context, on_disconnect=lambda: left.append("left"))

    def test_while_nothing_is_sent_wakes_the_stream_which_breaks_off(self, left):
        context = StreamContext()
        stream = self.leaving(left, listening(context, None), context)
        gevent.spawn(stream.on_disconnect)
        with pytest.raises(BrokenPipeError):
            next(stream)
        stream.close()
        assert context.outcome is Outcome.CANCELLED
        assert left == ["left"]

    def test_is_sent_no_more_events(self, left):
        stream = self.leaving(left, endless([]))
        next(stream)
        run_all()
        stream.on_disconnect()
        with pytest.raises(BrokenPipeError):
            next(stream)
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
        with pytest.raises(BrokenPipeError):
            next(stream)
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
        monkeypatch.setattr(worker_objects.inflight(), "limit", 0)
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


@pytest.mark.parametrize("terminal", [b"data: [DONE]\n\n", Event(event="done", data="x")])
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


@pytest.mark.parametrize(
    "raised",
    [
        SystemExit("x"),
        KeyboardInterrupt(),
        GeneratorExit(),
        gevent.GreenletExit(),
        gevent.Timeout(1),
    ],
)
def test_whatever_the_generator_raises_is_an_error_of_its_own_stream_only(raised, caplog):
    def generate():
        yield A
        raise raised

    body = Stream(generate()).read_all()
    assert error_in(body)["code"] == "internal_error"
    assert "request-7" in caplog.text


def test_a_stream_whose_client_left_is_closed_even_if_nobody_does(monkeypatch, ended):
    monkeypatch.setattr(event_stream, "_CLOSE_TIMEOUT_SECONDS", 0)
    abandoned = Stream(blocked(ended), write_timeout_seconds=TINY_SECONDS)
    next(abandoned)
    abandoned.on_disconnect()
    wait_until(lambda: worker_objects.inflight().count == 0)
    wait_until(lambda: ended == ["GeneratorExit"])
    # The clock goes on for the others.
    stream = Stream(blocked([]), keepalive_seconds=TINY_SECONDS)
    assert [next(stream), next(stream)] == [A, KEEPALIVE]
    stream.close()


def test_a_context_is_for_one_stream():
    context = StreamContext()
    Stream([A], context=context).read_all()
    with pytest.raises(RuntimeError, match="for one stream"):
        Stream([A], context=context).start()


def test_a_generator_that_does_not_listen_is_closed_at_its_next_yield_when_stopped(ended):
    context = StreamContext()
    stream = Stream(endless(ended), context=context, channel_size=1)
    next(stream)
    context.stop_generating()
    stream.read_all()
    assert ended == ["GeneratorExit"]
    assert context.outcome is Outcome.CANCELLED


@pytest.mark.parametrize("channel_size", [1, 8])
def test_empty_items_are_passed_over(channel_size):
    items = [b""] * channel_size + [A]
    assert Stream(items, channel_size=channel_size).read_all() == A


@pytest.mark.parametrize(
    "pieces",
    [(b"data: a\n", b"\n"), (b"data: a\r\n", b"\r\n"), (b"data: a\r", b"\r"), (b"data: a\n\r\n",)],
)
def test_an_event_is_whole_however_its_blank_line_comes(pieces):
    def generate():
        for piece in pieces:
            yield piece
            gevent.sleep(TINY_SECONDS)
        raise ApiError(500, "failed", "after a whole event")

    assert b"after a whole event" in Stream(generate()).read_all()


class TestPlaces:
    """A worker takes so many streams and no more."""

    @pytest.fixture(autouse=True)
    def one_place(self, monkeypatch):
        monkeypatch.setattr(worker_objects.inflight(), "limit", 1)

    def test_one_stream_too_many_is_refused(self):
        stream, refused = Stream(endless([])), Stream([A])
        stream.start()
        with pytest.raises(TooManyStreamsError):
            refused.start()
        stream.close()
        refused.close()

    def test_a_stream_that_is_refused_never_runs_its_generator(self, ended):
        def generate():
            ended.append("ran")
            yield A

        stream, refused = Stream(endless([])), Stream(generate())
        stream.start()
        with pytest.raises(TooManyStreamsError):
            refused.wait_for_first_event(FOREVER_SECONDS)
        refused.close()
        stream.close()
        run_all()
        assert ended == []

    @pytest.mark.parametrize("items", [[A], ["text"]], ids=["complete", "failed"])
    def test_a_stream_that_has_ended_gives_its_place_back(self, items):
        Stream(items).read_all()
        assert Stream([A]).read_all() == A

    def test_a_stream_that_is_closed_gives_its_place_back_at_once(self, ended):
        stream = Stream(blocked(ended))
        next(stream)
        stream.close()
        assert Stream([A]).read_all() == A

    def test_a_stream_takes_its_place_when_it_starts(self):
        stream = Stream([A])
        assert Stream([B]).read_all() == B
        stream.close()
