"""A Flask app that is not Sluice's: it uses ``sse_response`` and nothing else of it."""

import time
from collections.abc import Iterator

from flask import Flask, Response, request

from flask_sluice import sse_response
from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from tests.server.inspection import register_inspection

app = Flask(__name__)
register_inspection(app)

ended_at: dict[str, float] = {}
produced: dict[str, int] = {}
disconnected: list[str] = []


@app.get("/stream/<kind>")
def stream(kind: str):
    """``key`` names the stream; what became of it is asked by that name."""
    key = request.args.get("key", "")
    return sse_response(
        GENERATORS[kind](key),
        keepalive=request.args.get("keepalive", 15, float),
        deadline=request.args.get("deadline", None, float),
        on_disconnect=lambda: disconnected.append(key),
    )


@app.get("/ended/<key>")
def ended(key: str):
    """When the generator's ``finally`` ran (CLOCK_MONOTONIC, which all processes share), or null."""
    return {"at": ended_at.get(key)}


@app.get("/produced/<key>")
def produced_(key: str):
    return {"events": produced.get(key, 0)}


@app.get("/disconnected")
def disconnected_():
    return {"keys": disconnected}


@app.get("/plain")
def plain():
    return "plain"


@app.post("/reads")
def reads():
    return request.get_data()


@app.get("/takes_over")
def takes_over():
    return TakesOver()


class TakesOver(Response):
    """Writes to the connection itself, as WebSocket libraries do under gunicorn."""

    def __call__(self, environ, start_response):
        environ["gunicorn.socket"].sendall(b"mine")
        raise StopIteration


@app.get("/complains")
def complains():
    print("something is wrong", file=request.environ["wsgi.errors"])
    return "complained"


def waits(key: str) -> Iterator[Event]:
    """A prefill that lasts: the generator waits and knows nothing of its client."""
    try:
        time.sleep(3600)
        yield Event(data="never")
    finally:
        ended_at[key] = time.monotonic()


def produces(key: str) -> Iterator[Event]:
    try:
        while True:
            yield Event(data="token")
            time.sleep(0.001)
    finally:
        ended_at[key] = time.monotonic()


def floods(key: str) -> Iterator[Event]:
    """More than any socket's buffers hold."""
    try:
        while True:
            produced[key] = produced.get(key, 0) + 1
            yield Event(data="x" * 65536)
    finally:
        ended_at[key] = time.monotonic()


def paces(key: str) -> Iterator[Event]:
    while True:
        yield Event(data=str(time.monotonic()))
        time.sleep(0.02)


def computes(key: str) -> Iterator[Event]:
    """Never waits: each event takes 0.1 s of CPU time."""
    for _ in range(12):
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        yield Event(data=str(time.monotonic()))


def counts(key: str) -> Iterator[Event]:
    for number in range(3):
        yield Event(data=str(number))


def stays_silent(key: str) -> Iterator[Event]:
    time.sleep(1.2)
    yield Event(data="at last")


def raises(key: str) -> Iterator[Event]:
    yield Event(data="first")
    raise ZeroDivisionError("a secret of the server")


def catches_all(key: str) -> Iterator[Event]:
    """Does its duty in a ``finally`` that itself waits."""
    try:
        yield Event(data="first")
        time.sleep(3600)
    finally:
        time.sleep(0.1)
        ended_at[key] = time.monotonic()


GENERATORS = {
    function.__name__: function
    for function in (
        *(waits, produces, floods, paces, computes, counts, stays_silent, raises, catches_all),
    )
}


@app.get("/saves")
def saves():
    """Has work left after its terminal event."""
    return sse_response(saves_after_done(request.args["key"]))


def saves_after_done(key: str) -> Iterator[Event]:
    yield Event(event="done", data="x")
    time.sleep(0.2)
    ended_at[key] = time.monotonic()


@app.get("/stoppable")
def stoppable():
    """Is stopped from elsewhere: by /stop."""
    contexts.append(StreamContext())
    return sse_response(waits(request.args["key"]), context=contexts[-1])


@app.get("/stop")
def stop():
    contexts.pop().stop_generating()
    return {}


@app.get("/closing")
def closing():
    response = sse_response(counts(""))
    key = request.args["key"]
    response.call_on_close(lambda: ended_at.update({key: time.monotonic()}))
    return response


@app.get("/exits")
def exits():
    return sse_response(exits_the_process(""))


def exits_the_process(_key: str) -> Iterator[Event]:
    yield Event(data="first")
    raise SystemExit("not this process")


contexts: list[StreamContext] = []


@app.get("/shouts")
def shouts():
    """Passes through middleware that changes what it streams; see ``in_capitals``."""
    return sse_response(counts(""))


def in_capitals(application):
    """Middleware as there are many: it wraps the body in an iterable of its own."""

    def call(environ, start_response):
        body = application(environ, start_response)
        return Capitals(body) if environ["PATH_INFO"] == "/shouts" else body

    return call


class Capitals:
    def __init__(self, body) -> None:
        self._body = body
        self.close = body.close

    def __iter__(self):
        return (piece.upper() for piece in self._body)


app.wsgi_app = in_capitals(app.wsgi_app)
