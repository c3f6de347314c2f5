"""What ``sse_response`` promises on every server: the same with threads as with greenlets."""

import contextvars
import json
import logging

import pytest
from flask import Flask, has_app_context, request

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import Event
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.sse_response import sse_response
from tests.unit.wsgi_server import Greenlets, Threads, WsgiServer, events_in

pytestmark = pytest.mark.timeout(30)

SHORT_SECONDS = 0.05
LONG_SECONDS = 3600
OPENING = b": stream\n"
A = b"data: a\n\n"
DONE = b"event: done\ndata: x\n\n"


@pytest.fixture(params=[Threads, Greenlets], ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture
def server(kind, monkeypatch):
    server = WsgiServer(kind, Flask(__name__), monkeypatch)
    yield server
    server.stop()


@pytest.fixture
def stream(server):
    """Has the app answer with a stream of these items; returns the call."""
    arguments = {}
    server.app.add_url_rule("/", "stream", lambda: sse_response(**arguments))

    def stream(items, **options):
        arguments.clear()
        arguments.update(items=items, **options)
        return server.get()

    return stream


@pytest.fixture
def log(caplog):
    """The log lines of streams that have ended."""
    caplog.set_level(logging.INFO, "sluice.stream")
    return lambda: [
        json.loads(record.getMessage())
        for record in caplog.records
        if record.getMessage().startswith("{")
    ]


def whole(call):
    """The body behind the opening comment, read to its end and closed."""
    body = call.rest()
    call.close()
    assert body.startswith(OPENING)
    return body.removeprefix(OPENING)


def error_in(body):
    event, data = events_in(body)[-1]
    assert event == "error"
    return json.loads(data)["error"]


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

    def test_is_nothing_of_a_generator_that_is_over(self, stream):
        generator = (item for item in [A])
        assert list(generator) == [A]
        assert whole(stream(generator)) == b""

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
        assert "wrap " in caplog.text
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

    def test_of_a_generator_that_runs_elsewhere_are_told(self, stream, kind):
        started, may_end = kind.Flag(), kind.Flag()

        def generate():
            started.set()
            may_end.wait(LONG_SECONDS)
            yield A

        generator = generate()
        kind.spawn(lambda: list(generator))
        started.wait(LONG_SECONDS)
        body = whole(stream(generator))
        may_end.set()
        assert error_in(body)["code"] == "internal_error"

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
    def test_ends_the_stream_with_an_error_event(self, stream, server):
        context = StreamContext()
        ended = []

        def generate():
            yield A
            ended.append(context.wait(None))

        body = whole(stream(generate(), context=context, deadline=SHORT_SECONDS))
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

        assert whole(stream(generate(), context=context, deadline=SHORT_SECONDS)) == DONE
        assert context.outcome is Outcome.COMPLETE
        may_save.set()
        server.wait_until(lambda: saved)


class TestClientThatLeaves:
    @pytest.fixture
    def left(self):
        return []

    def test_ends_the_body_without_an_exception(self, stream, left, log):
        context = StreamContext()
        call = stream(
            iter(lambda: context.wait(None), True),
            context=context,
            on_disconnect=lambda: left.append("left"),
        )
        assert next(call) == OPENING
        call.leave()
        assert call.rest() == b""
        assert left == []
        call.close()
        assert left == ["left"]
        assert context.outcome is Outcome.CANCELLED
        assert (log()[-1]["outcome"], log()[-1]["reason"]) == (
            *("cancelled", "the client disconnected"),
        )

    def test_ends_the_generator_at_its_yield(self, stream, server):
        ended = []

        def generate():
            try:
                while True:
                    yield A
            except GeneratorExit:
                ended.append("GeneratorExit")
                raise

        call = stream(generate())
        call.until(A)
        call.leave()
        call.rest()
        call.close()
        server.wait_until(lambda: ended == ["GeneratorExit"])

    def test_is_heard_at_once_by_a_generator_that_listens(self, stream, server):
        heard = []
        context = StreamContext()

        def generate():
            context.on_stop(lambda: heard.append("callback"))
            yield A
            heard.append(context.wait(None))

        call = stream(generate(), context=context)
        call.until(A)
        call.leave()
        call.rest()
        call.close()
        server.wait_until(lambda: sorted(heard, key=str) == [True, "callback"])

    def test_is_the_last_word_while_events_wait(self, stream, server, left):
        context = StreamContext()
        call = stream([A], context=context, on_disconnect=lambda: left.append("left"))
        assert next(call) == OPENING
        server.leave(call)
        assert call.rest() == b""
        call.close()
        assert context.outcome is Outcome.CANCELLED
        assert left == ["left"]

    def test_behind_the_last_event_has_had_it_all(self, stream, left):
        context = StreamContext()
        call = stream([A], context=context, on_disconnect=lambda: left.append("left"))
        call.until(A)
        call.leave()
        assert call.rest() == b""
        call.close()
        assert context.outcome is Outcome.COMPLETE
        assert left == []

    def test_does_not_hide_how_a_generator_has_failed(self, stream, server, kind):
        context = StreamContext()

        def generate():
            yield A
            raise ApiError(503, "late", "too late")

        call = stream(generate(), context=context)
        call.until(A)
        server.wait_until(lambda: kind.is_finished(call.body))
        server.leave(call)
        call.rest()
        call.close()
        assert context.outcome is Outcome.ERROR

    def test_is_told_of_once(self, stream, left):
        call = stream(iter([A] * 100), on_disconnect=lambda: left.append("left"))
        call.until(A)
        call.close()
        call.close()
        assert left == ["left"]

    def test_and_a_callback_that_fails_are_only_logged(self, stream, caplog):
        call = stream(iter([A] * 100), on_disconnect=lambda: 1 / 0)
        call.until(A)
        call.close()
        assert "ZeroDivisionError" in caplog.text


class TestTerminalEvent:
    @pytest.mark.parametrize("terminal", [DONE, "data: [DONE]\n\n", Event(event="done", data="")])
    def test_leaves_the_generator_alone_to_save_its_answer(self, stream, server, kind, terminal):
        saved, left = [], []
        may_save = kind.Flag()

        def generate():
            yield terminal
            may_save.wait(LONG_SECONDS)
            saved.append("answer")

        context = StreamContext()
        call = stream(generate(), context=context, on_disconnect=lambda: left.append(1))
        call.until(b"done" if terminal != "data: [DONE]\n\n" else b"DONE")
        call.leave()
        assert call.rest() == b""
        call.close()
        may_save.set()
        server.wait_until(lambda: saved)
        assert left == []
        assert context.outcome is Outcome.COMPLETE

    def test_is_what_the_app_says(self, stream):
        context = StreamContext()
        call = stream(
            iter(lambda: Event(event="end", data="x"), None),
            context=context,
            is_terminal=lambda event: event.event == "end",
        )
        call.until(b"end")
        call.leave()
        call.close()
        assert not context.is_stopped

    def test_does_not_keep_a_generator_that_goes_on_when_its_reader_is_gone(
        self, stream, server, kind
    ):
        ended = []

        def generate():
            try:
                yield DONE
                while True:
                    yield ": ping\n\n"
                    kind.sleep(0.001)
            finally:
                ended.append("ended")

        call = stream(generate())
        call.until(b"done")
        call.leave()
        call.rest()
        call.close()
        server.wait_until(lambda: ended)

    def test_keeps_no_one_from_hearing_that_the_answer_could_not_be_saved(
        self, stream, server, kind, caplog
    ):
        may_save = kind.Flag()

        def generate():
            yield DONE
            may_save.wait(LONG_SECONDS)
            raise RuntimeError("the database is gone")

        call = stream(generate())
        call.until(b"done")
        call.leave()
        call.rest()
        call.close()
        may_save.set()
        server.wait_until(lambda: "the database is gone" in caplog.text)


class TestStoppedFromElsewhere:
    def test_a_stream_tells_its_client(self, stream):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)
            yield "data: b\n\n"

        call = stream(generate(), context=context)
        call.until(A)
        context.stop_generating()
        body = call.rest()
        call.close()
        assert events_in(body)[0] == ("message", "b")
        assert error_in(body)["code"] == "stopped"
        assert context.outcome is Outcome.CANCELLED

    def test_a_generator_ends_at_its_yield(self, stream):
        context = StreamContext()
        ended = []

        def generate():
            try:
                while True:
                    yield A
            except GeneratorExit:
                ended.append("GeneratorExit")
                raise

        call = stream(generate(), context=context)
        call.until(A)
        context.stop_generating()
        assert error_in(call.rest())["code"] == "stopped"
        assert ended == ["GeneratorExit"]
        call.close()

    def test_a_generator_that_raises_generator_exit_has_not_failed(self, stream):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)
            raise GeneratorExit

        call = stream(generate(), context=context)
        call.until(A)
        context.stop_generating()
        assert error_in(call.rest())["code"] == "stopped"
        call.close()

    def test_a_generator_may_end_its_answer_properly(self, stream):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)
            yield DONE

        call = stream(generate(), context=context)
        call.until(A)
        context.stop_generating()
        assert call.rest() == DONE
        call.close()

    def test_a_callback_that_fails_keeps_no_other_from_running(self, stream, caplog):
        context = StreamContext()
        called = []

        def generate():
            context.on_stop(lambda: 1 / 0)
            context.on_stop(lambda: called.append("second"))
            yield A
            context.wait(None)

        call = stream(generate(), context=context)
        call.until(A)
        context.stop_generating()
        call.rest()
        call.close()
        assert called == ["second"]
        assert "ZeroDivisionError" in caplog.text

    def test_before_it_starts_a_generator_never_runs(self, stream):
        context = StreamContext()
        context.stop_generating()
        ran = []

        def generate():
            ran.append(1)
            yield A

        assert error_in(whole(stream(generate(), context=context)))["code"] == "stopped"
        assert ran == []


