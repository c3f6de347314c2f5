"""Streams that survive their readers, as a program without a web server has them."""

import contextvars
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid

import pytest

from flask_sluice import ApiError, Event, StreamContext
from flask_sluice.journal.errors import InvalidEventIdError, UnknownStreamError
from flask_sluice.journal.streams import new_id
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream import registry
from flask_sluice.stream.serving import is_patched
from flask_sluice.stream.threads.open_streams import open_streams
from tests.support.server import ROOT, wait_until
from tests.unit.journals import REDIS_URL, ids
from tests.unit.kept_streams import Reader, events, make_streams, read, read_with_breaks

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_fails")]

DONE = ("done", "{}")


@pytest.fixture(autouse=True)
def journals_of_greenlets():
    """These journals run on what the process has: threads, or gevent where it is patched."""


@pytest.fixture
def no_thread_fails(monkeypatch):
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    yield
    assert failures == []


@pytest.fixture
def open_streams_with():
    """Returns a function that makes Streams with these limits."""
    made = []

    def open_(**limits):
        made.append(make_streams(**limits))
        return made[-1]

    yield open_
    for streams in made:
        streams.close()


@pytest.fixture
def streams(open_streams_with):
    return open_streams_with()


@pytest.fixture
def key():
    """A key that no other test has."""
    return f"chat:{uuid.uuid4().hex}"


def publish_one(streams, item, **options):
    """Publish one item. Returns the events of the stream."""
    with streams.create(**options) as stream:
        stream.publish(item)
    return events(streams, stream.id)


def fail(streams, error, item="data: a\n\n", **options):
    """Have a stream fail. Returns its id."""

    def produce():
        with stream:
            stream.publish(item)
            raise error

    stream = streams.create(**options)
    with pytest.raises(type(error)):
        produce()
    return stream.id


def until_ended(streams, stream_id):
    """Wait for the end of a stream. Returns its status."""

    def status():
        found = streams.status(stream_id)
        return found if found.state != "running" else None

    return wait_until(status)


def error_of(status):
    return status.error and status.error["code"]


