"""A generator as a response body, without a socket: ``next()`` and ``close()`` are called as gunicorn does."""

import json
import logging

import gevent
import pytest
from gevent.event import Event as Flag
from gevent.queue import Queue

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import Event, EventParser
from flask_sluice.stream import registry
from flask_sluice.stream.admission import TooManyStreamsError
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer
from flask_sluice.stream.feeds.feed import holds_event
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


class TestComplete:
    def test_body_is_what_was_yielded_in_order(self):
        items = [Event(data="a", id="7"), Event.json({"b": 1}), b"data: c\n\n"]
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
        stream = Stream([A], preamble=b": stream\n")
        assert list(stream) == [b": stream\n", A]
        stream.close()

    def test_a_preamble_does_not_wait_for_the_first_event(self):
        context = StreamContext()
        stream = Stream(listening(context, None), context=context, preamble=b": stream\n")
        assert next(stream) == b": stream\n"
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

    def test_is_what_a_generator_that_was_killed_comes_to(self):
        stream = Stream(self.failing(gevent.GreenletExit()))
        assert error_in(stream.read_all())["code"] == "internal_error"
        assert stream.context.outcome is Outcome.ERROR

    def test_in_the_middle_of_an_event_sends_nothing_of_that_event(self):
        # The client would take an error event for the rest of the half.
        body = Stream([A, b"data: ha", {"a": 1}]).read_all()
        assert body.startswith(A)
        assert b"ha" not in body
        assert error_in(body)["code"] == "internal_error"

    @pytest.mark.parametrize("item", [{"a": 1}, None, 5, bytearray(A)], ids=repr)
    def test_of_an_item_of_the_wrong_type_is_explained_in_the_log(self, item, caplog):
        body = Stream([A, item, B]).read_all()
        assert error_in(body)["code"] == "internal_error"
        assert B not in body
        kind = "None" if item is None else type(item).__name__
        assert f"yields Event, or text or bytes that are framed events, not {kind}; " in caplog.text

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
    def generate():
        yield A
        raise CutError("a fault was asked for")

    stream = Stream(generate())
    assert next(stream) == A
    with pytest.raises(BrokenPipeError):
        next(stream)
    stream.close()
    assert stream.context.outcome is Outcome.ERROR


class TestKeepalive:
    def test_comes_whenever_nothing_is_written(self, clock):
        context = StreamContext()
        stream = Stream(listening(context), context=context, keepalive_seconds=15)
        assert next(stream) == A
        for _ in range(2):
            clock.turn_while_waiting(16)
            assert next(stream) == KEEPALIVE
        stream.close()

    def test_comes_before_the_first_event_too(self, clock):
        context = StreamContext()
        stream = Stream(listening(context, None), context=context, keepalive_seconds=15)
        clock.turn_while_waiting(16)
        assert next(stream) == KEEPALIVE
        stream.close()

    def test_can_have_a_blank_line(self, clock):
        context = StreamContext()
        stream = Stream(
            listening(context),
            context=context,
            keepalive_seconds=15,
            keepalive_blank_line=True,
        )
        assert next(stream) == A
        clock.turn_while_waiting(16)
        assert next(stream) == b": keep-alive\n\n"
        stream.close()

    @pytest.mark.parametrize(
        "item",
        [Event(comment="a\r\nb\rc\nd"), Event(retry=5), b": a\r\n: b\r", b": a\n\n: b\n"],
    )
    def test_comes_behind_a_comment_without_a_blank_line(self, clock, item):
        context = StreamContext()
        stream = Stream(listening(context, item), context=context, keepalive_seconds=15)
        next(stream)
        clock.turn_while_waiting(16)
        assert next(stream) == KEEPALIVE
        stream.close()

    def test_never_comes_in_the_middle_of_an_event(self, clock):
        pieces = Queue(items=[b"data: ha"])
        stream = Stream(iter(pieces.get, None), keepalive_seconds=15)
        clock.turn_while_waiting(16)
        assert next(stream) == KEEPALIVE
        pieces.put(b"lf\n\n")
        assert next(stream) == b"data: half\n\n"
        stream.close()

    @pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\r\n"])
    def test_comes_behind_an_event_with_any_line_ends(self, clock, end):
        context = StreamContext()
        items = listening(context, b"data: a" + end.encode())
        stream = Stream(items, context=context, keepalive_seconds=15)
        next(stream)
        clock.turn_while_waiting(16)
        assert next(stream) == KEEPALIVE
        stream.close()

    def test_of_zero_seconds_never_comes(self, clock):
        def generate():
            clock.turn(FOREVER_SECONDS)
            run_all()  # The stream would look what is due.
            yield A

        assert Stream(generate(), keepalive_seconds=0).read_all() == A


