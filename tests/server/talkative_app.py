"""An app that prints much, for a log without a reader."""

import sys

from flask import Flask

from flask_sluice import Event, sse_response

app = Flask(__name__)


@app.get("/print")
def print_much() -> str:
    for _ in range(100):
        print("x" * 9_999, file=sys.stderr)
    return "printed"


@app.get("/stream")
def stream():
    def events():
        for number in range(20):
            app.logger.warning("event %d", number)
            yield Event(str(number))

    return sse_response(events())
