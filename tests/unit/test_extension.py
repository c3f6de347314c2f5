"""``Sluice``, the Flask extension: kept streams in an app's views."""

import contextvars
import json
import logging
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, Response, current_app, request, stream_with_context
from werkzeug.exceptions import HTTPException

from flask_sluice import ApiError, Event, Sluice, StreamContext
from flask_sluice.stream import registry
from flask_sluice.stream.threads.open_streams import open_streams
from flask_sluice.testing import (
    open_stream,
    read_events,
    sse,  # noqa: F401 - a fixture
)
from tests.support.server import wait_until
from tests.unit.journals import REDIS_URL

pytestmark = pytest.mark.timeout(60)

KEY = uuid.uuid4().hex


@pytest.fixture(autouse=True)
def journals_of_greenlets():
    """These journals run on threads, as the test client's streams do."""


@pytest.fixture
def make_app():
    """Returns a function that makes an app with one route to each part of a kept stream, and this config."""
    sluices = []

    def make(name=__name__, **config):
        app = Flask(name)
        app.config.update(SLUICE_REDIS_URL=REDIS_URL, **config)
        sluice = Sluice(app)
        sluices.append((app, sluice))

        @app.get("/answers/<stream_id>")
        def read(stream_id):
            return sluice.streams.response(stream_id, **app.config.get("READING", {}))

        return app, sluice

    yield make
    for app, sluice in sluices:
        with app.app_context():
            sluice.streams.close()


@pytest.fixture
def made(make_app):
    return make_app()


@pytest.fixture
def app(made):
    return made[0]


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def streams(made):
    return made[1].streams


@pytest.fixture
def finished(streams):
    """The id of a complete stream of three events, a and b and done."""
    with streams.create() as stream:
        stream.publish("data: a\n\n")
        stream.publish("data: b\n\n")
    return stream.id


def error_of(response):
    return response.json["error"]["code"]


def until_ended(streams, stream_id):
    def status():
        found = streams.status(stream_id)
        return found if found.state != "running" else None

    return wait_until(status)


