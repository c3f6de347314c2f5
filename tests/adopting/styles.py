"""A Flask app whose views yield events in all the styles that there are, before and after ``sse_response``."""

import io
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from flask import Flask, Response, request, stream_with_context
from markupsafe import Markup
from werkzeug.wsgi import ClosingIterator, FileWrapper

from flask_sluice import sse_response
from tests.adopting.notes import Notes

app = Flask(__name__)
notes = Notes(app)

WHOLE = ["data: a\n\n", "event: b\ndata: b\n\n", "id: 3\ndata: c\n\n"]
LONG = "x" * 3_000_000


class Shouted(str):
    """A str that has more to it."""

    __slots__ = ()


class Counted:
    """An iterable that is not an iterator, and has no ``close``."""

    def __iter__(self) -> Iterator[str]:
        return (f"data: {number}\n\n" for number in range(3))


def nested() -> Iterator[str]:
    yield "data: first\n\n"
    returned = yield from inner()
    yield f"data: {returned}\n\n"


def inner() -> Iterator[str]:
    yield from WHOLE
    return "returned"


def in_an_app_context() -> Iterator[str]:
    with app.app_context():
        yield from WHOLE


def with_context() -> Iterator[str]:
    yield f"data: {request.path.rpartition('/')[2]}\n\n"
    yield from WHOLE


def catches_its_own_error() -> Iterator[str]:
    try:
        yield "data: a\n\n"
        raise ValueError("not today")
    except ValueError as error:
        yield f"event: error\ndata: {error}\n\n"
    finally:
        yield "data: [DONE]\n\n"


STYLES: dict[str, Callable[[], Iterable[str | bytes]]] = {
    # Iterables of every kind.
    "list": lambda: list(WHOLE),
    "tuple": lambda: tuple(WHOLE),
    "deque": lambda: deque(WHOLE),
    "keys of a dict": lambda: dict.fromkeys(WHOLE).keys(),
    "iterator": lambda: iter(WHOLE),
    "iterable": Counted,
    "chain": lambda: itertools.chain([": begin\n\n"], inner(), ["data: last\n\n"]),
    "map": lambda: map(str.lower, WHOLE),
    "filter": lambda: filter(None, ["", *WHOLE]),
    "islice": lambda: itertools.islice(itertools.cycle(WHOLE), 7),
    "callable and sentinel": lambda: iter(iter([*WHOLE, ""]).__next__, ""),
    "nested yield from": nested,
    "ClosingIterator": lambda: ClosingIterator(inner(), [lambda: None]),
    "FileWrapper": lambda: FileWrapper(io.BytesIO("".join(WHOLE).encode()), 5),
    "lines of a file": lambda: io.BytesIO("".join(WHOLE).encode()),
    "stream_with_context": lambda: stream_with_context(with_context()),
    "stream_with_context of a list": lambda: stream_with_context(WHOLE),
    "app_context": in_an_app_context,
    "nothing": lambda: iter(()),
    # Items.
    "bytes": lambda: (item.encode() for item in WHOLE),
    "bytes and text": lambda: iter([b"data: a\n\n", "data: b\n\n"]),
    "subclass of str": lambda: map(Shouted, WHOLE),
    "Markup": lambda: iter([Markup("data: <b>%s</b>\n\n") % "<i>", Markup("data: b\n\n")]),
    "empty text": lambda: iter(["", "data: a\n\n", "", "", "data: b\n\n", ""]),
    "empty bytes": lambda: iter([b"", b"data: a\n\n", b""]),
    "several in one": lambda: iter(["".join(WHOLE), "".join(WHOLE)]),
    "unicode": lambda: iter(["data: äöü 你好 🎈 \u2028 \u0085 \x1f\n\n", "data: e\u0301\n\n"]),
    "long line": lambda: iter([f"data: {LONG}\n\n", "data: end\n\n"]),
    "long line in pieces": lambda: itertools.chain(
        ["data: "], (LONG[at : at + 4096] for at in range(0, len(LONG), 4096)), ["\n\n"]
    ),
    "many lines": lambda: iter(["data: line\n" * 20_000 + "\n"]),
    # Events that are cut.
    "name apart from data": lambda: iter(
        ["event: a\n", "data: 1\n\n", "event: b\n", "data: 2\n\n"]
    ),
    "line by line": lambda: iter(["id: 1\n", "event: a\n", "data: x\n", "data: y\n", "\n"]),
    "line end apart": lambda: iter(["data: a", "\n\n", "data: b", "\n", "\n"]),
    "character by character": lambda: iter("".join(WHOLE)),
    "byte by byte": lambda: (bytes([byte]) for byte in "data: ä🎈\n\n: ö\n\n".encode()),
    "across two items": lambda: iter(["data: a\n\ndata: ", "b\n\ndata", ": c\n\n"]),
    "colon without a space": lambda: iter(["data:a\n\n", "event:b\n", "data:b\n\n"]),
    "no colon": lambda: iter(["data\n\n", "data\ndata\n\n"]),
    # Line ends.
    "CRLF": lambda: iter(["data: a\r\n\r\n", "event: b\r\ndata: b\r\n\r\n"]),
    "CRLF cut in two": lambda: iter(
        ["data: a\r\n\r", "\ndata: b\r", "\n\r\n", "data: c\r\n", "\r\n"]
    ),
    "CR": lambda: iter(["data: a\r\r", "data: b\rdata: c\r\r"]),
    "mixed": lambda: iter(["data: a\r\n\n", "data: b\n\r\n", "data: c\r\n\r\n"]),
    "blank lines between": lambda: iter(["\n", "data: a\n\n", "\n", "\n\n", "data: b\n\n\n\n"]),
    # What is no message.
    "comments": lambda: iter([": ping\n\n", "data: a\n\n", ":\n\n", ": pong\n\n"]),
    "comments without a blank line": lambda: iter([": ping\n", "data: a\n\n", ":\n", ": pong\n"]),
    "comment in the middle": lambda: iter(["event: a\n", ": ping\n", "data: a\n\n"]),
    "padding": lambda: iter([":" + " " * 2048 + "\n", "data: a\n\n"]),
    "retry": lambda: iter(
        ["retry: 3000\n", "data: a\n\n", "retry: 1\n\n", "retry: 2\ndata: b\n\n"]
    ),
    "id without data": lambda: iter(["id: 7\n\n", "data: a\n\n"]),
    "event without data": lambda: iter(["event: ping\n\n", "event: ping\n\n", "data: a\n\n"]),
    "unknown field": lambda: iter(["foo: bar\ndata: a\n\n", "data: b\nfoo\n\n"]),
    "JSON over several lines": lambda: iter(['data: {\ndata: "a": 1\ndata: }\n\n']),
    "byte order mark": lambda: iter(["\ufeffdata: a\n\n", "data: b\n\n"]),
    # The end.
    "goes on after done": lambda: iter(
        ["data: [DONE]\n\n", "data: usage\n\n", "event: done\ndata\n\n"]
    ),
    "done in the same item": lambda: iter(["data: a\n\ndata: [DONE]\n\n"]),
    "catches its own error": catches_its_own_error,
}


@app.get("/before/<style>")
def before(style: str) -> Response:
    return Response(STYLES[style](), mimetype="text/event-stream")


@app.get("/after/<style>")
def after(style: str) -> Response:
    return sse_response(STYLES[style]())