class TestHeldHeaders:
    def raising(self, error):
        raise error
        yield

    def test_are_those_of_the_error_that_comes_before_the_first_event(self, stream, server):
        server.app.register_error_handler(LookupError, lambda error: (str(error), 418))
        call = stream(self.raising(LookupError("no teapot")), hold_headers=LONG_SECONDS)
        assert (call.status, call.rest()) == (418, b"no teapot")

    def test_are_those_of_an_error_that_a_client_may_read(self, stream):
        error = ApiError(429, "slow_down", "later", headers={"Retry-After": "7"})
        call = stream(self.raising(error), hold_headers=LONG_SECONDS)
        assert (call.status, call.headers["Retry-After"]) == (429, "7")
        assert json.loads(call.rest())["error"]["code"] == "slow_down"

    def test_are_sent_with_the_first_event(self, stream):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)

        call = stream(generate(), context=context, hold_headers=LONG_SECONDS)
        assert call.status == 200
        assert call.until(A) == OPENING + A
        call.close()

    def test_are_sent_after_the_silence(self, stream, kind):
        may_fail = kind.Flag()

        def generate():
            may_fail.wait(LONG_SECONDS)
            raise ApiError(429, "slow_down", "later")
            yield

        call = stream(generate(), hold_headers=0.02)
        assert call.status == 200
        may_fail.set()
        assert error_in(whole(call))["code"] == "slow_down"

    def test_are_sent_with_the_end_of_an_empty_stream(self, stream):
        call = stream([], hold_headers=LONG_SECONDS)
        assert (call.status, whole(call)) == (200, b"")

    def test_are_refused_when_the_deadline_is_over(self, stream, server):
        context = StreamContext()
        call = stream(
            iter(lambda: context.wait(None), True),
            context=context,
            hold_headers=LONG_SECONDS,
            deadline=SHORT_SECONDS,
        )
        assert call.status == 504
        server.wait_until(lambda: context.is_stopped)

    def test_leave_nothing_behind_in_a_stream_that_fails(self, stream, log):
        stream(self.raising(ApiError(429, "slow_down", "later")), hold_headers=LONG_SECONDS)
        assert registry.admission().count == 0
        assert (log()[-1]["outcome"], log()[-1]["status"]) == ("error", 429)

    def test_of_a_head_request_do_not_run_the_generator(self, server):
        ran = []
        items = (ran.append(item) for item in [A])
        server.app.add_url_rule("/", "stream", lambda: sse_response(items, hold_headers=1))
        call = server.get(method="HEAD")
        call.close()
        assert (call.status, ran) == (200, [])


