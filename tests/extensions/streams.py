"""The views and generators that all apps here have, and what a test asks about their streams."""

import threading
from collections.abc import Iterator, Mapping

from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_sluice import ApiError, Event, sse_response
from flask_sluice.observe.outcome import Outcome

_WAIT_SECONDS = 20

released: dict[str, threading.Event] = {}
"""Lets the generator of a stream go on, by the stream's key."""
outcomes: dict[str, Outcome] = {}
"""How a stream has ended, by its key."""


def steps(key: str) -> Iterator[Event]:
    """Yields an event, waits until the test has seen it, and yields the rest."""
    yield Event(data="first")
    if not released.setdefault(key, threading.Event()).wait(_WAIT_SECONDS):
        raise TimeoutError("the test does not go on")
    yield Event(data="second")
    yield Event(event="done", data="third")


def fails(key: str) -> Iterator[Event]:
    yield Event(data="first")
    raise ZeroDivisionError(f"the generator of {key}")


def fails_first(key: str) -> Iterator[Event]:
    raise ZeroDivisionError(f"the generator of {key}")
    yield


def refuses(key: str) -> Iterator[Event]:
    yield Event(data="first")
    raise ApiError(503, "printer_out", f"no paper for {key}")


GENERATORS = {"steps": steps, "fails": fails, "fails_first": fails_first, "refuses": refuses}


def respond(kind: str = "steps", items: Iterator[Event] | None = None, **options):
    """Answer with a stream. The query's ``key`` names it; ``hold`` is ``hold_headers``."""
    key = request.args["key"]
    response = sse_response(
        GENERATORS[kind](key) if items is None else items,
        on_disconnect=lambda: outcomes.setdefault(key, Outcome.CANCELLED),
        hold_headers=request.args.get("hold", 0, float),
        **options,
    )
    response.call_on_close(lambda: outcomes.setdefault(key, Outcome.COMPLETE))
    return response


def make_app(name: str) -> Flask:
    app = Flask(name)
    app.secret_key = "a key of the tests"
    app.add_url_rule("/<any(steps, fails, fails_first, refuses):kind>", "stream", respond)
    app.add_url_rule("/page", "page", lambda: "a page " * 200)
    return app


def wrap_views(app: Flask, wrap) -> None:
    """Put a decorator around the view that streams."""
    app.view_functions["stream"] = wrap(app.view_functions["stream"])


def dispatch(apps: Mapping[str, Flask], control: Flask):
    """Serve each app below its name, and the control's routes beside them."""

    @control.get("/go/<key>")
    def go(key: str):
        released.setdefault(key, threading.Event()).set()
        return {}

    @control.get("/outcome/<key>")
    def outcome(key: str):
        return {"outcome": outcomes.get(key)}

    return DispatcherMiddleware(control, {f"/{name}": app for name, app in apps.items()})
