"""The same page with answers that are kept: each is generated once, however often its page reconnects."""

import os
from collections.abc import Iterator

from echoed_answer import EMPTY_ANSWER, PIECE, write_answer
from flask import Flask, Response, render_template, request, url_for

from flask_sluice import Event, Sluice

app = Flask(__name__)
app.config["HTMX"] = os.environ.get("HTMX", "2")
# Without Redis an answer is kept by its worker, so there has to be one worker only.
app.config["SLUICE_REDIS_URL"] = os.environ.get("REDIS_URL")
sluice = Sluice(app)


@app.get("/")
def index() -> str:
    return render_template("index.html")


@app.post("/ask")
def ask() -> str:
    question = request.form["question"]
    kept = sluice.streams.start(answer_events(question))
    stream = url_for("answer", stream_id=kept.id)
    return render_template("answer.html", question=question, stream=stream)


@app.get("/answers/<stream_id>")
def answer(stream_id: str) -> Response:
    return sluice.streams.response(stream_id, retry=1000)


def answer_events(question: str) -> Iterator[Event]:
    """Yield the whole answer. Sluice numbers the events, sends a page those that it does not have, and adds `event: done`."""
    yield Event(data=EMPTY_ANSWER)
    for piece in write_answer(question):
        yield Event(data=PIECE.format(piece))
