"""The response of a stream, as hooks, caches and middleware take it, which know nothing of Sluice."""

import pickle
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, request
from werkzeug.test import Client

from flask_sluice import Event, sse_response
from flask_sluice.stream import responses
from flask_sluice.stream import sse_response as module


@pytest.fixture(autouse=True)
def warnings_are_new():
    """Each warning is given once in a process."""
    for warn in (responses._warn_of_caching, module._warn_of_compression):
        warn.cache_clear()


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)

    @app.get("/")
    def stream():
        return sse_response(count())

    return app


def count() -> Iterator[Event]:
    yield Event(data="1")
    yield Event(data="2")


def test_a_hook_that_reads_the_data_is_told_to_skip_streams(app):
    app.testing = True

    @app.after_request
    def read(response: Response) -> Response:
        response.headers["X-Size"] = str(len(response.data))
        return response

    with pytest.raises(RuntimeError, match="skip a response with is_streamed"):
        app.test_client().get("/")


def test_a_hook_that_asks_whether_a_response_is_streamed_may_read_the_others(app):
    app.testing = True
    app.add_url_rule("/page", view_func=lambda: "a page")

    @app.after_request
    def read(response: Response) -> Response:
        if not response.is_streamed:
            response.headers["X-Size"] = str(len(response.data))
        return response

    client = app.test_client()
    assert client.get("/page").headers["X-Size"] == "6"
    assert client.get("/").data.endswith(b"data: 1\n\ndata: 2\n\n")


def test_a_hook_may_read_what_another_has_put_in_the_streams_place(app):
    @app.after_request
    def read(response: Response) -> Response:
        response.headers["X-Size"] = str(len(response.data))
        return response

    @app.after_request
    def replace(response: Response) -> Response:
        response.response = [b"other"]
        return response

    assert app.test_client().get("/").headers["X-Size"] == "5"


def test_a_hook_may_have_the_data_collected(app):
    @app.after_request
    def collect(response: Response) -> Response:
        response.direct_passthrough = False
        response.headers["X-Size"] = str(len(response.data))
        return response

    response = app.test_client().get("/")
    assert response.headers["X-Size"] == str(len(response.data))
    assert response.data.endswith(b"data: 1\n\ndata: 2\n\n")


def test_a_cache_that_pickles_the_response_keeps_nothing_and_a_warning_says_so_once(app, caplog):
    with app.test_request_context():
        response = sse_response(count())
        assert [pickle.loads(pickle.dumps(response)) for _ in range(2)] == [None, None]
    assert [record.message for record in caplog.records] == [
        "a stream is for one client and is not cached: leave its view out of the cache"
    ]


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_compression_of_event_streams_is_kept_from_streams_and_a_warning_says_so_once(
    app, caplog, kind
):
    app.config["COMPRESS_MIMETYPES"] = kind(["text/event-stream"])

    @app.after_request
    def note(response: Response) -> Response:
        response.headers["X-Accepted"] = request.headers.get("Accept-Encoding", "nothing")
        return response

    client = app.test_client()
    for _ in range(2):
        response = client.get("/", headers={"Accept-Encoding": "gzip"})
        assert response.headers["X-Accepted"] == "nothing"
    (record,) = caplog.records
    assert "take text/event-stream out of COMPRESS_MIMETYPES" in record.message


@pytest.mark.parametrize("mimetypes", [None, [], ["text/html"]])
def test_an_app_that_does_not_compress_streams_sees_what_its_client_accepts(app, caplog, mimetypes):
    app.config["COMPRESS_MIMETYPES"] = mimetypes

    @app.after_request
    def note(response: Response) -> Response:
        response.headers["X-Accepted"] = request.headers["Accept-Encoding"]
        return response

    response = app.test_client().get("/", headers={"Accept-Encoding": "gzip"})
    assert response.headers["X-Accepted"] == "gzip"
    assert caplog.records == []


def test_a_span_whose_end_cannot_be_held_back_is_left_alone(app, monkeypatch):
    class SpanWithSlots:
        __slots__ = ()

        def is_recording(self) -> bool:
            return True

        def end(self) -> None:
            pass

    trace = SimpleNamespace(get_current_span=SpanWithSlots)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    response = app.test_client().get("/")
    assert response.status_code == 200
    assert response.data.endswith(b"data: 2\n\n")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stream_keeps_to_the_letter_of_wsgi(app, method):
    response = Client(validator(app.wsgi_app)).open("/", method=method, buffered=True)
    assert response.status_code == 200