class TestReading:
    def test_gives_the_whole_stream_with_its_ids(self, client, finished):
        stream = read_events(client, f"/answers/{finished}")
        assert [(event.id, event.event, event.data) for event in stream.events] == [
            ("1", "message", "a"),
            ("2", "message", "b"),
            ("3", "done", "{}"),
        ]
        assert stream.outcome == "complete"

    def test_gives_the_headers_of_a_stream(self, client, finished):
        headers = read_events(
            client, f"/answers/{finished}", headers={"X-Request-Id": "abc"}
        ).headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["X-Accel-Buffering"] == "no"
        assert "no-cache" in headers["Cache-Control"]
        assert headers["X-Request-Id"] == "abc"

    def test_opens_with_a_comment_and_the_time_to_reconnect(self, client, finished):
        stream = read_events(client, f"/answers/{finished}")
        assert stream.comments[0] == "stream"
        assert stream.events[0].retry == 2000

    @pytest.mark.parametrize(
        "given",
        [
            {"headers": {"Last-Event-ID": "1"}},
            {"query_string": {"last_event_id": "1"}},
            {"query_string": {"lastEventId": "1"}},
            {"query_string": {"lastEventId": ["0", "1"], "last_event_id": "0"}},
            {"query_string": {"last_event_id": "0"}, "headers": {"Last-Event-ID": "1"}},
        ],
    )
    def test_goes_on_after_the_event_that_the_client_has(self, client, finished, given):
        stream = read_events(client, f"/answers/{finished}", **given)
        assert [event.id for event in stream.events] == ["2", "3"]

    @pytest.mark.parametrize("given", ["-1", "4", "one", "1.0", "٣", "9" * 40, "1,2"])
    def test_with_an_id_that_the_stream_has_not_given_out_is_a_400(self, client, finished, given):
        response = client.get(f"/answers/{finished}", query_string={"last_event_id": given})
        assert (response.status_code, error_of(response)) == (400, "invalid_request")
        assert response.json["error"]["param"] == "last_event_id"

    def test_again_after_the_end_is_a_204(self, client, finished):
        response = client.get(f"/answers/{finished}", headers={"Last-Event-ID": "3"})
        assert (response.status_code, response.data) == (204, b"")

    def test_of_an_unknown_stream_is_a_404(self, client):
        response = client.get("/answers/unknown")
        assert (response.status_code, response.mimetype) == (404, "application/json")

    def test_with_head_reads_nothing(self, client, finished):
        response = client.head(f"/answers/{finished}")
        assert (response.status_code, response.data) == (200, b"")
        assert response.mimetype == "text/event-stream"
        wait_until(lambda: len(open_streams()) == 0)

    def test_tells_of_events_that_are_gone(self, make_app):
        app, sluice = make_app(SLUICE_HISTORY_BYTES=2000)
        with sluice.streams.create() as stream:
            for _ in range(50):
                stream.publish(Event(data="x" * 200))
        reset, *others = read_events(app.test_client(), f"/answers/{stream.id}").events
        assert reset.event == "reset"
        assert reset.id == ""
        assert [int(event.id) for event in others] == list(range(reset.json()["oldest"], 52))

    def test_goes_along_with_a_stream_that_runs(self, client, streams):
        with streams.create() as stream, open_stream(client, f"/answers/{stream.id}") as reader:
            for text in ("a", "b"):
                stream.publish(Event(data=text))
                assert next(reader).data == text
            stream.publish(Event(data="[DONE]"))
            assert next(reader).data == "[DONE]"
            assert next(reader, None) is None
        assert reader.outcome == "complete"

    def test_keeps_a_silent_connection_alive(self, make_app):
        app, sluice = make_app(READING={"keepalive": 0.02})
        with sluice.streams.create() as stream:
            threading.Timer(0.2, stream.close).start()
            reader = read_events(app.test_client(), f"/answers/{stream.id}")
        assert "keep-alive" in reader.comments

    def test_has_its_options_from_the_app_or_the_call(self, make_app):
        app, sluice = make_app(
            SLUICE_KEEPALIVE_SECONDS=0.02,
            READING={"retry": 77, "headers": {"X-Own": "1", "Cache-Control": "no-store"}},
        )
        with sluice.streams.create() as stream:
            threading.Timer(0.2, stream.close).start()
            reader = read_events(app.test_client(), f"/answers/{stream.id}")
        assert "keep-alive" in reader.comments
        assert (reader.headers["X-Own"], reader.headers["Cache-Control"]) == ("1", "no-store")

    def test_ends_with_the_streams_error(self, client, streams):
        stream = streams.create()
        stream.close(ApiError(502, "model", "the model is gone"))
        reader = read_events(client, f"/answers/{stream.id}")
        assert reader.events[-1].json()["error"]["message"] == "the model is gone"
        assert reader.outcome == "error"

    def test_waits_for_a_stream_that_is_to_begin(self, make_app):
        app, sluice = make_app(READING={"wait": 20})
        stream_id = sluice.streams.new_id()

        def begin():
            with sluice.streams.create(id=stream_id) as stream:
                stream.publish(Event(data="a"))

        threading.Timer(0.15, begin).start()
        assert [
            event.data for event in read_events(app.test_client(), f"/answers/{stream_id}").events
        ] == ["a", "{}"]

    def test_waits_for_so_long_only(self, make_app):
        app, _ = make_app(READING={"wait": 0.15})
        began_at = time.monotonic()
        assert app.test_client().get("/answers/never").status_code == 404
        assert time.monotonic() - began_at >= 0.15

    def test_that_is_left_leaves_nothing_behind(self, client, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            for _ in range(3):
                assert read_events(client, f"/answers/{stream.id}", leave_after=1).outcome == "left"
            wait_until(lambda: len(open_streams()) == 1)
        wait_until(lambda: registry.admission().count == 0)

    def test_slowly_misses_nothing_and_holds_up_no_one(self, client, streams):
        with streams.create() as stream, open_stream(client, f"/answers/{stream.id}") as slow:
            for number in range(2000):
                stream.publish(Event(data=f"{number} {'x' * 500}"))
            stream.publish(Event(data="[DONE]"))
            quick = read_events(client, f"/answers/{stream.id}")
            assert len(quick.events) == 2001
            assert [int(event.id) for event in slow] == list(range(1, 2002))

    def test_by_many_threads_at_once_gives_each_of_them_everything(self, app, streams):
        def answer():
            for _ in range(200):
                yield Event(data="x" * 100)
                time.sleep(0.0005)

        stream_id = streams.start(answer()).id
        with ThreadPoolExecutor(20) as pool:
            readers = [
                pool.submit(read_events, app.test_client(), f"/answers/{stream_id}")
                for _ in range(20)
            ]
        for reader in readers:
            assert [int(event.id) for event in reader.result().events] == list(range(1, 202))
        wait_until(lambda: len(open_streams()) == 0)

    def test_is_logged_with_its_route_and_outcome(self, client, finished, log):
        read_events(client, f"/answers/{finished}", headers={"X-Request-Id": "the-reader"})
        wait_until(lambda: [line for line in log() if line["message"] == "stream ended"])
        (line,) = [line for line in log() if line["message"] == "stream ended"]
        assert (line["request_id"], line["route"]) == ("the-reader", "/answers/<stream_id>")
        assert (line["outcome"], line["status"], line["events"]) == ("complete", 200, 3)

    def test_of_a_stream_that_was_stopped_is_no_failure(self, client, streams, log):
        with streams.create() as stream:
            streams.stop(stream.id)
            assert stream.wait(10)
        assert read_events(client, f"/answers/{stream.id}").events[-1].event == "error"
        lines = wait_until(lambda: [line for line in log() if line["message"] == "stream ended"])
        assert [(line["outcome"], line["code"]) for line in lines] == [("cancelled", "stopped")]

    def test_is_possible_through_the_fixture_of_tests(self, sse, finished):  # noqa: F811
        assert [event.data for event in sse(f"/answers/{finished}").events] == ["a", "b", "{}"]


class TestAnOwner:
    def test_is_the_only_one_who_reads(self, make_app):
        app, sluice = make_app(READING={"owner": "8"})
        with sluice.streams.create(owner="7") as stream:
            response = app.test_client().get(f"/answers/{stream.id}")
            assert (response.status_code, error_of(response)) == (
                404,
                error_of(app.test_client().get("/answers/unknown")),
            )
        with sluice.streams.create(owner=8) as own:
            own.publish(Event(data="[DONE]"))
        assert len(read_events(app.test_client(), f"/answers/{own.id}").events) == 1

    def test_may_have_so_many_readers(self, make_app):
        app, sluice = make_app(SLUICE_READERS_PER_OWNER=2, READING={"owner": 7})
        client = app.test_client()
        with sluice.streams.create(owner=7) as stream:
            path = f"/answers/{stream.id}"
            with open_stream(client, path), open_stream(client, path):
                response = client.get(path)
                assert (response.status_code, error_of(response)) == (429, "rate_limit_exceeded")
                assert response.headers["Retry-After"]
            with open_stream(client, path) as third:
                assert third.status == 200

    def test_is_not_counted_for_what_is_refused_or_over(self, make_app):
        app, sluice = make_app(SLUICE_READERS_PER_OWNER=1, READING={"owner": 7})
        client = app.test_client()
        with sluice.streams.create(owner=7) as stream:
            pass
        for _ in range(3):
            assert client.get("/answers/unknown").status_code == 404
            assert client.get(f"/answers/{stream.id}?last_event_id=9").status_code == 400
            assert client.get(f"/answers/{stream.id}?last_event_id=1").status_code == 204
            assert client.head(f"/answers/{stream.id}").status_code == 200
            assert read_events(client, f"/answers/{stream.id}").status == 200

    def test_may_have_so_many_running_streams(self, make_app):
        app, sluice = make_app(SLUICE_STREAMS_PER_OWNER=1)

        @app.post("/answers")
        def create():
            return {"id": sluice.streams.start(waiting(), owner=7).id}, 202

        def waiting():
            yield Event(data="a")
            go_on.wait(30)

        go_on = threading.Event()
        client = app.test_client()
        first = client.post("/answers").json["id"]
        refused = client.post("/answers")
        go_on.set()
        assert (refused.status_code, error_of(refused)) == (429, "rate_limit_exceeded")
        until_ended(sluice.streams, first)


class TestErrors:
    def test_are_the_apps_where_it_has_a_handler_for_the_status(self, app, client):
        app.register_error_handler(404, lambda error: (f"no such page: {error.description}", 404))
        response = client.get("/answers/unknown")
        assert (response.status_code, response.text) == (
            404,
            "no such page: there is no such stream, or it has expired",
        )

    def test_are_the_apps_where_it_has_a_handler_for_all_http_errors(self, app, client):
        app.register_error_handler(
            HTTPException, lambda error: ({"problem": error.code}, error.code)
        )
        assert client.get("/answers/unknown").json == {"problem": 404}

    def test_are_the_apps_where_it_has_a_handler_for_sluices(self, app, client):
        app.register_error_handler(ApiError, lambda error: (error.code, error.status))
        assert client.get("/answers/unknown").status_code == 404


@pytest.mark.skipif(REDIS_URL is not None, reason="they have Redis")
class TestSeveralProcesses:
    @pytest.fixture
    def create(self, made):
        app, sluice = made
        app.post("/start")(lambda: sluice.streams.start([]).as_dict())

        @app.post("/create")
        def create():
            with sluice.streams.create() as stream:
                return {"id": stream.id}

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/answers/a"), ("POST", "/start"), ("POST", "/create")]
    )
    def test_need_redis(self, client, create, method, path):
        response = client.open(path, method=method, environ_overrides={"wsgi.multiprocess": True})
        assert (response.status_code, error_of(response)) == (503, "needs_redis")
        assert "SLUICE_REDIS_URL" in response.json["error"]["message"]