class TestDeadline:
    def test_ends_the_stream_with_an_error_event(self, clock):
        context = StreamContext()
        stream = Stream(listening(context), context=context, deadline_seconds=60)
        assert next(stream) == A
        clock.turn_while_waiting(61)
        body = stream.read_all()
        assert error_in(body)["code"] == "stream_timeout"
        assert context.outcome is Outcome.ERROR

    def test_ends_the_generator(self, clock, ended):
        stream = Stream(blocked(ended), deadline_seconds=60)
        assert next(stream) == A
        clock.turn_while_waiting(61)
        stream.read_all()
        wait_until(lambda: ended == ["GeneratorExit"])

    def test_adds_no_error_behind_the_terminal_event(self, clock):
        context = StreamContext()
        items = listening(context, b"data: [DONE]\n\n")
        stream = Stream(items, context=context, deadline_seconds=60)
        assert next(stream) == b"data: [DONE]\n\n"
        clock.turn_while_waiting(61)
        assert stream.read_all() == b""
        assert context.outcome is Outcome.COMPLETE

    def test_in_the_middle_of_an_event_sends_nothing_of_that_event(self, clock):
        context = StreamContext()
        items = listening(context, b"data: a\n\ndata: ha")
        stream = Stream(items, context=context, deadline_seconds=60)
        assert next(stream) == A
        clock.turn_while_waiting(61)
        assert error_in(next(stream))["code"] == "stream_timeout"
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

    @pytest.mark.parametrize(
        "error",
        [ApiError(429, "rate", "later"), PlainAnswer(200, {}, b"plain"), RuntimeError("broken")],
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

    def test_without_a_time_waits_for_the_first_event(self, clock):
        def generate():
            clock.turn(16)
            run_all()  # The stream is woken, and looks what is due.
            yield A

        stream = Stream(generate(), keepalive_seconds=15)
        stream.wait_for_first_event(None)
        assert next(stream) == A
        stream.close()

    def test_is_refused_when_the_deadline_is_over(self, clock):
        context = StreamContext()
        items = listening(context, None)
        stream = Stream(items, context=context, deadline_seconds=60)
        clock.turn_while_waiting(61)
        with pytest.raises(ApiError) as caught:
            stream.wait_for_first_event(FOREVER_SECONDS)
        assert (caught.value.status, caught.value.code) == (504, "stream_timeout")
        assert context.outcome is Outcome.ERROR

    def test_returns_when_the_client_has_left(self):
        context = StreamContext()
        stream = Stream(listening(context, None), context=context)
        gevent.spawn(stream.on_disconnect)
        stream.wait_for_first_event(FOREVER_SECONDS)
        assert list(stream) == []
        stream.close()
        assert context.outcome is Outcome.CANCELLED


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


def test_a_context_is_for_one_stream():
    context = StreamContext()
    Stream([A], context=context).read_all()
    with pytest.raises(RuntimeError, match="for one stream"):
        Stream([A], context=context).start()


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
        monkeypatch.setattr(registry.admission(), "limit", 1)

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


@pytest.mark.parametrize(
    "events", [b": a\n\n", b": data\n\n", b"\n", b"\r\n", b": a\n: b\n\n", b":\r\r"]
)
def test_comments_and_blank_lines_hold_no_event(events):
    assert not holds_event(events)


@pytest.mark.parametrize(
    "events", [A, b": a\n\n" + A, b"\n" + A, b": a\rdata: a\r\r", b"event: a\ndata: a\n\n", b"{}"]
)
def test_data_is_an_event_whatever_comes_before_it(events):
    assert holds_event(events)
