"""An answer that grows in the page: htmx puts each event into the document."""

import os
from collections.abc import Iterator

from echoed_answer import EMPTY_ANSWER, PIECE, write_answer
from flask import Flask, Response, render_template, request, url_for

from flask_sluice import Event, sse_response

app = Flask(__name__)
# The attributes of htmx 2 and htmx 4 differ (templates/answer.html); the events are the same.
app.config["HTMX"] = os.environ.get("HTMX", "2")


@app.get("/")
def index() -> str:
    return render_template("index.html")


@app.post("/ask")
def ask() -> str:
    question = request.form["question"]
    stream = url_for("answer", question=question)
    return render_template("answer.html", question=question, stream=stream)


@app.get("/answer")
def answer() -> Response:
    pieces_read = request.headers.get("Last-Event-ID", 0, int)
    events = answer_events(request.args["question"], pieces_read)
    return sse_response(events, retry=1000)


def answer_events(question: str, pieces_read: int) -> Iterator[Event]:
    """Yield the pieces that the page does not have yet, then the event at which htmx closes the connection."""
    if not pieces_read:
        # A page that htmx connects again without an id still shows what it read before.
        yield Event(data=EMPTY_ANSWER)
    for number, piece in enumerate(write_answer(question), start=1):
        if number > pieces_read:
            yield Event(data=PIECE.format(piece), id=str(number))
    yield Event(event="done", data="")
