"""In the shape of dify (``api/libs/helper.py`` and its rate limit).

A thread works and puts messages into a queue, which the view's generator reads. A class with ``close()`` counts the open
requests around it, and one helper makes the response of either a mapping or the generator.
"""

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from flask import Flask, Response, jsonify, request, stream_with_context

from tests.adopting.notes import Notes, Question, answer

PING = "ping"


class OpenRequests:
    """How many requests are being answered, of which a tenant may have so many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: set[str] = set()

    def enter(self, key: str) -> None:
        if len(self._keys) >= self._limit:
            raise OverflowError("too many requests")
        self._keys.add(key)

    def leave(self, key: str) -> None:
        self._keys.discard(key)

    def __contains__(self, key: str) -> bool:
        return key in self._keys


class MeteredAnswer:
    """An iterator with ``close()``, and not a generator: gives its place back when it is over."""

    def __init__(self, requests: OpenRequests, messages: Iterator[str], key: str) -> None:
        self._requests = requests
        self._messages = messages
        self._key = key
        self._is_closed = False
        requests.enter(key)

    def __iter__(self) -> "MeteredAnswer":
        return self

    def __next__(self) -> str:
        if self._is_closed:
            raise StopIteration
        try:
            return next(self._messages)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._requests.leave(self._key)
            self._messages.close()  # type: ignore[attr-defined]


class Work(threading.Thread):
    """Answers in a thread of its own, and stops once nothing listens any more."""

    def __init__(self, app: Flask, notes: Notes, question: Question) -> None:
        super().__init__(daemon=True)
        self._app = app
        self._notes = notes
        self._question = question
        self.messages: queue.Queue[object] = queue.Queue()
        self.is_stopped = threading.Event()

    def run(self) -> None:
        with self._app.app_context():
            try:
                self.messages.put(PING)
                for number, word in enumerate(answer(self._question)):
                    if self.is_stopped.is_set():
                        self._notes.add(f"work of {self._question.key}", "stopped")
                        return
                    self.messages.put({"event": "message", "answer": word, "number": number})
                self.messages.put({"event": "message_end"})
            except ConnectionError as error:
                self.messages.put({"event": "error", "message": str(error)})
            self.messages.put(None)


def listen(work: Work, notes: Notes, key: str) -> Iterator[Mapping[str, object] | str]:
    work.start()
    try:
        while True:
            try:
                message = work.messages.get(timeout=1)
            except queue.Empty:
                yield PING
                continue
            if message is None:
                return
            yield message
    finally:
        work.is_stopped.set()
        notes.add(key, "generator over")


def as_text(messages: Iterator[Mapping[str, object] | str]) -> Iterator[str]:
    for message in messages:
        if isinstance(message, str):
            yield f"event: {message}\n\n"
        else:
            yield f"data: {json.dumps(message)}\n\n"


def respond(answered: Mapping[str, object] | MeteredAnswer) -> Response:
    if isinstance(answered, Mapping):
        return jsonify(answered)

    def generate() -> Iterator[str]:
        yield from answered

    return Response(stream_with_context(generate()), status=200, mimetype="text/event-stream")


def create_app(_folder: Path) -> Flask:
    app = Flask(__name__)
    notes = Notes(app)
    requests = OpenRequests(limit=100)

    @app.post("/answers")
    def answers() -> Response:
        question = Question.of_request()
        if request.args.get("response_mode") == "blocking":
            return respond({"answer": "".join(answer(question))})
        messages = as_text(listen(Work(app, notes, question), notes, question.key))
        return respond(MeteredAnswer(requests, messages, question.key))

    @app.get("/open/<key>")
    def is_open(key: str) -> dict[str, bool]:
        return {"open": key in requests}

    return app
