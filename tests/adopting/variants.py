"""The apps before and after, on real servers and under the test client, asked in the same words."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from tests.adopting.adopt import NAMES, create_app
from tests.support.server import Server, wait_until
from tests.support.stream import Body, Response

ROUTES = {
    "metered_answer": ("POST", "/answers"),
    "kept_answer": ("POST", "/stream"),
    "notifications": ("GET", "/events"),
    "report": ("GET", "/report"),
    "lesson": ("PUT", "/lesson"),
    "agent": ("POST", "/chat"),
}
ENDING = tuple(name for name in NAMES if name != "notifications")
"""The apps whose streams end by themselves."""
GUNICORN = {
    "gthread": (os.devnull, ("-k", "gthread", "--threads", "50")),
    "gevent": ("gunicorn.conf.py", ("-k", "gevent")),
    "ours": ("gunicorn.conf.py", ()),
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Variant(Protocol):
    """The six apps, before or after, somewhere."""

    def ask(self, name: str, method: str, path: str) -> Answer: ...

    def reading(self, name: str, **arguments: object) -> AbstractContextManager[Body]:
        """A client that has sent its request, and leaves at the end of the block."""


class OnServer:
    def __init__(self, server: Server) -> None:
        self.server = server

    def ask(self, name: str, method: str, path: str) -> Answer:
        with self.server.connect() as sock:
            sock.sendall(_request(name, method, path))
            response = Response(sock)
            return Answer(response.status, response.headers, response.body())

    @contextmanager
    def reading(self, name: str, **arguments: object) -> Iterator[Body]:
        with self.server.connect() as sock:
            method, path = ROUTES[name]
            sock.sendall(_request(name, method, f"{path}?{urlencode(arguments)}"))
            yield _Unread(sock)


class _Unread(Body):
    """A response whose head is read with its first chunk: Flask's Response sends both together."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._response: Response | None = None

    def chunk(self) -> bytes:
        if self._response is None:
            self._response = Response(self._sock)
        return self._response.chunk()


class UnderTestClient:
    def __init__(self, folder: Path, *, is_adopted: bool) -> None:
        self._clients = {
            name: create_app(name, folder, is_adopted=is_adopted).test_client() for name in NAMES
        }

    def ask(self, name: str, method: str, path: str) -> Answer:
        response = self._clients[name].open(path, method=method, json=_json(method))
        headers = {key.lower(): value for key, value in response.headers.items()}
        return Answer(response.status_code, headers, response.data)

    @contextmanager
    def reading(self, name: str, **arguments: object) -> Iterator[Body]:
        method, path = ROUTES[name]
        response = self._clients[name].open(
            f"{path}?{urlencode(arguments)}", method=method, json=_json(method)
        )
        try:
            yield _Chunks(response.iter_encoded())
        finally:
            response.close()


class _Chunks(Body):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def chunk(self) -> bytes:
        return next(self._chunks, b"")


class Pair(NamedTuple):
    """The same apps before and after."""

    before: Variant
    after: Variant


@contextmanager
def pair_on(kind: str, folder: Path) -> Iterator[Pair]:
    """Both variants on a kind of server, a key of ``GUNICORN``, or under the "test client"."""
    with ExitStack() as stack:
        if kind == "test client":
            yield Pair(*(UnderTestClient(folder, is_adopted=is_it) for is_it in (False, True)))
        else:
            variants = (serve(kind, is_adopted=is_it) for is_it in (False, True))
            yield Pair(*map(stack.enter_context, variants))


@contextmanager
def serve(kind: str, *further_arguments: str, is_adopted: bool) -> Iterator[OnServer]:
    """The six apps on gunicorn. kind: of ``GUNICORN``"""
    configuration, arguments = GUNICORN[kind]
    with (
        TemporaryDirectory(prefix="adopting-") as folder,
        Server(
            f"tests.adopting.adopt:application({folder!r}, is_adopted={is_adopted})",
            configuration=configuration,
            arguments=(*arguments, *further_arguments),
        ) as server,
    ):
        yield OnServer(server)


def stream(variant: Variant, name: str, **arguments: object) -> Answer:
    """The whole stream of an app. arguments: ``Question``'s, and the app's own"""
    method, path = ROUTES[name]
    return variant.ask(name, method, f"{path}?{urlencode(arguments)}")


def tell(variant: Variant, name: str, path: str, *, method: str = "GET") -> Any:
    """What an app says of itself."""
    return json.loads(variant.ask(name, method, path).body)


def noted(variant: Variant, name: str, key: str) -> list[str]:
    return [what for what, _ in tell(variant, name, f"/noted/{key}")["notes"]]


def until_noted(variant: Variant, name: str, key: str, what: str) -> list[str]:
    return wait_until(lambda: what in (seen := noted(variant, name, key)) and seen)


def without_ours(body: bytes) -> bytes:
    """The body without the comments that Sluice adds."""
    return body.replace(b": stream\n", b"").replace(b": keep-alive\n", b"")


def _json(method: str) -> dict[str, str] | None:
    return None if method == "GET" else {}


def _request(name: str, method: str, path: str) -> bytes:
    body = b"" if method == "GET" else b"{}"
    head = f"{method} /{name}{path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
