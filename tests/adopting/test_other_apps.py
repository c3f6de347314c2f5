"""Patterns of Flask's own documentation that a stream may be in, before and after."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, g, stream_with_context

from flask_sluice import sse_response

MAKERS: dict[str, Callable[..., Response]] = {
    "before": lambda items: Response(items, mimetype="text/event-stream"),
    "after": sse_response,
}


@pytest.fixture(params=MAKERS)
def make(request) -> Callable[[Iterator[str]], Response]:
    return MAKERS[request.param]


def app_with_database(make: Callable[..., Response], path: Path, closed: list[str]) -> Flask:
    """A connection in ``g`` for each request, closed when the context is torn down."""
    app = Flask(__name__)

    def get_db() -> sqlite3.Connection:
        if "db" not in g:
            # The generator has a thread of its own on servers with threads.
            g.db = sqlite3.connect(path, check_same_thread=False)
        return g.db

    @app.teardown_appcontext
    def close_db(_error: BaseException | None) -> None:
        db = g.pop("db", None)
        if db is not None:
            db.close()
            closed.append("closed")

    @app.get("/")
    def view() -> Response:
        get_db().execute("CREATE TABLE IF NOT EXISTS answers (text)")

        @stream_with_context
        def generate() -> Iterator[str]:
            for number in range(3):
                get_db().execute("INSERT INTO answers VALUES (?)", [f"row {number}"])
                yield f"data: {number}\n\n"
            get_db().commit()

        return make(generate())

    return app


def rows(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        return [text for (text,) in db.execute("SELECT text FROM answers")]


def test_a_connection_in_g_serves_the_generator_and_is_closed_after_it(make, tmp_path):
    closed: list[str] = []
    client = app_with_database(make, tmp_path / "answers.db", closed).test_client()
    assert client.get("/").data.count(b"data: ") == 3
    assert rows(tmp_path / "answers.db") == ["row 0", "row 1", "row 2"]
    # Flask tears the context down after the view, and once more after the generator.
    assert closed[-1:] == ["closed"]


def test_a_connection_in_g_is_closed_uncommitted_when_the_client_leaves(make, tmp_path):
    closed: list[str] = []
    client = app_with_database(make, tmp_path / "answers.db", closed).test_client()
    response = client.get("/")
    chunks = response.iter_encoded()
    while b"data: 1" not in next(chunks):
        assert len(closed) <= 1
    response.close()
    assert rows(tmp_path / "answers.db") == []
    assert closed[-1:] == ["closed"]


def test_a_lock_that_the_view_takes_is_released_by_the_generator(make):
    app = Flask(__name__)
    lock = threading.Lock()

    @app.get("/")
    def view() -> Response:
        lock.acquire()

        def generate() -> Iterator[str]:
            try:
                yield "data: a\n\n"
            finally:
                lock.release()

        return make(generate())

    app.test_client().get("/").get_data()
    assert not lock.locked()
