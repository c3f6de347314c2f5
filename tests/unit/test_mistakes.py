"""What a newcomer does wrong with ``sse_response``, and the one sentence that helps."""

import asyncio
import http
import logging
import sqlite3
from contextlib import nullcontext

import pytest
from flask import Flask, Response, current_app, request, stream_with_context

from flask_sluice import Event, StreamContext, sse_response
from flask_sluice.testing import read_events


def numbers():
    yield Event.json(1)


def failing():
    yield Event(data="a")
    raise ValueError("the model is gone")


async def asynchronous_numbers():
    yield Event.json(1)


async def answer():
    return "text"


class Numbers:
    def __iter__(self):
        return numbers()


class Question:
    """Is no iterable."""


def consumed():
    generator = numbers()
    list(generator)
    return generator


def taken():
    context = StreamContext()
    context.is_taken = True
    return context


@pytest.fixture
def app():
    app = Flask(__name__)
    app.testing = True
    return app


def respond(app, *arguments, **options):
    """Call ``sse_response`` in a view, and read what it sends."""
    app.add_url_rule("/", "view", lambda: sse_response(*arguments, **options))
    return read_events(app.test_client(), "/")


ITEMS = {
    "None": (lambda: None, "an iterable of events, not one NoneType: yield Event"),
    "a number": (lambda: 5, "not one int"),
    "text": (lambda: "data: a\n\n", "not one str: yield Event"),
    "bytes": (lambda: b"data: a\n\n", "not one bytes"),
    "a bytearray": (lambda: bytearray(b"data: a\n\n"), "not one bytearray"),
    "an event": (lambda: Event(data="a"), "not one Event"),
    "a dict": (lambda: {"a": 1}, "not one dict: yield .* Event.json"),
    "an object": (Question, "not one Question"),
    "a function": (
        lambda: numbers,
        r"not the function numbers: call it, sse_response\(numbers\(\)\)",
    ),
    "a wrapped function": (lambda: stream_with_context(numbers), "not the function .*: call it"),
    "a lambda": (lambda: lambda: [Event(data="a")], "not the function <lambda>: call it"),
    "a class": (lambda: Numbers, "not the class Numbers"),
    "an asynchronous generator": (
        asynchronous_numbers,
        "`def` instead of `async def`.*flask-apps.md",
    ),
    "its function": (lambda: asynchronous_numbers, "`def` instead of `async def`"),
    "a coroutine": (answer, "not a coroutine: write it with `def`"),
    "a coroutine's function": (lambda: answer, "not a coroutine: write it with `def`"),
    "a response": (
        lambda: Response(numbers(), mimetype="text/event-stream"),
        r"sse_response\(generate\(\)\) replaces Response\(generate\(\), mimetype",
    ),
    "a body and a status": (lambda: (numbers(), 200), "status=200, headers="),
    "a body, a status and headers": (
        lambda: (numbers(), 200, {"X-A": "b"}),
        "status=200, headers=",
    ),
    "a list of dicts": (
        lambda: [{"a": 1}],
        "a list of Events, not of dict; wrap the dict in Event.json",
    ),
    "a consumed generator": (
        consumed,
        "numbers has been read before.*sse_response\\(numbers\\(\\)\\)",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), ITEMS.values(), ids=ITEMS)
def test_what_is_not_an_iterable_of_events_is_refused_in_the_view(app, make, sentence):
    with app.test_request_context(), pytest.raises(TypeError, match=sentence) as raised:
        sse_response(make())
    assert str(raised.value).startswith(("sse_response takes", "the generator"))
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("error")
def test_a_refused_coroutine_does_not_warn_that_it_was_never_awaited(app):
    with app.test_request_context(), pytest.raises(TypeError):
        sse_response(answer())


@pytest.mark.parametrize(
    "items",
    [numbers, list, Numbers, lambda: map(Event.json, [1]), lambda: (Event(data="1"),)],
    ids=["generator", "empty list", "iterable", "iterator", "tuple of events"],
)
def test_any_iterable_of_events_is_taken(app, items):
    assert respond(app, items()).outcome == "complete"