class TestPublishing:
    def test_gives_each_event_its_number_and_ends_with_done(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            stream.publish(Event.json({"b": 1}, event="step"))
        assert read(streams, stream.id) == (
            b'id: 1\ndata: a\n\nid: 2\nevent: step\ndata: {"b":1}\n\nid: 3\nevent: done\ndata: {}\n\n'
        )

    def test_is_read_while_the_stream_runs(self, streams):
        with streams.create() as stream:
            reader = Reader(streams, stream.id)
            for number in range(1, 4):
                stream.publish(Event(data=str(number)))
                wait_until(
                    lambda n=number: (
                        not reader.read_for(0.01) and ids(reader.received) == list(range(1, n + 1))
                    )
                )
        assert reader.read_for(5)
        reader.close()

    @pytest.mark.parametrize(
        "text",
        ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"],
    )
    def test_takes_text_that_is_framed_events(self, streams, text):
        assert publish_one(streams, text) == [("message", "a"), ("message", "b"), DONE]
        assert publish_one(streams, text.encode()) == [("message", "a"), ("message", "b"), DONE]

    @pytest.mark.parametrize(
        "text", ["event: x\ndata: ä\n\ndata: b\n\n", "event: x\r\ndata: ä\r\n\r\ndata: b\r\n\r\n"]
    )
    def test_takes_bytes_that_are_cut_anywhere(self, streams, text):
        data = text.encode()
        for size in (1, 2, 3, 5):
            with streams.create() as stream:
                for start in range(0, len(data), size):
                    stream.publish(data[start : start + size])
            assert events(streams, stream.id) == [("x", "ä"), ("message", "b"), DONE]

    def test_drops_comments_and_blank_lines(self, streams):
        with streams.create() as stream:
            stream.publish(": a comment\n\n")
            stream.publish(Event(comment="another"))
            stream.publish("\n\n")
            stream.publish("data: a\n\n\n\n: a third\n\n")
        assert ids(read(streams, stream.id)) == [1, 2]

    def test_ends_with_an_error_where_text_is_left_unfinished(self, streams):
        with pytest.raises(ValueError, match=r"wrap it in Event"), streams.create() as stream:
            stream.publish("data: a")
        assert streams.status(stream.id).state == "error"

    def test_of_text_that_is_no_event_says_what_to_do(self, streams):
        with streams.create() as stream:
            with pytest.raises(
                ValueError, match=r"publish was given the text 'Hello'.*wrap it in Event\(data="
            ):
                stream.publish("Hello")
            stream.publish(Event(data="a"))
        assert events(streams, stream.id) == [("message", "a"), DONE]

    @pytest.mark.parametrize("item", [{"a": 1}, 7, object()])
    def test_of_another_object_says_what_to_do(self, streams, item):
        with (
            streams.create() as stream,
            pytest.raises(TypeError, match=r"^publish takes an Event.*Event\.json"),
        ):
            stream.publish(item)

    @pytest.mark.parametrize(
        "item",
        [
            Event(data="a", id="7"),
            "id: 7\ndata: a\n\n",
            "data: a\nid\n\n",
            b"event: x\r\nid:7\r\ndata: a\r\n\r\n",
        ],
    )
    def test_of_an_event_with_an_id_says_that_the_stream_numbers_them(self, streams, item):
        with streams.create() as stream:
            with pytest.raises(ValueError, match="numbers its events itself, leave the id out"):
                stream.publish(item)
            stream.publish("data: an id: is text here\n\n")
        assert ids(read(streams, stream.id)) == [1, 2]

    def test_of_an_event_that_is_larger_than_the_history_says_so(self, open_streams_with):
        streams = open_streams_with(history_bytes=2_000_000)
        with streams.create() as stream:
            stream.publish(Event(data="x" * 1_900_000))
            with pytest.raises(ValueError, match=r"larger than the history.*history_bytes"):
                stream.publish(Event(data="x" * 2_000_001))
        assert streams.status(stream.id).state == "complete"

    def test_of_events_of_any_size_up_to_the_history_loses_none(self, streams):
        sizes = [1_500_000, 3_000_000] * 2
        with streams.create() as stream:
            for size in sizes:
                stream.publish(Event(data="x" * size))
        status = streams.status(stream.id)
        assert (status.state, status.last_id) == ("complete", len(sizes) + 1)

    def test_after_the_end_says_so(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
        with pytest.raises(RuntimeError, match="has ended"):
            stream.publish(Event(data="b"))
        assert ids(read(streams, stream.id)) == [1, 2]

    def test_from_many_threads_keeps_each_event_once(self, streams):
        def publish(number):
            for i in range(50):
                stream.publish(Event.json([number, i]))

        with streams.create() as stream:
            threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        received = [
            json.loads(data) for event, data in events(streams, stream.id) if event == "message"
        ]
        assert sorted(received) == [[number, i] for number in range(8) for i in range(50)]
        # Those of each thread are in order.
        assert all(
            [i for n, i in received if n == number] == list(range(50)) for number in range(8)
        )

    def test_may_be_quicker_than_its_readers(self, streams):
        with streams.create() as stream:
            reader = Reader(streams, stream.id)
            for _ in range(3000):
                stream.publish(Event(data="x" * 500))
        assert reader.read_for(20)
        assert ids(reader.received) == list(range(1, 3002))
        reader.close()


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


class TestAnOwner:
    def test_has_a_stream_that_others_do_not_find(self, streams, key):
        with streams.create(owner=7, key=key) as stream:
            for act in (streams.stop, streams.status):
                with pytest.raises(UnknownStreamError):
                    act(stream.id, owner=8)
            with pytest.raises(UnknownStreamError):
                read(streams, stream.id, owner="8")
            assert not stream.is_stopped
            assert streams.find(key=key, owner="8") is None
        assert ids(read(streams, stream.id, owner="7")) == [1]

    @pytest.mark.parametrize("owner", [7, uuid.uuid4(), "ada", "Ünï 7:*"])
    def test_may_be_a_number_or_its_text(self, streams, owner, key):
        with streams.create(owner=owner, key=key) as stream:
            assert streams.status(stream.id, owner=str(owner)).id == stream.id
            assert streams.status(stream.id, owner=owner).id == stream.id
            assert streams.find(key=key, owner=owner).id == stream.id

    def test_does_not_get_a_stream_that_belongs_to_none(self, streams):
        with streams.create() as stream, pytest.raises(UnknownStreamError):
            streams.status(stream.id, owner="7")

    def test_need_not_be_named_by_who_may_read_all(self, streams):
        with streams.create(owner=7) as stream:
            assert streams.status(stream.id).state == "running"

    def test_may_have_so_many_running_streams(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=2)
        with streams.create(owner="a"), streams.create(owner="a") as second:
            with pytest.raises(ApiError, match="2 streams of yours are running") as caught:
                streams.create(owner="a")
            assert caught.value.status == 429
            assert caught.value.headers["Retry-After"]
            second.close()
            with streams.create(owner="a"), streams.create(owner="b"):
                pass
        with streams.create(owner="a"), streams.create(owner="a"):
            pass

    def test_may_begin_the_next_stream_as_soon_as_readers_have_the_end(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        for _ in range(20):
            began = streams.start([Event(data="a")], owner="a")
            assert ids(read(streams, began.id)) == [1, 2]

    def test_is_counted_no_more_when_a_stream_could_not_begin(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        taken = StreamContext()
        taken.is_taken = True
        for _ in range(3):
            with pytest.raises(RuntimeError, match="make another"):
                streams.create(owner="a", context=taken)
            with pytest.raises(TypeError, match="context takes a StreamContext"):
                streams.create(owner="a", context="context")
            with pytest.raises(TypeError, match="is_terminal takes a function"):
                streams.create(owner="a", is_terminal="done")
        with streams.create(owner="a"):
            pass


class TestAKey:
    def test_finds_the_running_stream_and_then_the_last_one(self, streams, key):
        assert streams.find(key=key) is None
        with streams.create(key=key) as first:
            found = streams.find(key=key)
            assert (found.id, found.state) == (first.id, "running")
        found = streams.find(key=key)
        assert (found.id, found.state) == (first.id, "complete")
        with streams.create(key=key) as second:
            assert streams.find(key=key).id == second.id

    def test_of_one_owner_is_not_taken_by_another(self, streams, key):
        with (
            streams.create(owner="a", key=key) as first,
            streams.create(owner="b", key=key) as second,
        ):
            assert streams.find(key=key, owner="a").id == first.id
            assert streams.find(key=key, owner="b").id == second.id
            assert streams.find(key=key).id == second.id

    def test_may_be_a_number(self, streams):
        number = uuid.uuid4().int
        with streams.create(key=number) as stream:
            assert streams.find(key=number).id == stream.id
            assert streams.find(key=str(number)).id == stream.id

    def test_is_forgotten_with_its_stream(self, open_streams_with, key):
        streams = open_streams_with(history_seconds=0.1)
        with streams.create(key=key):
            pass
        wait_until(lambda: streams.find(key=key) is None)


class TestTheStatus:
    def test_of_a_running_stream(self, streams):
        before = time.time()
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            stream.publish(Event(data="b"))
            status = wait_until(lambda: (found := streams.status(stream.id)).last_id == 2 and found)
        assert status.state == "running"
        assert before <= status.created_at <= time.time()
        assert status.expires_at is None
        assert status.error is None

    def test_of_a_complete_stream(self, open_streams_with):
        streams = open_streams_with(history_seconds=50)
        with streams.create() as stream:
            stream.publish(Event(data="a"))
        status = streams.status(stream.id)
        assert (status.state, status.last_id, status.error) == ("complete", 2, None)
        assert 40 < status.expires_at - time.time() <= 51

    def test_can_be_sent_as_json(self, streams):
        with streams.create() as stream:
            pass
        told = json.loads(json.dumps(streams.status(stream.id).as_dict()))
        assert told.keys() == {"id", "state", "last_id", "created_at", "expires_at", "error"}
        assert (told["id"], told["state"]) == (stream.id, "complete")

    def test_of_an_unknown_stream_is_a_404(self, streams):
        with pytest.raises(ApiError) as caught:
            streams.status(new_id())
        assert caught.value.status == 404

    def test_is_forgotten_with_the_stream(self, open_streams_with):
        streams = open_streams_with(history_seconds=0.2)
        with streams.create() as stream:
            pass

        def is_forgotten():
            try:
                streams.status(stream.id)
            except UnknownStreamError:
                return True
            return False

        # A renewal of the running stream that was on its way at its end gives it twice the lease.
        wait_until(is_forgotten, 30)


class TestAnId:
    def test_may_be_told_before_the_stream_begins(self, streams):
        given = streams.new_id()
        with pytest.raises(UnknownStreamError):
            streams.status(given)
        with streams.create(id=given) as stream:
            assert stream.id == given
            assert streams.status(given).state == "running"

    @pytest.mark.parametrize(
        "given", ["1", "chat-7", "a" * 200, "../../etc/passwd/etc/passwd", "", 7]
    )
    def test_that_can_be_guessed_is_refused(self, streams, given):
        with pytest.raises(ValueError, match=r"new_id\(\)"):
            streams.create(id=given)

    @pytest.mark.parametrize("is_over", [True, False])
    def test_is_for_one_stream_also_where_a_task_is_run_again(self, streams, is_over):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            if is_over:
                stream.close()
            with pytest.raises(ValueError, match=r"has the id .* already: take a new one"):
                streams.create(id=stream.id)
        assert events(streams, stream.id) == [("message", "a"), DONE]

    def test_is_never_one_of_the_gateways(self, streams):
        """Whose routes would read it past the views of the app."""
        with pytest.raises(ValueError, match="the gateway's"):
            streams.create(id="gw-" + "x" * 22)
        assert not streams.new_id().startswith("gw-")

    def test_is_impossible_to_guess(self, streams):
        with streams.create() as one, streams.create() as other:
            assert one.id != other.id
            assert len(one.id) >= 22

    def test_that_the_stream_has_not_given_out_is_refused(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            with pytest.raises(InvalidEventIdError):
                Reader(streams, stream.id, after=9)


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

        began = streams.start(answer(), deadline=0.1 if code == "stream_timeout" else None)
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


class TestReaders:
    @pytest.mark.parametrize("readers", [30, pytest.param(300, marks=pytest.mark.slow)])
    def test_get_each_event_once_however_often_they_leave(self, streams, readers):
        def answer():
            for number in range(600):
                yield Event(data="x" * 200)
                if number % 3 == 0:
                    time.sleep(0.001)

        began = streams.start(answer())
        joins, failed = read_with_breaks(streams, began.id, readers=readers, seconds=0.3)
        assert joins > 2 * readers
        assert failed == []

    def test_are_told_of_events_that_are_gone(self, open_streams_with):
        streams = open_streams_with(history_bytes=4096)
        with streams.create() as stream:
            for _ in range(100):
                stream.publish(Event(data="x" * 1000))
        found = ids(read(streams, stream.id, after=1))
        assert found[0] == "reset"
        assert found[-1] == 101
        assert found[1:] == list(range(found[1], 102))


class TestAnAccount:
    def test_is_given_back_with_each_stream(self, streams):
        with streams.create():
            assert registry.admission().count == 1
        fail(streams, LookupError())
        until_ended(streams, streams.start([Event(data="a")]).id)
        wait_until(lambda: registry.admission().count == 0)
        wait_until(lambda: len(open_streams()) == 0)
        stats = registry.stats()
        assert sum(stats.ended.values()) == 3
        assert sum(stats.open.values()) == 0

    def test_tells_the_outcome(self, streams):
        complete, stopped, failed = StreamContext(), StreamContext(), StreamContext()
        with streams.create(context=complete):
            pass
        with streams.create(context=stopped) as stream:
            streams.stop(stream.id)
            assert stream.wait(10)
        fail(streams, LookupError(), context=failed)
        outcomes = [context.outcome for context in (complete, stopped, failed)]
        assert outcomes == [Outcome.COMPLETE, Outcome.CANCELLED, Outcome.ERROR]

    def test_logs_one_line_at_the_end(self, streams, log, key):
        with streams.create(context=StreamContext("the-request"), owner="ada", key=key) as stream:
            stream.publish(Event(data="a"))
        (line,) = log()
        assert line["message"] == "generation ended"
        assert (line["request_id"], line["outcome"], line["events"]) == (
            "the-request",
            "complete",
            2,
        )
        assert line["first_event_ms"] is not None
        assert key not in json.dumps(line)
        assert "ada" not in json.dumps(line)


class TestAProcess:
    def test_may_have_several_streams(self, open_streams_with):
        one, other = open_streams_with(), open_streams_with()
        with one.create() as stream:
            if REDIS_URL is None:
                with pytest.raises(UnknownStreamError):
                    other.status(stream.id)
            else:
                assert other.status(stream.id).state == "running"

    def test_may_make_streams_anew_for_each_of_its_jobs(self):
        """As a Celery task does that has them inside of its function. Nothing is left of those that are done."""

        def job():
            with make_streams().create() as stream:
                stream.publish(Event(data="a"))
            return stream.id

        last = job()
        before = threading.active_count()
        for _ in range(20):
            last = job()
        wait_until(lambda: threading.active_count() <= before)
        if REDIS_URL is not None:
            assert events(make_streams(), last) == [("message", "a"), DONE]

    def test_may_forget_the_streams_of_a_generator_that_runs(self):
        go_on = threading.Event()

        def answer():
            yield Event(data="a")
            go_on.wait(30)
            saved.append(True)
            yield Event(data="b")

        saved = []
        began = make_streams().start(answer())
        gc.collect()
        go_on.set()
        wait_until(lambda: saved)
        wait_until(lambda: registry.admission().count == 0)
        assert registry.stats().errors == {}
        if REDIS_URL is not None:
            assert len(events(make_streams(), began.id)) == 3

    def test_may_be_forked_while_it_has_streams(self, open_streams_with):
        streams = open_streams_with(streams_per_owner=1)
        with streams.create(owner="a") as stream:
            stream.publish(Event(data="of the parent"))

            def child():
                with pytest.raises(RuntimeError, match="the process that has begun it"):
                    stream.publish(Event(data="of the child"))
                stream.close()
                with streams.create(owner="a") as own:
                    own.publish(Event(data="of the child"))
                assert events(streams, own.id) == [("message", "of the child"), DONE]

            assert in_child(child) == 0
            stream.publish(Event(data="of the parent again"))
        assert [data for _, data in events(streams, stream.id)] == [
            "of the parent",
            "of the parent again",
            "{}",
        ]

    @pytest.mark.slow
    def test_ends_its_open_streams_when_it_exits(self):
        ended = run(
            """
            import logging
            logging.basicConfig(level="INFO", format="%(message)s")
            stream = streams.create()
            stream.publish(Event(data="a"))
            """
        )
        line = json.loads(ended.stderr)
        assert (line["outcome"], line["code"], line["events"]) == ("cancelled", "draining", 2)

    @pytest.mark.slow
    @pytest.mark.skipif(is_patched(), reason="the servers of greenlets wait for them")
    def test_lets_a_generator_save_its_answer_when_it_exits(self):
        ended = run(
            """
            import time
            def answer():
                yield Event(data="[DONE]")
                time.sleep(1.2)
                print("saved")
            stream = streams.start(answer())
            while streams.status(stream.id).state == "running":
                time.sleep(0.01)
            """
        )
        assert ended.stdout == "saved\n", ended.stderr

    @pytest.mark.slow
    def test_exits_although_a_generator_hangs(self):
        ended = run(
            """
            import threading
            def answer():
                yield Event(data="a")
                threading.Event().wait()
            stream = streams.start(answer())
            """
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def in_child(function):
    """Run a function in a child of this process. Returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:  # noqa: BLE001 - pytest would go on in the child
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(program):
    """Run a program of its own, to its end."""
    lines = [
        "from flask_sluice import Event, Streams",
        f"streams = Streams({REDIS_URL!r})",
        *(line.removeprefix(" " * 12) for line in program.splitlines()),
    ]
    if is_patched():
        lines.insert(0, "from gevent import monkey; monkey.patch_all()")
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
