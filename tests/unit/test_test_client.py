"""``sse_response`` read through Flask's test client, as an app's own tests read it."""

import threading

import pytest
from flask import Flask, Response, g, request, session, stream_with_context

from flask_sluice import ApiError, Event, StreamContext, sse_response
from tests.support import once_more

FOREVER_SECONDS = 3600


class Steps(list):
    """What an app's generator and its hooks have done so far."""


def make_app(steps):
    app = Flask(__name__)
    app.testing = True
    app.secret_key = "secret"

    def numbers(count):
        try:
            for number in range(count):
                steps.append(f"makes {number}")
                yield Event.json(number)
        finally:
            steps.append("closed")

    def failing():
        yield Event(data="a")
        raise ValueError("the model is gone")

    def failing_at_once():
        raise ValueError("the model is gone")
        yield

    def of_the_request():
        try:
            yield f"data: {request.path}\n\n"
            yield f"data: {session.get('name')}\n\n"
        finally:
            steps.append(f"closed in {request.path}")

    def silent():
        threading.Event().wait(0.15)
        yield Event(data="late")

    def listening(context):
        yield Event(data="a")
        context.wait(FOREVER_SECONDS)
        steps.append("told")

    @app.get("/numbers")
    def stream_numbers():
        return sse_response(numbers(request.args.get("count", 3, int)))

    @app.get("/with-context")
    def with_context():
        return sse_response(stream_with_context(of_the_request()))

    @app.get("/plain-with-context")
    def plain_with_context():
        return Response(stream_with_context(of_the_request()), mimetype="text/event-stream")

    @app.get("/failing")
    def fail():
        return sse_response(failing())

    @app.get("/handled")
    def handle():
        return sse_response(failing(), error_event=lambda error: Event(data=f"sorry: {error}"))

    @app.get("/refusing")
    def refuse():
        def refusing():
            yield Event(data="a")
            raise ApiError(503, "overloaded", "come back later")

        return sse_response(refusing())

    @app.get("/held-failing")
    def fail_early():
        return sse_response(failing_at_once(), hold_headers=5)

    @app.get("/silent")
    def stream_silence():
        return sse_response(silent(), keepalive=0.05)

    @app.get("/late")
    def stream_late():
        return sse_response(listening(StreamContext()), deadline=0.5)

    @app.get("/listening")
    def listen():
        context = StreamContext()
        return sse_response(
            listening(context),
            keepalive=0.05,
            context=context,
            on_disconnect=lambda: steps.append("left"),
        )

    @app.before_request
    def begin():
        g.name = "of the request"

    @app.teardown_request
    def end(error):
        steps.append(f"teardown {error!r}")

    return app


@pytest.fixture
def steps():
    return Steps()


@pytest.fixture
def app(steps):
    return make_app(steps)


@pytest.fixture
def client(app):
    return app.test_client()


def body_of(response):
    return response.data.decode().removeprefix(": stream\n")


def test_the_generator_makes_an_event_only_when_the_test_asks_for_it(client, steps):
    response = client.get("/numbers")
    steps.clear()
    chunks = response.iter_encoded()
    assert next(chunks) == b": stream\n"
    assert steps == []
    for number in range(3):
        assert next(chunks) == f"data: {number}\n\n".encode()
        assert steps == [f"makes {each}" for each in range(number + 1)]
    assert next(chunks, None) is None
    assert steps[3:] == ["closed"]


def test_many_events_come_one_at_a_time(client):
    chunks = list(client.get("/numbers?count=500").response)
    assert chunks[1:] == [f"data: {number}\n\n".encode() for number in range(500)]


@pytest.mark.parametrize("buffered", [True, False])
def test_the_whole_body_is_read_at_once(client, steps, buffered):
    response = client.get("/numbers?count=2", buffered=buffered)
    assert body_of(response) == "data: 0\n\ndata: 1\n\n"
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    assert steps[-1] == "closed"


def test_closing_the_response_closes_the_generator_before_it_returns(client, steps):
    response = client.get("/numbers")
    chunks = response.iter_encoded()
    next(chunks)
    next(chunks)
    response.close()
    assert steps[-2:] == ["makes 0", "closed"]


def test_a_response_that_is_not_read_runs_nothing(client, steps):
    client.get("/numbers").close()
    assert steps == ["teardown None"]


def test_head_runs_nothing(client, steps):
    response = client.head("/numbers")
    response.close()
    assert (response.data, response.mimetype) == (b"", "text/event-stream")
    assert steps == ["teardown None"]


def test_an_exception_of_the_generator_reaches_the_test_with_its_own_traceback(client):
    with pytest.raises(ValueError, match="the model is gone") as raised:
        client.get("/failing").get_data()
    assert raised.traceback[-1].name == "failing"