def test_a_generator_that_was_begun_goes_on(app):
    generator = iter([Event(data="first"), Event(data="second")])
    next(generator)
    assert [event.data for event in respond(app, generator).events] == ["second"]


YIELDED = {
    "a dict": ({"a": 1}, "not dict; wrap the dict in Event.json"),
    "a list": ([1], "not list; wrap the list in Event.json"),
    "a number": (5, "not int; wrap the int in Event.json"),
    "None": (None, "not None; leave out a `yield` without a value"),
    "a body and a status": (("text", 200), "status and headers are arguments of sse_response"),
    "a name and data": (("message", {"a": 1}), r"Event\(data=…, event=…\) names an event"),
    "a bytearray": (bytearray(b"data: a\n\n"), r"bytes\(\) makes bytes of a bytearray"),
    "a response": (Response("text"), "yield the events themselves"),
    "a generator": (numbers(), r"`yield from numbers\(\)` yields its events one by one"),
    "the class": (Event, r"make one of the class: Event\(…\)"),
    "an asynchronous generator": (
        asynchronous_numbers(),
        "asyncio has to run inside of the generator",
    ),
    "text": (
        "hello",
        r"the text 'hello', which is not a server-sent event.*wrap it in Event\(data=…\)",
    ),
    "lines of text": ("hello\nworld\n", "the text 'hello"),
    "text and a blank line": ("hello\n\n", "the text 'hello"),
    "JSON and a blank line": ('{"a": 1}\n\n', "which is not a server-sent event"),
    "an indented event": ("    data: a\n\n", "which is not a server-sent event"),
    "an event without its blank line": ("data: hello\n", "the text 'data: hello.*and a blank line"),
    "an event with a line end in quotes": (r"data: hello\n\n", "which is not a server-sent event"),
    "a long text": ("x" * 100, f"the text '{'x' * 40}\\.\\.\\.', which"),
}


@pytest.mark.parametrize(("item", "sentence"), YIELDED.values(), ids=YIELDED)
def test_what_a_generator_yields_by_mistake_is_explained_in_the_log_and_in_debug_mode_in_the_event(
    app, item, sentence, caplog
):
    app.testing, app.debug = False, True
    stream = respond(app, (each for each in [Event(data="before"), item]))
    before, error = stream.events
    assert (before.data, error.event, stream.outcome) == ("before", "error", "error")
    with pytest.raises(Exception, match=sentence):
        raise stream.error
    assert str(stream.error) in error.json()["error"]["message"]
    assert str(stream.error) in caplog.text


def of_the_request():
    yield Event(data=request.path)


def of_the_app():
    yield Event(data=current_app.name)


def of_the_views_connection(connection):
    yield Event.json(connection.execute("select 1").fetchone())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (of_the_request, "as arguments, or wrap it, sse_response(stream_with_context(generate()))"),
        (of_the_app, "as arguments, or wrap it, sse_response(stream_with_context(generate()))"),
        (
            lambda: of_the_views_connection(sqlite3.connect(":memory:")),
            "open the connection in the generator, not in the view",
        ),
    ],
)
def test_what_a_generator_cannot_use_of_its_view_is_explained(app, make, sentence, caplog):
    app.testing, app.debug = False, True
    app.add_url_rule("/", "view", lambda: sse_response(make()))
    stream = read_events(app.test_client(), "/")
    assert sentence in caplog.text
    assert sentence in stream.events[-1].json()["error"]["message"]


def test_without_debug_mode_the_client_is_not_told_of_a_mistake(app, caplog):
    app.testing = False
    stream = respond(app, ({"password": each} for each in ["secret"]))
    assert "Event.json" in caplog.text
    assert "Event.json" not in stream.text


def test_a_coroutine_that_is_yielded_is_explained(app):
    assert "inside of the generator" in str(respond(app, (answer() for _ in [1])).error)


