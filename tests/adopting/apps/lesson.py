"""In the shape of ai-shifu (``src/api/flaskr/service/learn``): a lesson that a database session lives through.

The rows of a lesson are committed at its end, and rolled back when the client leaves, which is logged. An exception becomes
an event. With ``producer``, a thread runs the lesson while the view's generator sends heartbeats and holds the lesson's lock.
"""

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request, stream_with_context
from flask_sqlalchemy import SQLAlchemy

from tests.adopting.notes import Notes, Question, answer

db = SQLAlchemy()


class Block(db.Model):  # type: ignore[name-defined, misc]
    id = db.Column(db.Integer, primary_key=True)
    key = db.Column(db.String)
    text = db.Column(db.String)


def line(message: object) -> str:
    return "data: " + json.dumps(message, ensure_ascii=False) + "\n\n"


def run(question: Question) -> Iterator[dict[str, object]]:
    for word in answer(question):
        db.session.add(Block(key=question.key, text=word))
        yield {"type": "content", "content": word}
    yield {"type": "break", "content": ""}


def run_in_thread(
    app: Flask, lock: threading.Lock, question: Question
) -> Iterator[dict[str, object]]:
    """Yield what a thread makes, and a heartbeat in every silence."""
    is_stopped = threading.Event()
    made: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()

    def produce() -> None:
        with app.app_context():
            for message in run(question):
                if is_stopped.is_set():
                    db.session.rollback()
                    return
                made.put(("message", message))
            db.session.commit()
            made.put(("end", None))

    with lock:
        thread = threading.Thread(target=produce, daemon=True)
        thread.start()
        try:
            while True:
                try:
                    kind, message = made.get(timeout=0.1)
                except queue.Empty:
                    yield {"type": "heartbeat"}
                    continue
                if kind == "end":
                    return
                yield message  # type: ignore[misc]
        finally:
            is_stopped.set()


def create_app(folder: Path) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder}/lesson.db"
    db.init_app(app)
    with app.app_context():
        db.create_all()
    notes = Notes(app)
    lock = threading.Lock()

    def messages(question: Question) -> Iterator[dict[str, object]]:
        if "producer" in request.args:
            yield from run_in_thread(app, lock, question)
            return
        yield from run(question)
        db.session.commit()

    @app.put("/lesson")
    def lesson() -> Response:
        question = Question.of_request()

        def generate() -> Iterator[str]:
            try:
                for message in messages(question):
                    yield line(message)
            except GeneratorExit:
                db.session.rollback()
                notes.add(question.key, "the client has left")
                raise
            except Exception as error:  # noqa: BLE001 - its client is told
                db.session.rollback()
                yield line({"type": "error", "content": str(error)})
            finally:
                notes.add(question.key, "generator over")

        return Response(
            stream_with_context(generate()),
            headers={"Cache-Control": "no-cache"},
            mimetype="text/event-stream",
        )

    @app.get("/blocks/<key>")
    def blocks(key: str) -> dict[str, list[str]]:
        return {"texts": list(db.session.scalars(db.select(Block.text).filter_by(key=key)))}

    @app.get("/lock")
    def is_locked() -> dict[str, bool]:
        return {"locked": lock.locked()}

    return app