class TestAGeneratorOfAView:
    @pytest.fixture
    def start(self, made, client):
        """Starts the stream of a generator in a view. Returns its status when it has ended, and its events."""
        app, sluice = made

        def start(function, path="/start", **options):
            @app.post(path)
            def view():
                return sluice.streams.start(function(), **options).as_dict()

            answer = client.post(path, headers={"X-Request-Id": "the-request"})
            assert answer.status_code == 200, answer.text
            status = until_ended(sluice.streams, answer.json["id"])
            return status, read_events(client, f"/answers/{status.id}").events

        return start

    def test_has_the_context_variables_of_the_request(self, start):
        variable = contextvars.ContextVar("variable", default="none")

        def answer():
            variable.set("the view's")
            return generate()

        def generate():
            yield Event(data=variable.get())

        _, events = start(answer)
        assert events[0].data == "the view's"

    def test_has_no_flask_context_and_the_log_says_what_to_do(self, start, caplog):
        def answer():
            yield Event(data=str(bool(current_app)))
            yield Event(data=request.path)

        status, events = start(answer)
        assert events[0].data == "False"
        assert status.state == "error"
        assert "give it what it needs of request" in caplog.text

    def test_may_push_the_apps_context(self, start, app):
        def answer():
            with app.app_context():
                yield Event(data=current_app.name)

        _, events = start(answer)
        assert events[0].data == app.name

    def test_may_not_keep_the_requests_context(self, app, made):
        _, sluice = made
        torn_down = []
        app.teardown_request(lambda _error: torn_down.append(True))

        @app.post("/start")
        def view():
            with pytest.raises(TypeError, match=r"without stream_with_context.*as arguments"):
                sluice.streams.start(stream_with_context(generate()))
            return request.path

        def generate():
            yield Event(data="a")

        assert app.test_client().post("/start").text == "/start"
        assert torn_down

    def test_has_the_requests_id_and_route_in_the_log_but_no_key(self, start, log):
        start(lambda: iter([Event(data="a")]), owner="the-owner", key="the-key")
        wait_until(lambda: [line for line in log() if line["message"] == "generation ended"])
        (line,) = [line for line in log() if line["message"] == "generation ended"]
        assert (line["request_id"], line["route"], line["outcome"]) == (
            "the-request",
            "/start",
            "complete",
        )
        assert not {"the-owner", "the-key"} & set(map(str, line.values()))
        labels = json.dumps([list(registry.stats().ended), list(registry.stats().open)])
        assert "/start" in labels
        assert "the-owner" not in labels
        assert "the-key" not in labels

    def test_that_fails_is_counted_by_its_route_and_code(self, start):
        def answer():
            yield Event(data="a")
            raise ApiError(502, "model", "the model is gone")

        start(answer)
        wait_until(lambda: ("/start", "model") in registry.stats().errors)

    def test_has_the_apps_deadline(self, start, app):
        app.config["SLUICE_STREAM_TIMEOUT_SECONDS"] = 0.05

        def answer():
            while True:
                yield Event(data="a")
                time.sleep(0.01)

        status, _ = start(answer)
        assert status.error["code"] == "stream_timeout"

    def test_hears_in_its_context_of_a_stop(self, start, streams):
        context = StreamContext()

        def answer():
            yield Event(data="a")
            threading.Timer(0.05, lambda: streams.stop(streams.find(key=KEY).id)).start()
            context.wait(30)
            yield Event(data="a last word")

        status, events = start(answer, key=KEY, context=context)
        assert status.state == "stopped"
        assert [event.data for event in events][:2] == ["a", "a last word"]

    def test_may_not_be_interrupted(self, start, streams):
        def answer():
            yield Event(data="a")
            streams.stop(streams.find(key=KEY).id)
            yield Event(data="b")

        status, _ = start(answer, key=KEY, interrupt=False)
        assert status.state == "stopped"

    @pytest.mark.parametrize(
        "wrong", [{"interrupt": 1}, {"deadline": 0}, {"context": "x"}, {"error_event": "x"}]
    )
    def test_is_refused_with_a_wrong_argument(self, app, made, wrong):
        _, sluice = made

        @app.post("/start")
        def view():
            with pytest.raises((TypeError, ValueError), match=f"^{next(iter(wrong))} takes"):
                sluice.streams.start([], **wrong)
            return "refused"

        assert app.test_client().post("/start").text == "refused"


