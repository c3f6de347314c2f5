"""A program that is checked with ``mypy --strict`` against the wheel."""

from collections.abc import Iterator

from flask import Flask, Response

from flask_sluice import Event, StreamContext, sse_response
from flask_sluice.client import SSEClient, StreamEvent

app = Flask(__name__)


def answer(context: StreamContext) -> Iterator[Event]:
    yield Event(data="a", event="token", id="1")
    yield Event.json({"b": 1})
    if context.is_stopped:
        return


@app.get("/answer")
def show() -> Response:
    context = StreamContext()
    return sse_response(answer(context), keepalive=15, context=context)


def read(url: str) -> list[StreamEvent]:
    with SSEClient(url).stream("GET", "/answer") as stream:
        return list(stream)


Event(data=1)  # the one line that is wrong
