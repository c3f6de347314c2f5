"""gunicorn with the apps of a module here, of either kind, and a client that sends what an extension may look at."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, ask, get

CONFIGURATIONS = {
    "ours": ("python:flask_sluice.server.settings", ()),
    "gthread": (os.devnull, ("-k", "gthread", "--threads", "60", "--no-control-socket")),
}
# Of a browser that is logged in, and behind a proxy.
HEADERS = {
    "Accept_Encoding": "gzip, deflate, br, zstd",
    "Accept_Language": "de",
    "Origin": "https://page.example",
    "X_Forwarded_For": "203.0.113.7",
    "X_Forwarded_Proto": "https",
    "X_User": "ada",
}
_numbers = itertools.count()


def new_key() -> str:
    return f"stream-{os.getpid()}-{next(_numbers)}"


class ExtendedServer(Server):
    """module: has the ``application``; python: the program that runs it; folder: for what the extensions keep in files"""

    def __init__(
        self, module: str, kind: str, python: str, folder: Path, **environment: str
    ) -> None:
        configuration, arguments = CONFIGURATIONS[kind]
        super().__init__(
            f"{module}:application",
            configuration=configuration,
            arguments=arguments,
            python=python,
            environment={
                "PYTHONPATH": f"{ROOT}/wsgi:{ROOT}",
                "TMPDIR": str(folder),
                **environment,
            },
        )

    @contextlib.contextmanager
    def reading(self, path: str, request=get, **headers: str) -> Iterator[Response]:
        """A client that has sent a request and has its head; it leaves at the end of the block."""
        with self.connect() as sock:
            sock.sendall(request(path, **{**HEADERS, **headers}))
            yield Response(sock)

    def answer(self, path: str, **headers: str) -> tuple[Response, bytes]:
        return ask(self, get(path, **{**HEADERS, **headers}))

    def told(self, path: str):
        """What the control's routes say."""
        with self.connect() as sock:
            sock.sendall(get(path))
            return Response(sock).json()

    def go_on(self, key: str) -> None:
        self.told(f"/go/{key}")

    def outcome(self, key: str) -> str:
        """How the stream has ended; waits for that."""
        return wait_until(lambda: self.told(f"/outcome/{key}")["outcome"])
