"""An app of somebody who has installed flask-sluice."""

import time
from collections.abc import Iterator

from flask import Flask

from flask_sluice import Event, sse_response

app = Flask(__name__)
ended: list[str] = []


def count_to(last: int) -> Iterator[Event]:
    for number in range(1, last + 1):
        yield Event.json({"number": number}, id=str(number))


def wait() -> Iterator[Event]:
    try:
        yield Event(data="waiting")
        time.sleep(600)
    finally:
        ended.append("wait")


def tick() -> Iterator[Event]:
    try:
        while True:
            yield Event(data="tick")
            time.sleep(0.1)
    finally:
        ended.append("tick")


@app.get("/count")
def count():
    return sse_response(count_to(3))


@app.get("/wait")
def wait_for_ever():
    return sse_response(wait())


@app.get("/tick")
def tick_for_ever():
    return sse_response(tick())


@app.get("/ended")
def show_ended():
    return {"ended": ended}