def test_an_exception_comes_after_the_events_before_it(client):
    chunks = client.get("/failing").iter_encoded()
    assert [next(chunks), next(chunks)] == [b": stream\n", b"data: a\n\n"]
    with pytest.raises(ValueError, match="the model is gone"):
        next(chunks)


def test_an_exception_before_held_headers_reaches_the_test(client):
    with pytest.raises(ValueError, match="the model is gone"):
        client.get("/held-failing")


@pytest.mark.parametrize(
    ("testing", "propagate", "is_raised"),
    [(True, None, True), (False, True, True), (True, False, False), (False, None, False)],
)
def test_an_exception_is_raised_or_sent_as_the_app_is_configured(
    app, client, testing, propagate, is_raised
):
    app.testing = testing
    app.config["PROPAGATE_EXCEPTIONS"] = propagate
    response = client.get("/failing")
    if is_raised:
        with pytest.raises(ValueError, match="the model is gone"):
            response.get_data()
    else:
        assert "event: error" in body_of(response)


def test_an_exception_of_which_the_app_makes_an_event_is_handled(client):
    """As one is that an error handler of the app takes."""
    assert body_of(client.get("/handled")) == "data: a\n\ndata: sorry: the model is gone\n\n"


def test_an_error_for_the_client_is_its_error_event(client):
    assert '"code":"overloaded"' in body_of(client.get("/refusing"))


@pytest.mark.parametrize(("is_debugged", "is_told"), [(True, True), (False, False)])
def test_the_error_event_names_the_exception_only_while_the_app_is_debugged(
    app, client, is_debugged, is_told
):
    app.testing, app.debug = False, is_debugged
    assert ("ValueError: the model is gone" in body_of(client.get("/failing"))) is is_told


def test_keepalives_come_while_the_generator_is_silent(client):
    body = client.get("/silent").data
    assert body.count(b": keep-alive\n") >= 2
    assert body.endswith(b"data: late\n\n")


def test_a_deadline_ends_the_stream_with_its_error_event(client):
    assert '"code":"stream_timeout"' in body_of(client.get("/late"))


def test_leaving_tells_a_generator_that_listens_and_calls_on_disconnect(client, steps):
    response = client.get("/listening")
    chunks = response.iter_encoded()
    begin = [next(chunks) for _ in range(3)]
    assert begin == [b": stream\n", b"data: a\n\n", b": keep-alive\n"]
    response.close()
    assert steps[1:] == ["told", "left"]


def test_the_request_can_be_looked_at_in_a_with_block(client):
    with client:
        assert body_of(client.get("/numbers?count=1")) == "data: 0\n\n"
        assert (request.path, g.name) == ("/numbers", "of the request")
        client.get("/numbers?count=0").close()
        assert request.args["count"] == "0"


@pytest.mark.parametrize("path", ["/with-context", "/plain-with-context"])
def test_stream_with_context_has_its_request_and_is_torn_down_at_the_end(client, steps, path):
    with client.session_transaction() as stored:
        stored["name"] = "Ada"
    response = client.get(path)
    assert body_of(response) == f"data: {path}\n\ndata: Ada\n\n"
    assert steps[-2:] == [f"closed in {path}", "teardown None"]


def test_stream_with_context_works_in_a_with_block(client):
    with client:
        assert "data: /with-context" in body_of(client.get("/with-context"))
        assert request.path == "/with-context"


def test_stream_with_context_is_torn_down_when_the_test_leaves(client, steps):
    response = client.get("/with-context")
    chunks = response.iter_encoded()
    next(chunks)
    next(chunks)
    response.close()
    assert steps[-2] == "closed in /with-context"
    assert steps[-1].startswith("teardown")


def test_a_test_that_is_in_a_request_itself_streams(app, client):
    """As under pytest-flask, which runs each test in a request context."""
    with app.test_request_context("/of-the-test"):
        assert body_of(client.get("/with-context")).startswith("data: /with-context")
        assert body_of(client.get("/numbers?count=1")) == "data: 0\n\n"
        assert request.path == "/of-the-test"


def test_streams_of_two_responses_are_read_in_turns(client):
    first, second = (client.get("/numbers").iter_encoded() for _ in range(2))
    read = [next(chunks) for _ in range(3) for chunks in (first, second)]
    assert read[2:] == [b"data: 0\n\n", b"data: 0\n\n", b"data: 1\n\n", b"data: 1\n\n"]


def test_no_generator_is_left_running(client):
    before = set(threading.enumerate())
    client.get("/numbers").get_data()
    response = client.get("/numbers")
    next(response.iter_encoded())
    response.close()
    left = set(threading.enumerate()) - before
    assert "sluice-generator" not in {thread.name for thread in left}


@pytest.mark.slow
@once_more.has_time
def test_all_of_this_holds_in_a_process_that_gevent_has_patched():
    once_more.run_tests("-p", "no:xdist", "-m", "not slow", __file__, in_greenlets=True)
