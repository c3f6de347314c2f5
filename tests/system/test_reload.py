"""A reload (SIGHUP) of gunicorn by itself: which code serves then."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, get

pytestmark = pytest.mark.slow

PARTS = ("app.py", "gunicorn.conf.py", "wsgi", "static", "templates")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    return tmp_path


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def begins(server: Server, path: str) -> bytes:
    with server.connect() as sock:
        sock.sendall(get(path))
        return Response(sock).body() if path == "/healthz" else Response(sock).chunk()


def test_new_workers_have_the_new_code_of_every_part(checkout):
    with Server(folder=checkout) as server:
        # The master imports the one, by gunicorn.conf.py, the workers alone the other.
        change(
            checkout / "wsgi/flask_sluice/stream/headers_and_errors.py",
            '": stream',
            '": new stream',
        )
        change(
            checkout / "wsgi/flask_sluice/gateway/api/operations.py",
            '"status": "ok"}',
            '"status": "new"}',
        )
        server.signal(signal.SIGHUP)
        wait_until(lambda: b"new" in begins(server, "/healthz"))
        # A moment longer the old worker may take a connection, too.
        wait_until(lambda: begins(server, "/stream_chat?name=x") == b": new stream\n\n")
