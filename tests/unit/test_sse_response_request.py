"""A stream as a part of its request, its status, its end and its context variables: the same with threads as with greenlets."""

import contextvars
import json

import pytest
from flask import has_app_context, request

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import Event
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.sse_response import sse_response
from tests.unit.wsgi_server import (
    LONG_SECONDS,
    OPENING,
    SHORT_SECONDS,
    A,
    error_in,
    whole,
)

pytestmark = pytest.mark.timeout(30)


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


def test_the_generator_has_the_context_variables_of_the_request_but_not_flasks(server):
    span = contextvars.ContextVar("span")

    def generate():
        yield Event.json([span.get(), has_app_context()])

    def view():
        span.set(request.args["span"])
        return sse_response(generate())

    server.app.add_url_rule("/", "view", view)
    assert b'["s7",false]' in server.body("/?span=s7")