class TestWithoutARequest:
    def test_streams_can_be_started_and_found(self, made):
        _, sluice = made
        until_ended(sluice.streams, sluice.streams.start([Event(data="a")], key=KEY).id)
        assert sluice.streams.find(key=KEY).state == "complete"

    def test_the_apps_deadline_counts(self, make_app):
        _, sluice = make_app(SLUICE_STREAM_TIMEOUT_SECONDS=0.05)

        def answer():
            while True:
                yield Event(data="a")
                time.sleep(0.01)

        assert (
            until_ended(sluice.streams, sluice.streams.start(answer()).id).error["code"]
            == "stream_timeout"
        )


class TestApps:
    def test_have_streams_of_their_own(self):
        sluice = Sluice()
        apps = Flask("one"), Flask("two")
        found = []
        for app in apps:
            sluice.init_app(app)
        for app in apps:
            with app.app_context():
                sluice.streams.create(key=KEY).close()
                found.append(sluice.streams.find(key=KEY).id)
        assert len(set(found)) == 2
        for app, stream_id in zip(apps, found, strict=True):
            with app.app_context():
                assert sluice.streams.find(key=KEY).id == stream_id
                sluice.streams.close()

    def test_may_be_prepared_when_they_are_made(self):
        sluice = Sluice()

        def create_app():
            app = Flask("made")
            sluice.init_app(app)
            return app

        one, other = create_app(), create_app()
        with one.app_context():
            ones = sluice.streams
        with other.app_context():
            assert sluice.streams is not ones

    def test_that_are_not_prepared_are_told_so(self):
        with pytest.raises(RuntimeError, match=r"sluice\.init_app\(app\)"):
            _ = Sluice().streams
        with (
            Flask("other").app_context(),
            pytest.raises(RuntimeError, match=r"'other' is not prepared.*init_app"),
        ):
            _ = Sluice(Flask("one")).streams


