"""What ``sse_response`` sends, on every server: the same with threads as with greenlets."""

import re

import pytest

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from tests.unit.wsgi_server import (
    DONE,
    LONG_SECONDS,
    OPENING,
    SHORT_SECONDS,
    A,
    error_in,
    events_in,
    whole,
)

pytestmark = pytest.mark.timeout(30)


class TestWhatIsSent:
    @pytest.mark.parametrize(
        ("items", "body"),
        [
            ([Event(data="a", id="7")], b"id: 7\ndata: a\n\n"),
            ([Event.json({"b": 1}), "data: c\n\n"], b'data: {"b":1}\n\ndata: c\n\n'),
            ([b"da", "ta: ", b"half\n", "\n"], b"data: half\n\n"),
            ([b"", A, ""], A),
            ([": ping\n", A], b": ping\n" + A),
            ([], b""),
        ],
    )
    def test_is_what_was_yielded(self, stream, items, body):
        assert whole(stream(items)) == body

    @pytest.mark.parametrize(
        "make",
        [
            lambda: (item for item in [A]),
            lambda: iter([A]),
            lambda: map(bytes, [A]),
            {A: "of a dict's keys"}.keys,
            type("Items", (), {"__iter__": lambda self: (item for item in [A])}),
        ],
        ids=["generator", "iterator", "map", "keys", "iterable"],
    )
    def test_comes_of_any_iterable(self, stream, make):
        assert whole(stream(make())) == A

    def test_opens_before_the_first_event(self, stream):
        context = StreamContext()
        call = stream(iter(lambda: context.wait(None), True), context=context)
        assert next(call) == OPENING
        call.close()

    def test_says_when_to_reconnect(self, stream):
        assert whole(stream([A], retry=3000)) == b"retry: 3000\n" + A

    def test_comes_one_by_one(self, stream):
        context = StreamContext()

        def generate():
            for number in range(3):
                yield Event(data=str(number))
                asked.append(number)
                context.wait(LONG_SECONDS if number == 2 else 0)

        asked = []
        call = stream(generate(), context=context)
        call.until(b"data: 2")
        call.close()

    def test_stays_ended(self, stream):
        call = stream([A])
        assert list(call) == [OPENING, A]
        assert list(call) == []
        call.close()

    def test_is_kept_alive_while_the_generator_is_silent(self, stream):
        context = StreamContext()
        call = stream(iter(lambda: context.wait(None), True), context=context, keepalive=0.02)
        assert [next(call) for _ in range(3)] == [OPENING, b": keep-alive\n", b": keep-alive\n"]
        call.close()

    def test_is_never_kept_alive_in_the_middle_of_an_event(self, stream, kind):
        is_kept_alive = kind.Flag()

        def generate():
            yield b"data: ha"
            is_kept_alive.wait(LONG_SECONDS)
            yield b"lf\n\n"

        call = stream(generate(), keepalive=0.02)
        call.until(b": keep-alive\n")
        is_kept_alive.set()
        assert call.rest().replace(b": keep-alive\n", b"") == b"data: half\n\n"
        call.close()

    def test_waits_for_a_client_that_reads_slowly(self, stream, server, kind):
        made = []

        def generate():
            for number in range(100):
                made.append(number)
                yield A

        call = stream(generate())
        call.until(A)
        kind.sleep(SHORT_SECONDS)
        # What is being written still takes its room.
        assert len(made) <= 8
        assert call.rest().count(A) > 0
        assert len(made) == 100
        call.close()