@pytest.mark.parametrize(
    "text",
    ["data\n\n", "id: 7\n\n", ": ping\n\n", "\n\n", "\ufeffdata: a\n\n", "x: y\ndata: a\n\n"],
)
def test_text_that_a_client_understands_is_no_mistake(app, text):
    assert respond(app, (each for each in [text])).outcome == "complete"


OPTIONS = {
    "keepalive": [-1, "15", True, float("nan"), [15]],
    "deadline": [0, -1, "60", False],
    "retry": [-1, 1.5, "3000", True],
    "hold_headers": [-1, "5", None, True, float("nan")],
    "interrupt": ["no", 0, None],
    "status": [
        *("OK", "200 OK\r\nX-A: b", 99999, 0, 100, None, True),
        *(204, 304, "205 Reset Content", http.HTTPStatus.NO_CONTENT),
    ],
}
HEADERS = [
    ({"X-A": "a\r\nSet-Cookie: b=c"}, "without line ends"),
    ({"X-A": "a\nb"}, "without line ends"),
    ({"X-A\r\nX-B": "b"}, "not the name of a header"),
    ({"X A": "b"}, "not the name of a header"),
    ({"": "b"}, "not the name of a header"),
    ({"X-A": "中"}, "X-A takes Latin-1 text"),
    ("X-A: b", "headers takes a dict"),
    (["X-A: b"], "headers takes a dict"),
    (5, "headers takes a dict"),
    ({"Content-Length": "5"}, "a stream has no Content-Length"),
    ({"content-encoding": "gzip"}, "a stream has no content-encoding"),
    ({"Content-Type": "application/json"}, "Content-Type is text/event-stream"),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OPTIONS.items() for value in values]
)
def test_an_option_that_cannot_be_is_refused_by_its_name(app, name, value):
    with app.test_request_context(), pytest.raises(ValueError, match=name):
        sse_response(numbers(), **{name: value})


@pytest.mark.parametrize(("headers", "sentence"), HEADERS)
def test_a_header_that_cannot_be_is_refused_in_the_view(app, headers, sentence):
    with app.test_request_context(), pytest.raises(ValueError, match=sentence):
        sse_response(numbers(), headers=headers)


def test_headers_are_sent_beside_those_of_every_stream(app):
    given = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("cache-control", "no-store")]
    given += [("Connection", "keep-alive"), ("Content-Encoding", "none"), ("X-Count", 5)]
    sent = respond(app, numbers(), headers=given).headers
    assert sent.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert sent.getlist("Cache-Control") == ["no-store"]
    assert (sent["X-Accel-Buffering"], sent["X-Count"]) == ("no", "5")
    assert sent["Content-Encoding"] == "none"
    assert "Connection" not in sent


@pytest.mark.parametrize("status", [200, 201, 503, "207 Multi-Status", http.HTTPStatus.ACCEPTED])
def test_a_status_with_a_body_is_sent(app, status):
    assert respond(app, numbers(), status=status).status == int(
        str(int(status)) if isinstance(status, int) else status[:3]
    )


