"""An answer that grows in the page: Datastar patches the document with each event of a POST's response."""

import re
import time
from collections.abc import Iterator

from datastar_py import ServerSentEventGenerator as Patch
from datastar_py.consts import ElementPatchMode
from flask import Flask, Response, render_template, request
from markupsafe import Markup

from flask_sluice import Event, sse_response

app = Flask(__name__)

PIECE = Markup("<span>{}</span>")
EMPTY_ANSWER = '<p id="text" aria-live="polite"></p>'
FAILURE = '<strong role="alert">The answer broke off here.</strong>'


@app.get("/")
def index() -> str:
    return render_template("index.html")


@app.post("/answer")
def answer() -> Response:
    # Datastar sends the page's signals as JSON, and the last id when it repeats a request that was cut.
    pieces_read = request.headers.get("Last-Event-ID", 0, int)
    return sse_response(answer_events(request.json["question"], pieces_read), error_event=failure)


def answer_events(question: str, pieces_read: int) -> Iterator[str]:
    """Yield patches for the pieces that the page does not have yet. The SDK makes whole events of them, as text."""
    if not pieces_read:
        yield Patch.patch_elements(EMPTY_ANSWER)
    for number, piece in enumerate(write_answer(question), start=1):
        if number > pieces_read:
            yield Patch.patch_elements(
                PIECE.format(piece),
                selector="#text",
                mode=ElementPatchMode.APPEND,
                event_id=str(number),
            )
    yield Patch.patch_signals({"_pieces": number})


def failure(_error: Exception) -> Event:
    """Tell the user of an exception. Datastar ignores events of other types, such as `event: error`."""
    data = f"mode append\nselector #text\nelements {FAILURE}"
    return Event(event="datastar-patch-elements", data=data)


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
