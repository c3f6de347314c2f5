"""The foreign app, with what tests need that have a proxy before it: requests as they arrive, events when told."""

from collections import defaultdict
from collections.abc import Iterator

from flask import request
from gevent.queue import Queue

from flask_sluice import sse_response
from flask_sluice.sse import Event
from tests.server.foreign_app import app

_seen: list[dict[str, object]] = []
_given: defaultdict[str, Queue] = defaultdict(Queue)


@app.before_request
def note() -> None:
    if request.path.startswith(("/tell", "/seen", "/inspect", "/ended", "/produced")):
        return
    seen = {
        "method": request.method,
        "path": request.path,
        "query": request.query_string.decode("latin-1"),
        "headers": [[name.lower(), value] for name, value in request.headers],
        "remote_address": request.remote_addr,
        "body": request.get_data().decode("latin-1"),
    }
    _seen.append(seen)


@app.get("/seen")
def seen():
    """All requests that have arrived, but for those of this kind."""
    return _seen


@app.route("/echo", methods=["GET", "POST"])
def echo():
    return "echo"


@app.get("/sends")
def sends():
    """An answer with the headers that the query names."""
    return "the app's", 200, request.args.to_dict()


@app.get("/told")
def told():
    """A stream of what ``/tell`` is given, event by event."""
    return sse_response(
        told_events(request.args["key"]), keepalive=request.args.get("keepalive", 15, float)
    )


def told_events(key: str) -> Iterator[Event]:
    while True:
        yield Event(data=_given[key].get())


@app.get("/tell")
def tell():
    _given[request.args["key"]].put(request.args["text"])
    return {}


__all__ = ["app"]
