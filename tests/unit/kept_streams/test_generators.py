"""A generator that is run in the background."""

import contextvars
import threading
import time

import pytest

from flask_sluice import ApiError, Event, StreamContext
from tests.support.server import wait_until
from tests.unit.kept_streams import DONE, error_of, events, until_ended

pytestmark = pytest.mark.timeout(60)


class TestAGenerator:
    def test_is_run_without_a_reader(self, streams, key):
        def answer():
            yield Event(data="a")
            yield "data: b\n\n"

        began = streams.start(answer(), owner=7, key=key)
        assert (began.state, began.last_id) == ("running", 0)
        assert until_ended(streams, began.id).state == "complete"
        assert events(streams, began.id) == [("message", "a"), ("message", "b"), DONE]
        assert streams.find(key=key, owner=7).id == began.id

    def test_that_fails_ends_with_the_error_event(self, streams):
        def answer():
            yield Event(data="a")
            raise ApiError(502, "model", "the model is gone")

        status = until_ended(streams, streams.start(answer()).id)
        assert (status.state, status.last_id, status.error["message"]) == (
            "error",
            2,
            "the model is gone",
        )

    @pytest.mark.parametrize(
        "last", ["data: unfinished", "no event", {"a": 1}, Event(data="x", id="7")]
    )
    def test_that_yields_no_event_ends_with_the_error_event_and_is_closed(self, streams, last):
        closed = []

        def answer():
            try:
                yield Event(data="a")
                yield last
            finally:
                closed.append(True)

        status = until_ended(streams, streams.start(answer()).id)
        assert (status.state, error_of(status)) == ("error", "internal_error")
        wait_until(lambda: closed == [True])

    def test_may_save_its_answer_after_its_terminal_event(self, streams):
        saved = []

        def answer():
            yield Event(data="[DONE]")
            yield Event(data="dropped")
            saved.append(True)

        began = streams.start(answer())
        assert until_ended(streams, began.id).state == "complete"
        wait_until(lambda: saved)
        assert events(streams, began.id) == [("message", "[DONE]")]

    def test_is_ended_by_a_stop(self, streams):
        closed = []

        def answer():
            try:
                while True:
                    yield Event(data="a")
                    time.sleep(0.01)
            finally:
                closed.append(True)

        began = streams.start(answer())
        streams.stop(began.id)
        assert until_ended(streams, began.id).state == "stopped"
        wait_until(lambda: closed == [True])

    def test_that_listens_hears_a_stop_at_once_and_may_go_on(self, streams):
        context = StreamContext()

        def answer():
            yield Event(data="a")
            context.wait(30)
            yield Event(data="a last word")

        began = streams.start(answer(), context=context)
        wait_until(lambda: streams.status(began.id).last_id == 1)
        streams.stop(began.id)
        assert until_ended(streams, began.id).state == "stopped"
        assert [data for _, data in events(streams, began.id)][:2] == ["a", "a last word"]

    def test_has_a_deadline(self, streams):
        def answer():
            while True:
                yield Event(data="a")
                time.sleep(0.02)

        status = until_ended(streams, streams.start(answer(), deadline=0.1).id)
        assert (status.state, error_of(status)) == ("error", "stream_timeout")

    @pytest.mark.parametrize("code", ["stopped", "stream_timeout"])
    def test_that_hangs_is_ended_all_the_same(self, streams, code):
        go_on = threading.Event()
        closed = []

        def answer():
            try:
                yield Event(data="a")
                go_on.wait(30)
                yield Event(data="too late")
            finally:
                closed.append(True)

        began = streams.start(answer(), deadline=0.5 if code == "stream_timeout" else None)
        if code == "stopped":
            wait_until(lambda: streams.status(began.id).last_id == 1)
            streams.stop(began.id)
        ended = until_ended(streams, began.id)
        go_on.set()
        assert (error_of(ended), ended.last_id) == (code, 2)
        wait_until(lambda: closed == [True])

    def test_has_the_context_variables_of_its_caller(self, streams):
        variable = contextvars.ContextVar("variable", default="none")
        variable.set("the caller's")

        def answer():
            yield Event(data=variable.get())
            variable.set("the generator's")

        began = streams.start(answer())
        until_ended(streams, began.id)
        assert events(streams, began.id)[0] == ("message", "the caller's")
        assert variable.get() == "the caller's"

    def test_has_an_error_event_and_a_terminal_event_of_the_apps(self, streams):
        done = streams.start(
            [Event(data="a", event="finish"), Event(data="dropped")],
            is_terminal=lambda event: event.event == "finish",
        )
        until_ended(streams, done.id)
        assert events(streams, done.id) == [("finish", "a")]

        def fails():
            yield Event(data="a")
            raise LookupError

        failed = streams.start(fails(), error_event=lambda _error: Event(data="sorry"))
        assert until_ended(streams, failed.id).state == "error"
        assert events(streams, failed.id) == [("message", "a"), ("message", "sorry")]

    @pytest.mark.parametrize(
        "items", [lambda: iter([]), {"a": 1}, "text", 7, None, Event(data="a")]
    )
    def test_is_asked_for_where_something_else_is_given(self, open_streams_with, items):
        streams = open_streams_with(streams_per_owner=1)
        with pytest.raises(TypeError, match=r"^start takes "):
            streams.start(items, owner="a")
        until_ended(streams, streams.start([Event(data="a")], owner="a").id)

    def test_counts_for_its_owner_until_it_ends(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        go_on = threading.Event()

        def answer():
            yield Event(data="a")
            go_on.wait(30)

        first = streams.start(answer(), owner="a")
        with pytest.raises(ApiError) as caught:
            streams.start(answer(), owner="a")
        assert caught.value.status == 429
        go_on.set()
        until_ended(streams, first.id)
        wait_until(lambda: until_ended(streams, streams.start([], owner="a").id))

    @pytest.mark.parametrize(
        "items",
        [("data: " + "x" * 4000 + "\n\n") * 2000, [Event(data="x" * 3_000_000)] * 3],
        ids=["many events at once", "large ones"],
    )
    def test_may_yield_more_at_once_than_redis_takes(self, streams, items):
        began = streams.start([items] if isinstance(items, str) else items)
        ended = until_ended(streams, began.id)
        assert (ended.state, ended.error) == ("complete", None)
