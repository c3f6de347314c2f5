"""The shop of flask_sse_app.py, with Flask-SSE and moved over to channels, and what reads its events."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flask_sluice.sse import EventParser, ReceivedEvent
from tests.support.readme import code_blocks
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, ask, get, post
from tests.system.redis_server import RedisServer

SOURCE = (Path(__file__).parent / "flask_sse_app.py").read_text()
MODULE, _ = code_blocks("python", (ROOT / "docs/from-flask-sse.md").read_text())
MOVE = (
    ("from flask_sse import sse", "import sse"),
    ('app.config["REDIS_URL"]', 'app.config["SLUICE_REDIS_URL"]'),
    (
        "app.register_blueprint(sse,",
        "sse.sluice.init_app(app)\napp.register_blueprint(sse.blueprint,",
    ),
)
"""What the page has an app change, beside its new module."""


def moved() -> str:
    """Return the app with what the page has it change, each once."""
    source = SOURCE
    for before, after in MOVE:
        assert source.count(before) == 1
        source = source.replace(before, after)
    return source


class Reader:
    """Does with a stream what EventSource does."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._response: Response | None = None
        self._parser = EventParser()
        self._events: list[ReceivedEvent] = []

    @property
    def response(self) -> Response:
        """Flask-SSE sends the head with the first event."""
        if self._response is None:
            self._response = Response(self._sock)
        return self._response

    def take(self, count: int) -> list[ReceivedEvent]:
        """Return so many events as they come."""
        while len(self._events) < count:
            self._events += self._parser.feed(self.response.chunk())
        taken, self._events = self._events[:count], self._events[count:]
        return taken


class Variant(NamedTuple):
    """The app on a server, with Flask-SSE or moved over."""

    server: Server
    folder: Path
    redis: RedisServer
    is_moved: bool

    @contextmanager
    def reading(self, channel: str = "sse", **headers: str) -> Iterator[Reader]:
        """A client that reads when the block begins, and leaves at its end."""
        others = subscribers(self.redis)
        with self.server.connect() as sock:
            sock.sendall(
                get(f"/stream?channel={channel}" if channel != "sse" else "/stream", **headers)
            )
            reader = Reader(sock)
            if not self.is_moved:
                wait_until(lambda: subscribers(self.redis) - others)
            elif not headers:
                reader.response.until(b"id: ")
            yield reader

    def post(self, path: str, body: object = None) -> None:
        assert ask(self.server, post(path, body))[0].status == 201

    def page(self) -> str:
        return ask(self.server, get("/"))[1].decode()


def subscribers(redis: RedisServer) -> set[str]:
    """Return the connections on which Redis announces what is published."""
    return {client["id"] for client in redis.client.client_list(_type="pubsub")}


class Pair(NamedTuple):
    before: Variant
    after: Variant
