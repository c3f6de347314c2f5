"""A stream that ends before its generator does: the same with threads as with greenlets."""

import pytest

from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from tests.unit.wsgi_server import DONE, LONG_SECONDS, OPENING, A, error_in, events_in, whole

pytestmark = pytest.mark.timeout(30)


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
    def test_a_stream_tells_its_client(self, stream, server):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)
            yield "data: b\n\n"

        call = stream(generate(), context=context)
        call.until(A)
        server.wait_until(lambda: context.listens)
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

    def test_a_generator_that_raises_generator_exit_has_not_failed(self, stream, server):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)
            raise GeneratorExit

        call = stream(generate(), context=context)
        call.until(A)
        server.wait_until(lambda: context.listens)
        context.stop_generating()
        assert error_in(call.rest())["code"] == "stopped"
        call.close()

    def test_a_generator_may_end_its_answer_properly(self, stream, server):
        context = StreamContext()

        def generate():
            yield A
            context.wait(None)
            yield DONE

        call = stream(generate(), context=context)
        call.until(A)
        server.wait_until(lambda: context.listens)
        context.stop_generating()
        assert call.rest() == DONE
        call.close()

    def test_a_callback_that_fails_keeps_no_other_from_running(self, stream, server, caplog):
        context = StreamContext()
        called = []

        def generate():
            context.on_stop(lambda: 1 / 0)
            context.on_stop(lambda: called.append("second"))
            yield A
            context.wait(None)

        call = stream(generate(), context=context)
        call.until(A)
        server.wait_until(lambda: context.listens)
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
