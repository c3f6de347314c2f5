"""A Flask app whose streams are passed on to the reader that asks for them, or kept: the same generators in both."""

import itertools
import math
import os
import time
from collections.abc import Iterator

from flask import Flask, Response, request

from benchmarks.event import SEND_TIME_DIGITS
from flask_sluice import Event, Sluice, sse_response

BUNCH_SECONDS = 0.01
"""Where events come in bunches, those of all streams that are due within this time come together."""

app = Flask(__name__)
app.config |= {"SLUICE_REDIS_URL": os.environ.get("KEPT_REDIS_URL"), "SLUICE_HISTORY_SECONDS": 30}
sluice = Sluice(app)


_runs = itertools.count(1)
_latest: list[int] = [0]
"""The number of the run whose streams go on. Those of others end at their next event."""


@app.get("/direct/<int:number>")
def direct(number: int) -> Response:
    return sse_response(_events(number, _latest[0]))


@app.get("/kept/<int:number>")
def kept(number: int) -> Response:
    status = sluice.streams.find(key=_key(number))
    return sluice.streams.response(status.id) if status else Response(status=404)


@app.post("/kept")
def start() -> str:
    """Begin streams, which this process goes on to produce until ``DELETE``."""
    _latest[0] = next(_runs)
    for number in range(int(request.args["streams"])):
        sluice.streams.start(_events(number, _latest[0]), key=_key(number))
    return ""


@app.delete("/kept")
def stop() -> str:
    _latest[0] = next(_runs)
    return ""


def _key(number: int) -> str:
    return f"stream-{number}"


def _events(number: int, run: int) -> Iterator[Event]:
    """Return the events of one of so many ``streams``, ``rate`` a second, spread evenly or ``bunched`` over time.

    Each has the size of a chunk of a chat completion, and the time of its sending.
    """
    arguments = request.args
    period = 1 / float(arguments["rate"])
    offset = number / int(arguments["streams"]) * period
    times = _times(period, offset, 0.0 if "evenly" in arguments else BUNCH_SECONDS)
    return _events_at(times, run)


def _events_at(times: Iterator[float], run: int) -> Iterator[Event]:
    for due in times:
        time.sleep(max(0.0, due - time.monotonic()))
        if run != _latest[0]:
            return
        sent = f"{time.monotonic_ns():0{SEND_TIME_DIGITS}}"
        yield Event.json(
            {"object": "chat.completion.chunk", "choices": [{"delta": {"content": sent}}]}
        )


def _times(period: float, offset: float, bunch: float) -> Iterator[float]:
    """Yield when events are due, in monotonic seconds. The times of all streams are counted from one."""
    first = math.ceil(time.monotonic() / period)
    for count in itertools.count(first):
        due = count * period + offset
        yield math.ceil(due / bunch) * bunch if bunch else due
