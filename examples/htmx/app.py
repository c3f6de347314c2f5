"""An answer that grows in the page: htmx puts each event into the document, and the page has no script of its own."""

import os
import re
import time
from collections.abc import Iterator

from flask import Flask, Response, render_template, request
from markupsafe import Markup

from flask_sluice import Event, sse_response

app = Flask(__name__)
# The attributes of htmx 2 and htmx 4 differ (templates/answer.html); the events are the same.
app.config["HTMX"] = os.environ.get("HTMX", "2")

PIECE = Markup("<span>{}</span>")
EMPTY_ANSWER = '<p id="text" hx-swap-oob="innerHTML"></p>'
FAILURE = '<strong role="alert">The answer broke off here.</strong>'


@app.get("/")
def index() -> str:
    return render_template("index.html")


@app.get("/ask")
def ask() -> str:
    return render_template("answer.html", question=request.args["question"])


@app.get("/answer")
def answer() -> Response:
    pieces_read = request.headers.get("Last-Event-ID", 0, int)
    events = answer_events(request.args["question"], pieces_read)
    return sse_response(events, retry=1000, error_event=failure)


def answer_events(question: str, pieces_read: int) -> Iterator[Event]:
    """Yield the pieces that the page does not have yet, then the event at which htmx closes the connection."""
    if not pieces_read:
        # A page that htmx connects again without an id still shows what it read before.
        yield Event(data=EMPTY_ANSWER)
    for number, piece in enumerate(write_answer(question), start=1):
        if number > pieces_read:
            yield Event(data=PIECE.format(piece), id=str(number))
    yield Event(event="done", data="")


def failure(_error: Exception) -> Event:
    """Tell the user of an exception, by the event that closes: after any other one the browser would ask again."""
    return Event(event="done", data=FAILURE)


def write_answer(question: str) -> Iterator[str]:
    """Yield an answer in pieces, some of them white space only. This stands for a language model."""
    yield "You asked:"
    yield "\n\n"
    for piece in re.findall(r"\S+|\s+", question):
        # When the user leaves, GeneratorExit is raised here.
        time.sleep(0.03)
        if piece == "fail":
            raise ConnectionError("the language model does not answer")
        yield piece
