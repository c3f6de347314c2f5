"""``flask_sluice.testing`` reads a view's events, and tells how its stream ended."""

import json
import subprocess
import sys
import threading
import time

import pytest
from flask import Flask, Response, abort, request

from flask_sluice import ApiError, Event, StreamContext, sse_response
from flask_sluice.testing import open_stream, read_events

FOREVER_SECONDS = 3600
TIME_FOR_AN_EVENT = 1
"""In seconds. On a busy machine, too."""


def failing(error):
    yield Event(data="a")
    raise error


@pytest.fixture
def ended():
    return []


@pytest.fixture
def app(ended):
    app = Flask(__name__)
    app.testing = True
    pause = threading.Event()

    def answer():
        try:
            yield Event.json({"token": "a"}, event="token", id="1")
            yield Event(comment="half of it")
            yield Event(data="x\ny", id="2", retry=300)
            yield Event(data="z")
        finally:
            ended.append("closed")

    def endless():
        try:
            while True:
                yield Event(data="tick")
        finally:
            ended.append("closed")

    def blocked():
        yield Event(data="a")
        pause.wait(FOREVER_SECONDS)

    @app.get("/answer")
    def stream_answer():
        return sse_response(answer(), headers={"X-Model": "small"}, status=201)

    @app.get("/endless")
    def stream_endless():
        return sse_response(endless(), on_disconnect=lambda: ended.append("left"))

    @app.get("/failing")
    def fail():
        return sse_response(failing(ValueError("the model is gone")))

    @app.get("/refusing")
    def refuse_late():
        return sse_response(failing(ApiError(503, "overloaded", "come back later")))

    @app.get("/late")
    def stream_late():
        return sse_response(blocked(), deadline=TIME_FOR_AN_EVENT)

    @app.get("/blocked")
    def stream_blocked():
        return sse_response(blocked())

    @app.get("/slow")
    def stream_slowly():
        def slow():
            yield Event(data="a")
            pause.wait(0.5)
            yield Event(data="b")

        return sse_response(slow(), keepalive=0.05)

    @app.get("/stopped")
    def stop():
        context = StreamContext()

        def stopping():
            yield Event(data="a")
            context.stop_generating()
            yield Event(data="b")

        return sse_response(stopping(), context=context)

    add_other_views(app, ended)
    yield app
    pause.set()


def add_other_views(app, ended):
    """What a view answers that is no stream of Sluice, or depends on the request."""

    @app.get("/forbidden")
    def forbid():
        abort(403, "members only")

    @app.get("/plain")
    def stream_plain():
        parts = ["data: a\n", "\ndata: b\n\n", *request.args.getlist("more")]

        def plain():
            try:
                yield from parts
            finally:
                ended.append("closed")

        return Response(plain(), mimetype="text/event-stream")

    @app.get("/plain-failing")
    def fail_plainly():
        return Response(
            (event.encode() for event in failing(ValueError("gone"))), mimetype="text/event-stream"
        )

    @app.get("/held")
    def hold():
        def overloaded():
            raise ApiError(503, "overloaded", "come back later", headers={"Retry-After": "3"})
            yield

        return sse_response(overloaded(), hold_headers=5)

    @app.post("/echo")
    def echo():
        return sse_response([Event.json(request.json), Event(data=request.headers["X-Token"])])

    @app.get("/resumed")
    def resume():
        return sse_response([Event(data=request.headers["Last-Event-ID"])])


@pytest.fixture
def client(app):
    return app.test_client()


def test_the_events_have_their_fields(client):
    stream = read_events(client, "/answer")
    token, two_lines, last = stream.events
    assert (token.event, token.json(), token.id) == ("token", {"token": "a"}, "1")
    assert (two_lines.event, two_lines.data, two_lines.retry) == ("message", "x\ny", 300)
    assert (last.data, last.id) == ("z", "2")


def test_the_response_has_its_status_its_headers_and_its_comments(client):
    stream = read_events(client, "/answer")
    assert (stream.status, stream.headers["X-Model"]) == (201, "small")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.comments == ["stream", "half of it"]
    assert stream.text.startswith(": stream\nevent: token\n")


def test_a_stream_that_returns_is_complete(client):
    stream = read_events(client, "/answer")
    assert (stream.outcome, stream.error, stream.is_generator_closed) == ("complete", None, True)


def test_each_event_has_the_time_at_which_it_came(client):
    stream = read_events(client, "/slow")
    first, second = stream.events
    assert 0 <= first.at_seconds < second.at_seconds
    assert second.at_seconds > 0.49
    assert stream.comments.count("keep-alive") >= 2


@pytest.mark.parametrize("is_testing", [True, False])
def test_the_exception_of_a_generator_is_told_and_not_raised(app, client, is_testing):
    app.testing = is_testing
    stream = read_events(client, "/failing")
    assert (stream.outcome, str(stream.error)) == ("error", "the model is gone")
    assert isinstance(stream.error, ValueError)
    assert stream.events[0].data == "a"


def test_an_error_that_the_client_is_told_has_its_code(client):
    stream = read_events(client, "/refusing")
    assert (stream.outcome, stream.error.code) == ("error", "overloaded")


@pytest.mark.parametrize(
    ("path", "code"), [("/late", "stream_timeout"), ("/stopped", "stopped")], ids=str
)
def test_an_end_that_is_not_the_generators_own_is_an_error(client, path, code):
    stream = read_events(client, path)
    assert (stream.outcome, stream.error.code) == ("error", code)
    assert stream.events[-1].event == "error"


def test_leaving_after_some_events_closes_the_generator(client, ended):
    stream = read_events(client, "/endless", leave_after=3)
    assert [event.data for event in stream.events] == ["tick"] * 3
    assert (stream.outcome, stream.is_generator_closed) == ("left", True)
    assert ended == ["closed", "left"]