class TestItsEnd:
    def test_is_counted_and_logged(self, stream, log):
        call = stream([A, A], context=StreamContext())
        next(call)
        assert registry.admission().count == 1
        assert registry.stats().open == {"/": 1}
        call.rest()
        call.close()
        assert registry.admission().count == 0
        assert registry.stats().open == {"/": 0}
        assert sum(registry.stats().ended.values()) == 1
        (line,) = log()
        assert (line["message"], line["outcome"], line["status"]) == (
            *("stream ended", "complete", 200),
        )
        assert (line["events"], line["bytes"], line["route"]) == (2, len(OPENING + A + A), "/")
        assert line["request_id"] == call.headers["X-Request-Id"]
        assert line["first_event_ms"] <= line["total_ms"]

    def test_is_logged_once_for_a_stream_that_fails(self, stream, log):
        whole(stream(iter([A, None])))
        (line,) = log()
        assert (line["outcome"], line["code"], line["events"]) == ("error", "internal_error", 1)

    def test_that_the_generator_calls_bad_is_an_error(self, stream):
        context = StreamContext()

        def generate():
            yield A
            context.fail("the upstream ended too early")

        assert whole(stream(generate(), context=context)) == A
        assert context.outcome is Outcome.ERROR

    def test_runs_all_callbacks_of_the_response(self, server, caplog):
        called = []

        def view():
            response = sse_response([A])
            response.call_on_close(lambda: 1 / 0)
            response.call_on_close(lambda: called.append("second"))
            return response

        server.app.add_url_rule("/", "view", view)
        server.body()
        assert called == ["second"]
        assert "ZeroDivisionError" in caplog.text

    def test_comes_to_a_body_that_is_dropped(self, server, log):
        ended = []

        def generate():
            try:
                while True:
                    yield A
            finally:
                ended.append("ended")

        def view():
            response = sse_response(generate())
            body = iter(response.response)
            assert next(body) == OPENING
            assert next(body).startswith(A)
            return "another answer"

        server.app.add_url_rule("/", "view", view)
        server.get()
        server.wait_until(lambda: ended and log())
        assert log()[-1]["outcome"] == "cancelled"

    def test_of_a_head_request_closes_what_the_items_hold(self, server):
        closed = []

        class Items(list):
            def close(self):
                closed.append(True)

        server.app.add_url_rule("/", "view", lambda: sse_response(Items([A])))
        server.get(method="HEAD").close()
        assert closed == [True]


def test_a_context_is_for_one_stream(stream):
    context = StreamContext()
    whole(stream([A], context=context))
    with pytest.raises(RuntimeError, match="for one stream"):
        stream([A], context=context).rest()


def test_the_generator_has_the_context_variables_of_the_request_but_not_flasks(server):
    span = contextvars.ContextVar("span")

    def generate():
        yield Event.json([span.get(), has_app_context()])

    def view():
        span.set(request.args["span"])
        return sse_response(generate())

    server.app.add_url_rule("/", "view", view)
    assert b'["s7",false]' in server.body("/?span=s7")
