"""What an app does with the response of a stream before it returns it works as it does with Flask's own."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response, make_response
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers

from flask_sluice import sse_response
from tests.adopting.variants import without_ours

MAKERS: dict[str, Callable[..., Response]] = {
    "before": lambda items, **more: Response(items, mimetype="text/event-stream", **more),
    "after": sse_response,
}


@pytest.fixture(params=MAKERS)
def make(request) -> Callable[[Iterator[str]], Response]:
    return MAKERS[request.param]


def two_events() -> Iterator[str]:
    yield "data: a\n\n"
    yield "data: b\n\n"


def answer(view: Callable[[], ResponseReturnValue], *, method: str = "GET"):
    """The response to a request that the view answers, read and closed."""
    app = Flask(__name__)
    app.add_url_rule("/", "view", view)
    with app.test_client().open("/", method=method) as response:
        return response, without_ours(response.data)


def with_header(response: Response) -> ResponseReturnValue:
    response.headers["X-Answer"] = "42"
    return response


def with_cookie(response: Response) -> ResponseReturnValue:
    response.set_cookie("seen", "yes")
    return response


def with_status(response: Response) -> ResponseReturnValue:
    response.status_code = 202
    return response


def with_passthrough(response: Response) -> ResponseReturnValue:
    response.direct_passthrough = True
    response.implicit_sequence_conversion = False
    return response


def with_cors(response: Response) -> ResponseReturnValue:
    response.access_control_allow_origin = "*"
    response.vary.add("Origin")
    return response


def as_tuple(response: Response) -> ResponseReturnValue:
    return response, 201, {"X-Answer": "42"}


def as_made(response: Response) -> ResponseReturnValue:
    return make_response(response, 203)


def with_another_type(response: Response) -> ResponseReturnValue:
    response.content_type = "text/event-stream"
    return response


DRESSED = (
    with_header,
    with_cookie,
    with_status,
    with_passthrough,
    with_cors,
    with_another_type,
    as_tuple,
    as_made,
)


@pytest.mark.parametrize("dress", DRESSED)
def test_a_response_can_be_changed_before_it_is_returned(dress):
    (before, before_body), (after, after_body) = (
        answer(lambda make=make: dress(make(two_events()))) for make in MAKERS.values()
    )
    assert after_body == before_body == b"data: a\n\ndata: b\n\n"
    assert after.status == before.status
    assert dict(before.headers).items() <= dict(after.headers).items()


HEADERS = (
    {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Connection": "keep-alive"},
    {"cache-control": "private, max-age=0"},
    {"Content-Encoding": "none"},
    {"Content-Encoding": "identity"},
    [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Vary", "Origin"), ("Vary", "Cookie")],
    {"Link": ["</a>; rel=next", "</b>; rel=last"]},
    Headers([("X-One", "1"), ("X-Two", "ü")]),
    {"Transfer-Encoding": "chunked", "Keep-Alive": "timeout=600", "X-Three": "3"},
)


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_the_headers_that_are_given_are_sent(headers):
    (before, _), (after, _) = (
        answer(lambda make=make: make(two_events(), headers=headers)) for make in MAKERS.values()
    )
    for name, _ in before.headers:
        if name.lower() not in ("connection", "transfer-encoding", "keep-alive"):
            assert after.headers.getlist(name) == before.headers.getlist(name)


@pytest.mark.parametrize("attribute", ["is_streamed", "is_sequence", "mimetype", "content_type"])
def test_a_response_shows_what_it_is(attribute):
    found = {}

    def view(name: str, make: Callable[..., Response]) -> Response:
        response = make(two_events())
        assert isinstance(response, Response)
        found[name] = getattr(response, attribute)
        return response

    for name, make in MAKERS.items():
        answer(lambda name=name, make=make: view(name, make))
    assert found["before"] == found["after"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_a_response_calls_on_close_is_called_once(make, method):
    closed = []

    def view() -> Response:
        response = make(two_events())
        response.call_on_close(lambda: closed.append("closed"))
        return response

    answer(view, method=method)
    assert closed == ["closed"]


def test_a_head_request_runs_no_generator(make):
    begun = []

    def begins() -> Iterator[str]:
        begun.append(True)
        yield "data: a\n\n"

    response, body = answer(lambda: make(begins()), method="HEAD")
    assert response.mimetype == "text/event-stream"
    assert not body
    assert not begun


def test_a_hook_that_asks_for_the_whole_body_is_told_what_to_do():
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", lambda: sse_response(two_events()))

    @app.after_request
    def log(response: Response) -> Response:
        app.logger.info("answered %s", response.get_data(as_text=True))
        return response

    with pytest.raises(RuntimeError, match="skip a response with is_streamed"):
        app.test_client().get("/")


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "read"])
def test_a_hook_may_make_a_plain_response_of_a_stream(make, replace):
    app = Flask(__name__)
    app.add_url_rule("/", "view", lambda: make(two_events()))

    @app.after_request
    def plain(response: Response) -> Response:
        response.direct_passthrough = False
        if replace:
            response.set_data("another answer")
        assert response.get_data()
        return response

    data = app.test_client().get("/").data
    assert data == b"another answer" if replace else without_ours(data) == b"data: a\n\ndata: b\n\n"