class TestErrors:
    def failing(self, error):
        yield A
        raise error

    def test_become_one_error_event(self, stream, caplog):
        body = whole(stream(self.failing(RuntimeError("a secret")), context=StreamContext()))
        assert body.startswith(A)
        assert error_in(body)["code"] == "internal_error"
        assert b"secret" not in body
        assert "RuntimeError: a secret" in caplog.text

    def test_that_a_client_may_read_are_told(self, stream, caplog):
        body = whole(stream(self.failing(ApiError(503, "printer_out", "No paper."))))
        assert error_in(body)["message"] == "No paper."
        assert caplog.text == ""

    @pytest.mark.parametrize(
        "error", [SystemExit("x"), KeyboardInterrupt(), GeneratorExit(), StopIteration()], ids=repr
    )
    def test_of_any_kind_are_those_of_one_stream(self, stream, error, caplog):
        assert (
            error_in(whole(stream(self.failing(error), context=StreamContext())))["code"]
            == "internal_error"
        )
        assert type(error).__name__ in caplog.text

    @pytest.mark.parametrize("item", [{"a": 1}, None, 5, bytearray(A), "no event"], ids=repr)
    def test_of_items_say_what_to_yield(self, stream, item, caplog):
        closed = []

        def generate():
            try:
                yield A
                yield item
                yield A
            finally:
                closed.append(True)

        body = whole(stream(generate()))
        assert body.startswith(A)
        assert error_in(body)["code"] == "internal_error"
        assert re.search("yields Event|wrap it in Event", caplog.text)
        assert closed == [True]

    def test_of_an_unfinished_event_say_so(self, stream, caplog):
        body = whole(stream([A, b"data: ha"]))
        assert error_in(body)["code"] == "internal_error"
        assert "wrap it in Event" in caplog.text

    def test_are_told_by_an_event_of_the_apps_own(self, stream):
        def told(error):
            return Event(event="failed", data=str(error))

        body = whole(stream(self.failing(RuntimeError("out of ink")), error_event=told))
        assert events_in(body)[-1] == ("failed", "out of ink")

    def test_of_the_apps_own_error_event_are_logged(self, stream, caplog):
        body = whole(stream(self.failing(RuntimeError("first")), error_event=lambda _: 1 / 0))
        assert error_in(body)["code"] == "internal_error"
        assert "ZeroDivisionError" in caplog.text
        assert "RuntimeError: first" in caplog.text

    def test_of_the_apps_own_terminal_event_are_the_streams(self, stream, caplog):
        body = whole(stream([Event(data="a")], is_terminal=lambda _event: 1 / 0))
        assert error_in(body)["code"] == "internal_error"
        assert "ZeroDivisionError" in caplog.text

    def test_of_beginning_are_told(self, stream):
        class Broken:
            def __iter__(self):
                raise ApiError(502, "broken", "no iterator")

        assert error_in(whole(stream(Broken())))["code"] == "broken"

    @pytest.mark.parametrize("error", [RuntimeError("not closed"), SystemExit("not closed")])
    def test_of_closing_a_generator_are_logged(self, stream, server, error, caplog):
        def generate():
            try:
                while True:
                    yield A
            finally:
                raise error

        call = stream(generate())
        call.until(A)
        call.close()
        server.wait_until(lambda: "not closed" in caplog.text)

    def test_of_closing_other_items_are_logged(self, stream, server, caplog):
        class Items(list):
            def close(self):
                raise SystemExit("not closed")

        assert whole(stream(Items([A]))) == A
        server.wait_until(lambda: "SystemExit: not closed" in caplog.text)

    def test_are_a_cut_of_nothing_but_the_half_event(self, stream):
        def generate():
            yield A
            yield b"data: ha"
            raise ApiError(503, "late", "too late")

        body = whole(stream(generate()))
        assert b"ha" not in body.removeprefix(A)
        assert error_in(body)["code"] == "late"


class TestDeadline:
    SECONDS = 0.3
    """The first event comes before, on a busy machine, too."""

    def test_ends_the_stream_with_an_error_event(self, stream, server):
        context = StreamContext()
        ended = []

        def generate():
            yield A
            ended.append(context.wait(None))

        body = whole(stream(generate(), context=context, deadline=self.SECONDS))
        assert body.startswith(A)
        assert error_in(body)["code"] == "stream_timeout"
        server.wait_until(lambda: ended == [True])
        assert context.outcome is Outcome.ERROR

    def test_behind_the_terminal_event_is_no_error(self, stream, server, kind):
        may_save, saved = kind.Flag(), []
        context = StreamContext()

        def generate():
            yield DONE
            may_save.wait(LONG_SECONDS)
            saved.append("answer")

        assert whole(stream(generate(), context=context, deadline=self.SECONDS)) == DONE
        assert context.outcome is Outcome.COMPLETE
        may_save.set()
        server.wait_until(lambda: saved)
