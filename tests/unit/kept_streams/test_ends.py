"""How a stream ends: by its terminal event, by an exception, or because it is stopped."""

import json
import pickle
import threading
import time

import pytest

from flask_sluice import ApiError, Event
from flask_sluice.journal.errors import UnknownStreamError
from tests.support.server import wait_until
from tests.unit.journals import REDIS_URL
from tests.unit.kept_streams import error_of, events, fail, publish_one, read, until_ended

pytestmark = pytest.mark.timeout(60)


class TestTheTerminalEvent:
    @pytest.mark.parametrize("item", ["data: [DONE]\n\n", Event(data="[DONE]")])
    def test_may_be_openais(self, streams, item):
        assert publish_one(streams, item) == [("message", "[DONE]")]

    def test_may_be_named_done_with_data_of_the_apps(self, streams):
        assert publish_one(streams, Event.json({"n": 3}, event="done")) == [("done", '{"n":3}')]

    def test_may_be_what_the_app_says(self, streams):
        found = publish_one(
            streams,
            "data: a\n\nevent: finish\ndata: b\n\n",
            is_terminal=lambda event: event.event == "finish",
        )
        assert found == [("message", "a"), ("finish", "b")]

    def test_ends_the_stream_at_once(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="x", event="done"))
            assert stream.is_over
            assert streams.status(stream.id).state == "complete"
            with pytest.raises(RuntimeError, match="nothing may follow"):
                stream.publish(Event(data="late"))
        assert events(streams, stream.id) == [("done", "x")]

    def test_may_come_with_others_of_which_the_later_are_dropped(self, streams):
        assert publish_one(streams, "data: a\n\ndata: [DONE]\n\ndata: late\n\n") == [
            ("message", "a"),
            ("message", "[DONE]"),
        ]

    def test_is_a_success_although_an_exception_follows(self, streams):
        stream_id = fail(streams, LookupError(), "data: [DONE]\n\n")
        assert streams.status(stream_id).state == "complete"


class TestAnException:
    def test_becomes_the_error_event_without_its_text(self, streams):
        stream_id = fail(streams, LookupError("a secret"))
        received = read(streams, stream_id)
        assert b"secret" not in received
        (_, (name, data)) = events(streams, stream_id)
        assert (name, json.loads(data)["error"]["code"]) == ("error", "internal_error")
        assert streams.status(stream_id).state == "error"

    def test_that_is_an_api_error_tells_its_text(self, streams):
        stream_id = fail(streams, ApiError(429, "quota", "the quota is used up"))
        (_, (_, data)) = events(streams, stream_id)
        assert json.loads(data)["error"]["message"] == "the quota is used up"

    @pytest.mark.parametrize(
        "error",
        [
            ApiError(429, "quota", "used up", param="n", headers={"Retry-After": "5"}),
            UnknownStreamError(),
        ],
    )
    def test_can_be_passed_on_to_another_process(self, error):
        """As Celery does with what a task raises, and multiprocessing."""
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            passed_on = pickle.loads(pickle.dumps(error, protocol))
            assert type(passed_on) is type(error)
            assert (str(passed_on), vars(passed_on)) == (str(error), vars(error))

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
    def test_that_ends_the_program_is_one_too(self, streams, error):
        assert until_ended(streams, fail(streams, error)).state == "error"

    @pytest.mark.parametrize(
        "event",
        [
            Event(data="sorry", event="failure"),
            Event.json({"type": "error"}),
            Event(data="x", event="error"),
        ],
    )
    def test_may_be_told_by_an_event_of_the_apps(self, streams, event):
        stream_id = fail(streams, LookupError("x"), error_event=lambda _error: event)
        assert events(streams, stream_id)[-1] == (event.event or "message", event.data)
        status = streams.status(stream_id)
        assert (status.state, error_of(status)) == ("error", "internal_error")

    def test_may_not_be_told_in_a_wrong_form(self, streams):
        stream_id = fail(streams, LookupError("x"), error_event=lambda _error: "text")
        assert events(streams, stream_id)[-1][0] == "error"


class TestStopping:
    def test_is_heard_by_the_producer(self, streams):
        with streams.create() as stream:
            assert not stream.is_stopped
            streams.stop(stream.id)
            wait_until(lambda: stream.is_stopped)
        status = streams.status(stream.id)
        assert (status.state, error_of(status)) == ("stopped", "stopped")

    def test_is_told_in_the_apps_own_form(self, streams):
        with streams.create(
            error_event=lambda error: Event(data=error.code, event="end")
        ) as stream:
            streams.stop(stream.id)
            assert stream.wait(10)
        assert events(streams, stream.id) == [("end", "stopped")]
        assert streams.status(stream.id).state == "stopped"

    def test_ends_a_wait_at_once(self, streams):
        with streams.create() as stream:
            threading.Timer(0.05, streams.stop, (stream.id,)).start()
            began_at = time.monotonic()
            assert stream.wait(30)
            assert time.monotonic() - began_at < 5
            assert stream.wait()

    def test_does_not_end_a_wait_that_is_over(self, streams):
        with streams.create() as stream:
            assert not stream.wait(0.01)

    def test_calls_what_the_producer_has_asked_for(self, streams):
        called = threading.Event()
        with streams.create() as stream:
            stream.on_stop(called.set)
            streams.stop(stream.id)
            assert called.wait(10)

    def test_lets_the_producer_complete_its_answer(self, streams):
        with streams.create() as stream:
            streams.stop(stream.id)
            wait_until(lambda: stream.is_stopped)
            stream.publish(Event(data="a last word"))
            stream.publish(Event(data="[DONE]"))
        assert streams.status(stream.id).state == "complete"

    def test_does_nothing_to_a_stream_that_has_ended(self, streams):
        with streams.create() as stream:
            pass
        streams.stop(stream.id)
        assert streams.status(stream.id).state == "complete"

    @pytest.mark.skipif(
        REDIS_URL is not None, reason="over Redis it takes 8 s, and the journal's tests show it"
    )
    def test_happens_to_a_stream_that_no_one_reads(self, open_streams_with):
        streams = open_streams_with(abandon_seconds=0.2)
        with streams.create() as stream:
            assert stream.wait(20)
        assert streams.status(stream.id).state == "stopped"
