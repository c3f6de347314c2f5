"""In the shape of pgAdmin (``web/pgadmin/llm/reports``): a report in stages, streamed by gunicorn's gthread.

Each event is bytes, behind a comment that fills a proxy's buffer. The generator uses the request, the session and ``g``.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, g, request, session, stream_with_context

from tests.adopting.notes import Notes, Question, answer

_LEAST_BYTES = 2048


def event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields})
    padding = "." * (_LEAST_BYTES - len(data))
    return f": {padding}\ndata: {data}\n\n".encode()


def stages(question: Question) -> Iterator[bytes]:
    try:
        yield event("stage", stage="planning", user=session["user"], role=g.role)
        text = ""
        for number, word in enumerate(answer(question)):
            text += word
            yield event("progress", completed=number, total=question.words)
        yield event("complete", report=text, path=request.path)
    except ConnectionError as error:
        yield event("error", message=f"No report: {error}")


def opened(events: Iterator[bytes]) -> Iterator[bytes]:
    yield b": connected\nretry: 3000\n\n"
    yield from events


def create_app(_folder: Path) -> Flask:
    app = Flask(__name__)
    app.secret_key = "not one"
    notes = Notes(app)

    @app.before_request
    def set_role() -> None:
        g.role = "auditor"

    def noted(events: Iterator[bytes]) -> Iterator[bytes]:
        key = request.args["key"]
        try:
            yield from events
        finally:
            notes.add(key, "generator over")

    @app.get("/report")
    def report() -> Response:
        session["user"] = request.args.get("user", "ann")
        response = Response(
            stream_with_context(opened(noted(stages(Question.of_request())))),
            mimetype="text/event-stream",
            headers={
                "Cache-Control": "no-cache, no-store, must-revalidate",
                "Pragma": "no-cache",
                "Expires": "0",
                "Connection": "keep-alive",
                "X-Accel-Buffering": "no",
            },
        )
        response.direct_passthrough = True
        return response

    return app
