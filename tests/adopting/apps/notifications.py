"""In the shape of CTFd (``CTFd/utils/events``): each client has a queue, and a ping is an event.

The events are objects of which the view takes the text, without a space behind the colon. The generator never ends by itself.
"""

import json
import queue
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request, stream_with_context

from tests.adopting.notes import Notes


class ServerSentEvent:
    def __init__(self, data: object, kind: str | None = None, number: int | None = None) -> None:
        self._data = data if isinstance(data, str) else json.dumps(data)
        self._kind = kind
        self._number = number

    def __str__(self) -> str:
        lines = [f"data:{line}" for line in self._data.splitlines()]
        if self._kind is not None:
            lines.insert(0, f"event:{self._kind}")
        if self._number is not None:
            lines.append(f"id:{self._number}")
        return "\n".join(lines) + "\n\n"


class Events:
    """Those who listen, and what they are told."""

    def __init__(self) -> None:
        self._queues: dict[str, queue.Queue[ServerSentEvent]] = {}

    @property
    def listeners(self) -> list[str]:
        return list(self._queues)

    def publish(self, event: ServerSentEvent) -> None:
        for waiting in list(self._queues.values()):
            waiting.put(event)

    def subscribe(self, key: str, seconds: float) -> Iterator[ServerSentEvent]:
        """Yield the events from now on, and a ping at first and after so many silent seconds."""
        waiting: queue.Queue[ServerSentEvent] = queue.Queue()
        self._queues[key] = waiting
        try:
            yield ServerSentEvent("ping", kind="ping")
            while True:
                try:
                    event = waiting.get(timeout=seconds)
                except queue.Empty:
                    event = ServerSentEvent("ping", kind="ping")
                yield event
        finally:
            del self._queues[key]


def create_app(_folder: Path) -> Flask:
    app = Flask(__name__)
    notes = Notes(app)
    events = Events()

    @app.get("/events")
    def subscribe() -> Response:
        @stream_with_context
        def generate() -> Iterator[str]:
            key, seconds = request.args["key"], request.args.get("ping", 5, float)
            try:
                for event in events.subscribe(key, seconds):
                    yield str(event)
            finally:
                notes.add(key, "generator over")

        return Response(generate(), mimetype="text/event-stream")

    @app.post("/events")
    def publish() -> dict[str, list[str]]:
        number = request.args.get("number", 1, int)
        events.publish(ServerSentEvent({"title": "Hint"}, kind="notification", number=number))
        events.publish(ServerSentEvent("two\nlines", kind="notification"))
        return {"told": events.listeners}

    @app.get("/listeners")
    def listeners() -> dict[str, list[str]]:
        return {"keys": events.listeners}

    return app
