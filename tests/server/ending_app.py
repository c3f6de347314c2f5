"""A Flask app of somebody, whose process ends while its streams run; writes to the file ``ENDED`` how each generator ended."""

import os
import time
from pathlib import Path

from flask import Flask, request, stream_with_context

from flask_sluice import Event, StreamContext, sse_response

app = Flask(__name__)


def note(text):
    with Path(os.environ["ENDED"]).open("a") as ended:
        ended.write(f"{text}\n")


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/silent")
def silent():
    context = StreamContext()

    def generate():
        yield Event(data="begun")
        note(f"silent {context.wait(3600)}")

    return sse_response(generate(), context=context)


@app.get("/talkative")
def talkative():
    def generate():
        try:
            while True:
                yield Event(data="begun")
                time.sleep(0.01)
        except GeneratorExit:
            note("talkative GeneratorExit")
            raise

    return sse_response(generate())


@app.get("/wrapped")
def wrapped():
    def generate():
        try:
            while True:
                yield Event(data=f"begun {request.path}")
                time.sleep(0.01)
        except GeneratorExit:
            note(f"wrapped {request.path}")
            raise

    return sse_response(stream_with_context(generate()))


def sleeper():
    yield Event(data="begun")
    time.sleep(3600)


@app.get("/stuck")
def stuck():
    return sse_response(sleeper())


@app.get("/stuck-and-wrapped")
def stuck_and_wrapped():
    return sse_response(stream_with_context(sleeper()))


@app.get("/saving")
def saving():
    def generate():
        yield Event(event="done", data="begun")
        time.sleep(2.5)
        note("saving saved")

    return sse_response(generate())
