"""Readers of a stream each, and of channels: the same events at the same times."""

import itertools
import os
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response

from flask_sluice import Event, Sluice, sse_response

READERS = 1000
EVENTS_PER_SECOND = 2
"""Of each reader."""
DATA = {"kind": "done", "text": "x" * 100}

app = Flask(__name__)
app.config["SLUICE_REDIS_URL"] = os.environ.get("COSTING_REDIS_URL")
sluice = Sluice(app)
is_publishing = threading.Event()


def times(number: int) -> Iterator[float]:
    """Yield when the events of one of ``READERS`` are due, in monotonic seconds: those of all are evenly spread."""
    start = number / READERS / EVENTS_PER_SECOND
    for count in itertools.count(int(time.monotonic() * EVENTS_PER_SECOND) + 1):
        yield start + count / EVENTS_PER_SECOND


def sleep_until(due: float) -> None:
    time.sleep(max(0.0, due - time.monotonic()))


@app.get("/direct/<int:number>")
def direct(number: int) -> Response:
    def events() -> Iterator[Event]:
        for due in times(number):
            sleep_until(due)
            yield Event.json(DATA)

    return sse_response(events())


@app.get("/channel/<int:number>")
def channel(number: int) -> Response:
    return sluice.channels.response(f"channel-{number}")


@app.post("/publish/<int:channels>")
def publish(channels: int) -> str:
    """Publish from this process, to each channel as often as ``direct`` yields, until ``DELETE``."""

    def run(number: int) -> None:
        for due in times(number * READERS // channels):
            sleep_until(due)
            if not is_publishing.is_set():
                return
            sluice.channels.publish(f"channel-{number}", DATA)

    is_publishing.set()
    for number in range(channels):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    return ""


@app.delete("/publish")
def stop_publishing() -> str:
    is_publishing.clear()
    return ""
