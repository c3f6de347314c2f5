"""In the shape of DocsGPT (``application/api/answer/routes`` and ``application/streaming/sse_keepalive.py``).

The generator has no request context. It saves the conversation after its last word, or what there is of it when the client
leaves, and yields two events more. Where the app is told to, a thread reads it and a queue lets comments be sent meanwhile.
"""

import contextvars
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request
from flask_sqlalchemy import SQLAlchemy

from tests.adopting.notes import Notes, Question, answer

db = SQLAlchemy()


class Conversation(db.Model):  # type: ignore[name-defined, misc]
    id = db.Column(db.Integer, primary_key=True)
    key = db.Column(db.String)
    text = db.Column(db.String)


def frame(kind: str, **fields: object) -> str:
    return f"data: {json.dumps({'type': kind, **fields})}\n\n"


def save(app: Flask, key: str, text: str) -> None:
    with app.app_context():
        db.session.add(Conversation(key=key, text=text))
        db.session.commit()


def complete_answer(app: Flask, notes: Notes, question: Question) -> Iterator[str]:
    text = ""
    try:
        for word in answer(question):
            text += word
            yield frame("answer", answer=word)
        save(app, question.key, text)
        yield frame("id", id=question.key)
        notes.add(question.key, "logged")
        yield frame("end")
    except GeneratorExit:
        notes.add(question.key, "aborted")
        save(app, question.key, text)
        raise
    except Exception as error:  # noqa: BLE001 - its client is told
        app.logger.error("the answer failed: %s", error)
        yield frame("error", error="Please try again later.")


def with_comments(frames: Iterator[str], seconds: float) -> Iterator[str]:
    """Yield a comment whenever the frames are silent for so long."""
    waiting: queue.Queue[tuple[str, str]] = queue.Queue()

    def read() -> None:
        for item in frames:
            waiting.put(("frame", item))
        waiting.put(("end", ""))

    variables = contextvars.copy_context()
    threading.Thread(target=variables.run, args=(read,), daemon=True).start()
    while True:
        try:
            kind, item = waiting.get(timeout=seconds)
        except queue.Empty:
            yield ": alive\n\n"
            continue
        if kind == "end":
            return
        yield item


def create_app(folder: Path) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder}/kept_answer.db"
    db.init_app(app)
    with app.app_context():
        db.create_all()
    notes = Notes(app)

    @app.post("/stream")
    def stream() -> Response:
        question = Question.of_request()
        frames = complete_answer(app, notes, question)
        if seconds := request.args.get("comments", 0, float):
            frames = with_comments(frames, seconds)
        return Response(frames, mimetype="text/event-stream")

    @app.get("/saved/<key>")
    def saved(key: str) -> dict[str, list[str]]:
        found = db.session.scalars(db.select(Conversation.text).filter_by(key=key))
        return {"texts": list(found)}

    return app
