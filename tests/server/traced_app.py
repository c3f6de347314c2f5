"""A Flask app behind tracing middleware, with context variables and with ``stream_with_context``."""

import time
from collections.abc import Iterator
from contextvars import ContextVar

from flask import Flask, has_app_context, has_request_context, request, stream_with_context

from flask_sluice import Event, sse_response
from tests.server.inspection import register_inspection

app = Flask(__name__)
register_inspection(app)

span: ContextVar[str] = ContextVar("span")
raised: list[str] = []
ended: list[str] = []
torn_down: list[str] = []


@app.teardown_request
def note_teardown(_error: BaseException | None) -> None:
    if request.path == "/with-context":
        torn_down.append(request.args.get("key", ""))


@app.get("/waits")
def waits():
    """Never sends an event by itself."""
    return sse_response(wait_for_ever(request.args["key"]))


def wait_for_ever(key: str) -> Iterator[Event]:
    try:
        yield Event(data="first")
        time.sleep(3600)
        yield Event(data="never")
    finally:
        ended.append(key)


@app.get("/variables")
def variables():
    span.set(request.args["key"])
    return sse_response(tell_variables())


def tell_variables() -> Iterator[Event]:
    yield Event.json([span.get("none"), has_request_context(), has_app_context()])
    time.sleep(0.05)
    yield Event.json([span.get("none"), has_request_context(), has_app_context()])


@app.get("/last-span")
def last_span():
    """The span that the request before has set on this connection, if that is seen here."""
    return {"span": span.get(None)}


@app.get("/with-context")
def with_context():
    return sse_response(stream_with_context(tell_key()))


def tell_key() -> Iterator[Event]:
    yield Event(data=request.args["key"])
    time.sleep(0.05)
    yield Event(data=request.args["key"])
    if request.args.get("stay"):
        time.sleep(3600)


@app.get("/noted")
def noted():
    return {"raised": raised, "ended": ended, "torn_down": torn_down}


class Tracing:
    """Wraps the body as error trackers and tracing middleware do, and notes each exception that passes through."""

    def __init__(self, application) -> None:
        self._application = application

    def __call__(self, environ, start_response):
        return TracedBody(self._application(environ, start_response))


class TracedBody:
    def __init__(self, body) -> None:
        self._body = body
        self._iterator = iter(body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            raised.append(repr(error))
            raise

    def close(self) -> None:
        try:
            self._body.close()
        except BaseException as error:
            raised.append(repr(error))
            raise


app.wsgi_app = Tracing(app.wsgi_app)
