"""``stream_with_context`` inside of other items, which Flask before 3.1.2 cannot pop where the generator runs."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

import pytest
from flask import Flask, Response, has_request_context, request, stream_with_context
from werkzeug.wsgi import ClosingIterator

from flask_sluice import sse_response

PUSHES_IN_THE_VIEW = tuple(map(int, version("flask").split(".")[:3])) < (3, 1, 2)
BODY = b"data: /\n\n"


def generate() -> Iterator[str]:
    yield f"data: {request.path}\n\n"


def after_a_comment(items: Iterable[str]) -> Iterator[str]:
    yield ":\n\n"
    yield from items


AROUND: dict[str, Callable[[Iterable[str]], Iterable[str]]] = {
    "chain": lambda items: itertools.chain([":\n\n"], items),
    "map": lambda items: map(str, items),
    "ClosingIterator": lambda items: ClosingIterator(items, [lambda: None]),
    "generator": after_a_comment,
    "generator expression": lambda items: (item for item in items),
}


def client(view: Callable[[], Response]):
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", view)
    return app.test_client()


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_outermost_it_always_works(around):
    reader = client(lambda: sse_response(stream_with_context(around(generate()))))
    assert BODY in reader.get("/").data
    assert not has_request_context()


@pytest.mark.skipif(PUSHES_IN_THE_VIEW, reason="this Flask pushes the context in the view")
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_inside_it_works_with_flask_from_3_1_2_on(around):
    reader = client(lambda: sse_response(around(stream_with_context(generate()))))
    assert BODY in reader.get("/").data
    assert not has_request_context()