FUNCTIONS = ["is_terminal", "error_event", "on_disconnect"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_not_a_function_is_refused(app, name):
    with (
        app.test_request_context(),
        pytest.raises(TypeError, match=f"{name} takes a function, got str"),
    ):
        sse_response(numbers(), **{name: "done"})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_would_have_to_be_awaited_is_refused(app, name):
    with app.test_request_context(), pytest.raises(TypeError, match=f"{name} .* `async def`"):
        sse_response(numbers(), **{name: answer})


@pytest.mark.parametrize(
    ("context", "sentence"), [(5, "got int"), (StreamContext, "the class itself")]
)
def test_what_is_not_a_context_is_refused(app, context, sentence):
    with app.test_request_context(), pytest.raises(TypeError, match=sentence):
        sse_response(numbers(), context=context)
    assert respond(app, numbers(), context=StreamContext()).outcome == "complete"


def test_a_context_is_for_one_stream(app):
    context = StreamContext()
    app.add_url_rule("/", "view", lambda: sse_response(numbers(), context=context))
    client = app.test_client()
    read_events(client, "/")
    with pytest.raises(RuntimeError, match="StreamContext is for one stream; make another"):
        client.get("/")


def test_a_generator_is_for_one_response(app):
    generator = numbers()
    app.add_url_rule("/", "view", lambda: sse_response(generator))
    client = app.test_client()
    read_events(client, "/")
    with pytest.raises(TypeError, match="make a new one for each response"):
        client.get("/")


def test_an_is_terminal_that_raises_is_named(app, caplog):
    app.testing, app.debug = False, True
    stream = respond(app, numbers(), is_terminal=lambda event: event.data["done"])
    assert "is_terminal raised TypeError for Event(data='1'" in str(stream.error)
    assert "is_terminal raised TypeError" in caplog.text
    assert "is_terminal raised TypeError" in stream.events[-1].json()["error"]["message"]


@pytest.mark.parametrize(
    ("error_event", "sentence"),
    [
        (lambda error: None, "error_event returned NoneType, not an Event(data=…)"),
        (lambda error: "data: failed\n\n", "error_event returned str, not an Event(data=…)"),
        (lambda error: error.code, "error_event failed"),
    ],
    ids=["None", "text", "exception"],
)
def test_an_error_event_that_is_none_is_explained_in_the_log(app, error_event, sentence, caplog):
    app.testing = False
    stream = respond(app, failing(), error_event=error_event)
    assert stream.events[-1].event == "error"
    assert stream.events[-1].json()["error"]["code"] == "internal_error"
    assert sentence in caplog.text
    assert "the model is gone" in caplog.text


@pytest.mark.parametrize("context_of", [lambda app: nullcontext(), Flask.app_context])
def test_outside_of_a_request_there_is_nothing_to_answer(app, context_of):
    with context_of(app), pytest.raises(RuntimeError, match="there is none: call it in a view"):
        sse_response(numbers())


def test_an_asynchronous_view_streams_a_generator(app):
    app.async_to_sync = lambda view: lambda **values: asyncio.run(view(**values))

    async def view():
        await asyncio.sleep(0)
        return sse_response([Event(data=request.path)])

    app.add_url_rule("/", view_func=view)
    assert read_events(app.test_client(), "/").events[0].data == "/"


def test_an_asynchronous_view_is_told_that_its_generator_is_asynchronous(app):
    app.async_to_sync = lambda view: lambda **values: asyncio.run(view(**values))

    async def view():
        return sse_response(asynchronous_numbers())

    app.add_url_rule("/", view_func=view)
    with pytest.raises(TypeError, match="`def` instead of `async def`"):
        app.test_client().get("/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_KEEPALIVE_SECONDS", "15"),
        ("SLUICE_KEEPALIVE_BLANK_LINE", "yes"),
        ("SLUICE_CHANNEL_SIZE", 0),
        ("SLUICE_WRITE_TIMEOUT_SECONDS", 0),
        ("SLUICE_IDLE_TIMEOUT_SECONDS", -1),
        ("SLUICE_STREAM_TIMEOUT_SECONDS", "1 h"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_its_name(app, name, value):
    app.config[name] = value
    with app.test_request_context(), pytest.raises(ValueError, match=f"{name} takes "):
        sse_response(numbers())


def test_an_argument_wins_over_the_configuration(app):
    app.config["SLUICE_STREAM_TIMEOUT_SECONDS"] = 3600
    context = StreamContext()

    def waiting():
        yield Event(data="a")
        context.wait(None)

    stream = respond(app, waiting(), deadline=0.01, context=context)
    assert stream.error.code == "stream_timeout"


@pytest.mark.parametrize(
    ("data", "advice"), [(b"text", r"got bytes; decode\(\)"), ({"a": 1}, "got dict; Event.json")]
)
def test_data_that_is_not_text_is_refused_where_the_event_is_made(data, advice):
    with pytest.raises(TypeError, match=advice):
        Event(data=data)


def test_nothing_is_logged_of_a_stream_without_a_mistake(app, caplog):
    caplog.set_level(logging.WARNING)
    respond(app, numbers())
    assert caplog.text == ""