def test_a_generator_that_waits_for_something_else_is_told_not_to_be_closed(client):
    with open_stream(client, "/blocked", timeout_seconds=TIME_FOR_AN_EVENT) as stream:
        with pytest.raises(TimeoutError):
            list(stream)
        assert (stream.outcome, stream.is_generator_closed) == ("left", False)


def test_a_stream_without_an_end_is_a_timeout_that_says_what_to_do(client):
    with pytest.raises(TimeoutError, match="leave_after"):
        read_events(client, "/endless", timeout_seconds=0.1)


def test_a_silent_generator_is_a_timeout(client):
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="/blocked 200, 1 events"):
        read_events(client, "/blocked", timeout_seconds=TIME_FOR_AN_EVENT)
    assert time.monotonic() - begin < 5


def test_a_stream_of_which_nothing_is_read_is_left(client, ended):
    with open_stream(client, "/endless") as stream:
        pass
    assert (stream.outcome, stream.is_generator_closed, stream.events) == ("left", True, [])


def test_an_open_stream_is_read_event_by_event(client, ended):
    with open_stream(client, "/endless") as stream:
        assert next(stream).data == "tick"
        assert (stream.outcome, ended) == (None, [])
        assert next(stream).data == "tick"
    assert (stream.outcome, len(stream.events)) == ("left", 2)


def test_an_open_stream_is_iterated_to_its_end(client):
    with open_stream(client, "/answer") as stream:
        assert [event.id for event in stream] == ["1", "2", "2"]
        assert stream.outcome == "complete"
        assert next(stream, None) is None


def test_a_refusal_is_not_a_stream(client):
    stream = read_events(client, "/forbidden")
    assert (stream.outcome, stream.status, stream.events) == ("not a stream", 403, [])
    assert "members only" in stream.text


def test_an_error_before_held_headers_is_the_response_itself(client):
    stream = read_events(client, "/held")
    assert (stream.outcome, stream.status) == ("not a stream", 503)
    assert stream.headers["Retry-After"] == "3"
    assert json.loads(stream.text)["error"]["code"] == "overloaded"


def test_a_request_is_sent_as_the_test_client_sends_it(client):
    stream = read_events(
        client, "/echo", method="POST", json={"question": "why"}, headers={"X-Token": "t"}
    )
    assert [event.data for event in stream.events] == ['{"question":"why"}', "t"]


def test_a_stream_is_continued_with_last_event_id(client):
    stream = read_events(client, "/resumed", headers={"Last-Event-ID": "7"})
    assert (stream.events[0].data, stream.events[0].id) == ("7", "7")


def test_a_plain_response_is_read_too(client, ended):
    stream = read_events(client, "/plain")
    assert [event.data for event in stream.events] == ["a", "b"]
    assert (stream.outcome, stream.is_generator_closed) == ("complete", True)
    assert read_events(client, "/plain", leave_after=1).outcome == "left"
    assert ended == ["closed", "closed"]


def test_a_body_that_ends_within_an_event_is_cut(client):
    assert read_events(client, "/plain?more=data: c\n").outcome == "cut"


def test_a_plain_response_that_fails_is_an_error(client):
    stream = read_events(client, "/plain-failing")
    assert (stream.outcome, str(stream.error)) == ("error", "gone")


def test_data_that_is_not_json_is_named(client):
    stream = read_events(client, "/plain")
    with pytest.raises(ValueError, match="not JSON: 'a'"):
        stream.events[0].json()


CONFTEST = """
import pytest
from flask import Flask
from flask_sluice import Event, sse_response

pytest_plugins = ["flask_sluice.testing"]

def ticks(closed):
    try:
        while True:
            yield Event(data="tick")
    finally:
        closed.append("closed")

@pytest.fixture
def closed():
    return []

@pytest.fixture
def app(closed):
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/ticks", view_func=lambda: sse_response(ticks(closed)), endpoint="ticks")
    return app
"""
CLIENT = """
@pytest.fixture
def client(app):
    return app.test_client()
"""
TESTS = """
import pytest

def test_reads(sse):
    stream = sse("/ticks", leave_after=2)
    assert (len(stream.events), stream.outcome) == (2, "left")

@pytest.fixture
def left(closed):
    yield
    assert closed == ["closed"]

def test_an_open_stream_is_left_at_the_end_of_the_test(left, sse, closed):
    next(sse.open("/ticks"))
    assert closed == []

def test_the_client_can_be_used_beside_it(sse):
    assert sse.client.get("/ticks").status_code == 200
"""


@pytest.mark.slow
@pytest.mark.parametrize("conftest", [CONFTEST, CONFTEST + CLIENT], ids=["app", "client"])
def test_the_fixture_reads_through_the_projects_own_fixtures(tmp_path, conftest):
    tested = run_pytest(tmp_path, conftest, TESTS)
    assert "3 passed" in tested.stdout, tested.stdout


@pytest.mark.slow
def test_the_fixture_says_which_fixtures_it_needs(tmp_path):
    tested = run_pytest(tmp_path, 'pytest_plugins = ["flask_sluice.testing"]\n', TESTS)
    assert "or `app`, the Flask app: define one of them" in tested.stdout


def run_pytest(folder, conftest, tests):
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_views.py").write_text(tests)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_reading_needs_no_pytest():
    program = """
import sys
sys.modules["pytest"] = None  # as if it were not installed
from flask import Flask
from flask_sluice import Event, sse_response
from flask_sluice.testing import read_events
app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: sse_response([Event(data="a")]), endpoint="a")
print(read_events(app.test_client(), "/").events[0].data)
"""
    read = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert read.stdout == "a\n"