class TestTheConfig:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SLUICE_REDIS_URL", 7),
            ("SLUICE_REDIS_URL", ""),
            ("SLUICE_HISTORY_BYTES", "4 MB"),
            ("SLUICE_HISTORY_BYTES", 0),
            ("SLUICE_HISTORY_BYTES", True),
            ("SLUICE_HISTORY_SECONDS", 0),
            ("SLUICE_ABANDON_SECONDS", -1),
            ("SLUICE_READERS_PER_OWNER", 1.5),
            ("SLUICE_HANDOFF_LOCATION", "sluice"),
        ],
    )
    def test_with_a_bad_value_is_refused_at_the_start(self, name, value):
        app = Flask("app")
        app.config[name] = value
        with pytest.raises(ValueError, match=f"^{name} takes "):
            Sluice(app)

    def test_with_a_bad_url_names_the_setting_and_keeps_the_password(self):
        app = Flask("app")
        app.config["SLUICE_REDIS_URL"] = "redis://:pass/word@host:port/0"
        with pytest.raises(ValueError, match=r"^SLUICE_REDIS_URL: the Redis URL takes") as caught:
            Sluice(app)
        assert "pass/word" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "meant"),
        [("SLUICE_HISTROY_BYTES", "SLUICE_HISTORY_BYTES"), ("SLUICE_REDIS", "SLUICE_REDIS_URL")],
    )
    def test_with_a_name_that_is_mistyped_is_told_of_what_is_meant(self, caplog, name, meant):
        app = Flask("app")
        app.config[name] = 1
        with caplog.at_level(logging.WARNING):
            Sluice(app)
        assert f"did you mean {meant}?" in caplog.text

    def test_of_sse_response_is_no_mistake(self, caplog):
        app = Flask("app")
        app.config["SLUICE_KEEPALIVE_SECONDS"] = 5
        with caplog.at_level(logging.WARNING):
            Sluice(app)
        assert caplog.text == ""

    @pytest.mark.skipif(REDIS_URL is not None, reason="over Redis it takes 8 s")
    def test_counts_what_the_app_says(self, make_app):
        _, sluice = make_app(SLUICE_HISTORY_SECONDS=50, SLUICE_ABANDON_SECONDS=0.05)
        with sluice.streams.create() as stream:
            assert stream.wait(20)
        status = sluice.streams.status(stream.id)
        assert status.state == "stopped"
        assert 40 < status.expires_at - time.time() <= 51


def test_a_response_may_be_answered_by_middleware_without_a_reader_left(app, finished):
    """A hook answers with something else, and drops the stream."""
    app.after_request(lambda response: Response("other"))
    assert app.test_client().get(f"/answers/{finished}").text == "other"
    wait_until(lambda: len(open_streams()) == 0)
    # A body that is dropped is closed by a thread, which gives the place back last.
    wait_until(lambda: registry.admission().count == 0)
